#pragma once

/// @file
/// One event and the clock of the programs that time several versions of a stage in turns.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <rheinfall/core/views.hpp>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// The value that a share @p q of the others does not exceed; 0.5: the median.
inline double quantile(std::vector<double> values, double q) {
    std::ranges::sort(values);
    return values[std::min(values.size() - 1, static_cast<std::size_t>(q * static_cast<double>(values.size())))];
}

/// A file of uint64 n, then module ids (uint64), x, y, z (float32); ends the program if it cannot be read.
struct Event {
    std::vector<std::uint64_t> module_id;
    std::vector<float> x, y, z;

    explicit Event(const char* path) {
        std::ifstream in(path, std::ios::binary);
        std::uint64_t n = 0;
        const auto read = [&](auto* to, std::size_t count) {
            in.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(*to)));
        };
        read(&n, 1);
        module_id.resize(n);
        read(module_id.data(), n);
        for (auto* v : {&x, &y, &z}) {
            v->resize(n);
            read(v->data(), n);
        }
        if (!in) {
            std::fprintf(stderr, "%s: cannot read\n", path);
            std::exit(1);
        }
    }
    [[nodiscard]] rheinfall::HitsView view() const { return {x, y, z, module_id}; }
};

}  // namespace bench
