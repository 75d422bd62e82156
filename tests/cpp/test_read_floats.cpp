#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quantized/boundary.hpp"
#include "quantized/read_floats.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::size_t n_values = 23;  // no multiple of a vector

/// Steps, quarters of them, values beside a half, any bits: what conversions get wrong.
double draw(std::mt19937_64& random, double step) {
    const auto small = [&](std::uint64_t n) { return static_cast<double>(random() % n) - static_cast<double>(n / 2); };
    switch (random() % 5) {
        case 0: return small(4096) * step / 4;
        case 1: return small(std::uint64_t{1} << 30) * step / 1024;
        case 2: return -step / 2 + std::ldexp(step, -static_cast<int>(random() % 60));
        case 3: return std::ldexp(small(8), -static_cast<int>(random() % 900));
        default: break;
    }
    const std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return std::isfinite(value) && random() % 32 == 0 ? value : step;
}

FixedType draw_type(std::mt19937_64& random) {
    FixedType type;
    type.width = 1 + static_cast<int>(random() % 40);
    type.integer = static_cast<int>(random() % 40) - 8;
    type.is_signed = random() % 2 == 0;
    type.rounding = static_cast<Rounding>(random() % 7);
    type.overflow = static_cast<Overflow>(random() % 4);
    return type;
}

TEST(ReadFloats, GivesWhatValuesGiveOneByOne) {
    std::mt19937_64 random(1);
    std::size_t n_fast = 0;
    for (int i = 0; i < 60'000; ++i) {
        const FixedType type = draw_type(random);
        const double step = std::ldexp(1.0, -type.fraction());
        std::array<double, n_values> doubles{};
        std::array<float, n_values> floats{};
        std::array<std::int64_t, n_values> stored{};
        for (std::size_t k = 0; k < n_values; ++k) {
            doubles[k] = draw(random, step);
            floats[k] = std::isfinite(static_cast<float>(doubles[k])) ? static_cast<float>(doubles[k]) : 0.0F;
        }
        if (read_floats(floats.data(), n_values, type, stored.data())) {
            ++n_fast;
            for (std::size_t k = 0; k < n_values; ++k) {
                ASSERT_EQ(stored[k], convert_real(static_cast<double>(floats[k]), type)) << floats[k];
            }
        }
        if (read_floats(doubles.data(), n_values, type, stored.data())) {
            ++n_fast;
            for (std::size_t k = 0; k < n_values; ++k)
                ASSERT_EQ(stored[k], convert_real(doubles[k], type)) << doubles[k];
        }
    }
    EXPECT_GT(n_fast, 10'000U);
}

TEST(ReadFloats, LeavesWhatIsNotFiniteOrLargeToTheGeneralWay) {
    const FixedType type{8, 4, true, Rounding::trn, Overflow::sat};
    std::array<std::int64_t, 3> stored{};
    for (const float x : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), 1e30F, -3e38F, 262145.0F}) {
        const std::array<float, 3> floats{1, x, 2};
        EXPECT_FALSE(read_floats(floats.data(), 3, type, stored.data())) << x;
        const std::array<double, 3> doubles{1, static_cast<double>(x) * 1e9, 2};
        EXPECT_FALSE(read_floats(doubles.data(), 3, type, stored.data())) << x;
    }
    const float zero = 0;
    EXPECT_TRUE(read_floats(&zero, 0, type, stored.data()));
    EXPECT_FALSE(read_floats(&zero, 1, {40, 20, true, Rounding::trn, Overflow::wrap}, stored.data()));
    EXPECT_FALSE(read_floats(&zero, 1, {8, 12, true, Rounding::trn, Overflow::wrap}, stored.data()));
}

}  // namespace
}  // namespace rheinfall::quantized
