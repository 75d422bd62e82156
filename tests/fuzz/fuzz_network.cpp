#include <cstddef>
#include <cstdint>

#include "network_target.hpp"

/// The entry point of libFuzzer; tools/fuzz.sh builds and runs it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz_network({reinterpret_cast<const char*>(data), size});
    return 0;
}
