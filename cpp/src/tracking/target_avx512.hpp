#pragma once

/// @file
/// Everything behind this, up to `target_end.hpp`, is compiled with AVX-512 and must have internal linkage.

#include "tracking/target_baseline.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,popcnt,bmi,bmi2"))), \
                             apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // both of the intrinsics' own
#pragma GCC diagnostic ignored "-Wuninitialized"        // undefined operands: GCC bug 105593
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,popcnt,bmi,bmi2")
#endif
