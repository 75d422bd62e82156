#pragma once

#include <rheinfall/core/export.hpp>

namespace rheinfall {

/// How this library was built and what it found at run time; the strings live as long as the process.
struct BuildInfo {
    const char* version;
    const char* compiler;
    const char* isa;  ///< widest instruction set that this machine offers: "avx512", "avx2", "portable"
    bool cuda;        ///< built with the CUDA backend (a device may still be missing)
};

RHEINFALL_API BuildInfo build_info() noexcept;

}  // namespace rheinfall
