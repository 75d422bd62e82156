#include <nanobind/stl/string.h>

#include <atomic>
#include <rheinfall/core/build_info.hpp>
#include <rheinfall/core/status.hpp>
#include <stdexcept>

#include "bindings.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

std::atomic<std::size_t> thread_count{default_num_threads()};

}  // namespace

std::size_t num_threads() noexcept {
    return thread_count.load();
}

void bind_core(nb::module_& m) {
    m.def(
        "build_info",
        [] {
            const rheinfall::BuildInfo info = rheinfall::build_info();
            nb::dict d;
            d["version"] = info.version;
            d["cuda"] = info.cuda;
            d["isa"] = info.isa;
            d["compiler"] = info.compiler;
            return d;
        },
        "How the core was built: version, cuda (bool), isa (of this machine), compiler.");
    m.def(
        "set_num_threads",
        [](int n) {
            if (n < 1 || n > 1024) {
                throw std::invalid_argument("n: expected 1 to 1024 threads, got " + std::to_string(n));
            }
            thread_count = static_cast<std::size_t>(n);
        },
        "n"_a,
        "Set how many threads the stages may use; by default the cores that this process may run on.\n\n"
        "No result depends on it.");
    m.def("get_num_threads", [] { return num_threads(); }, "How many threads the stages may use.");
}
