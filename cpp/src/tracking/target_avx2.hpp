#pragma once

/// @file
/// Everything behind this, up to `target_end.hpp`, is compiled with AVX2 and must have internal linkage.

#include "tracking/target_baseline.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,popcnt,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,popcnt,bmi,bmi2")
#endif
