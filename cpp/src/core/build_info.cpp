#include <rheinfall/core/build_info.hpp>
#include <rheinfall/core/version.hpp>

#include "core/instruction_sets.hpp"

namespace rheinfall {
namespace {

const char* detect_isa() noexcept {
#if defined(__x86_64__)
    if (detail::has_avx512()) {
        return "avx512";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
    return "portable";
}

}  // namespace

BuildInfo build_info() noexcept {
#if defined(__clang__)
    constexpr const char* compiler = "clang " __clang_version__;
#else
    constexpr const char* compiler = "gcc " __VERSION__;
#endif
#if defined(RHEINFALL_WITH_CUDA)
    constexpr bool cuda = true;
#else
    constexpr bool cuda = false;
#endif
    return {RHEINFALL_VERSION, compiler, detect_isa(), cuda};
}

}  // namespace rheinfall
