#pragma once

/// @file
/// What vector kernels of this domain use of the standard library and of its shared headers. Included *before* the
/// instructions are chosen: inline functions keep the baseline, since the linker may take any file's copy of one.

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/edge_features_work.hpp"
#include "tracking/graph_construction_work.hpp"
