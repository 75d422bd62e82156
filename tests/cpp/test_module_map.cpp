#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <rheinfall/tracking/module_map.hpp>
#include <rheinfall/tracking/module_map_builder.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tracking/detail/module_map_file.hpp"
#include "tracking/detail/triplet_codes.hpp"

namespace {

using rheinfall::Bend;
using rheinfall::DoubletLimits;
using rheinfall::Interval;
using rheinfall::LimitRule;
using rheinfall::ModuleMap;
using rheinfall::ModuleMapBuilder;

DoubletLimits pair_limits(float low, float high) {
    const Interval i{low, high};
    return {i, i, i, i};
}

ModuleMap small_map(Bend bend = Bend::angle) {
    return ModuleMap::from_triplets(
        {{{20, 30, 50}, 3, {pair_limits(0, 1), pair_limits(-1, 0), {-2, 2}, {-3, 3}}},
         {{10, 20, 30}, 9, {pair_limits(-1, 1), pair_limits(2, 3), {-0.5F, 0.5F}, {0.3F, 0.4F}}},
         {{10, 20, 40}, 1, {pair_limits(-4, 0.5F), pair_limits(0, 1), {-1, 1}, {-1, 1}}}},
        bend);
}

std::vector<std::byte> copy(std::span<const std::byte> bytes) {
    return {bytes.begin(), bytes.end()};
}

std::string why(const std::vector<std::byte>& bytes) {
    try {
        (void)ModuleMap::from_bytes(bytes, "here");
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

TEST(ModuleMap, SortsModulesDoubletsAndTriplets) {
    const ModuleMap map = small_map();
    EXPECT_TRUE(std::ranges::equal(map.modules(), std::vector<std::uint64_t>{10, 20, 30, 40, 50}));
    EXPECT_TRUE(std::ranges::equal(map.doublet_inner(), std::vector<std::uint32_t>{0, 1, 1, 2}));
    EXPECT_TRUE(std::ranges::equal(map.doublet_outer(), std::vector<std::uint32_t>{1, 2, 3, 4}));
    EXPECT_TRUE(std::ranges::equal(map.triplet_offsets(), std::vector<std::uint32_t>{0, 2, 3, 3, 3}));
    EXPECT_TRUE(std::ranges::equal(map.triplet_outer(), std::vector<std::uint32_t>{1, 2, 3}));
    EXPECT_TRUE(std::ranges::equal(map.triplet_occurrence_log2(), std::vector<std::uint8_t>{3, 0, 1}));
    // The union of the two triplets that begin with 10, 20; and of one's outer and another's inner pair.
    EXPECT_EQ(map.doublet_limits()[0].z0.low, -4.0F);
    EXPECT_EQ(map.doublet_limits()[0].z0.high, 1.0F);
    EXPECT_EQ(map.doublet_limits()[1].deta.low, 0.0F);
    EXPECT_EQ(map.doublet_limits()[1].deta.high, 3.0F);
    EXPECT_FALSE(map.doublets_only());
    EXPECT_EQ(map.convention(), "deta=2-1;dr0=1e-6;order=12,23;bend=angle");
    EXPECT_EQ(small_map(Bend::slope_difference).bend_convention(), Bend::slope_difference);
}

TEST(ModuleMap, CodedLimitsContainThoseGiven) {
    const rheinfall::TripletLimits limits = small_map().triplet_limits(0, 0);
    EXPECT_LE(limits.inner.z0.low, -1.0F);
    EXPECT_GT(limits.inner.z0.low, -1.03F);
    EXPECT_EQ(limits.inner.z0.high, 1.0F);
    EXPECT_LE(limits.bend.low, 0.3F);
    EXPECT_GT(limits.bend.low, 0.297F);
    EXPECT_GE(limits.bend.high, 0.4F);
    EXPECT_EQ(limits.diff_dzdr.low, -0.5F);
}

TEST(TripletCodes, OnlyEverWiden) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (int trial = 0; trial < 100000; ++trial) {
        const float scale = std::exp(8.0F * normal(random));
        const float a = scale * normal(random);
        const float b = a + scale * normal(random) * std::exp(5.0F * normal(random));
        const Interval range{std::min(a, b), std::max(a, b)};
        const float u = std::clamp(range.low + (range.high - range.low) * static_cast<float>(random() % 1001) / 1000.0F,
                                   range.low, range.high);
        ASSERT_LE(rheinfall::detail::decode_low(range, rheinfall::detail::encode_low(range, u)), u);
        ASSERT_GE(rheinfall::detail::decode_high(range, rheinfall::detail::encode_high(range, u)), u);
        ASSERT_LE(rheinfall::detail::decode_bfloat16(rheinfall::detail::encode_bfloat16_low(u)), u);
        ASSERT_GE(rheinfall::detail::decode_bfloat16(rheinfall::detail::encode_bfloat16_high(u)), u);
    }
}

TEST(ModuleMap, ComesBackFromBytesAndFiles) {
    const ModuleMap map = small_map();
    EXPECT_TRUE(std::ranges::equal(ModuleMap::from_bytes(map.bytes(), "bytes").bytes(), map.bytes()));
    const std::string path = testing::TempDir() + "rheinfall_module_map_test.rfmap";
    const std::vector<std::byte> appendix(100, std::byte{7});
    map.save(path, appendix);
    EXPECT_EQ(std::filesystem::file_size(path), map.bytes().size() + appendix.size());
    EXPECT_TRUE(std::ranges::equal(ModuleMap::load(path).bytes(), map.bytes()));
    EXPECT_THROW((void)ModuleMapBuilder::load(path), std::runtime_error);
    std::filesystem::remove(path);
    EXPECT_THROW((void)ModuleMap::load(path), std::runtime_error);
}

TEST(ModuleMap, DamageIsRefusedWithItsReason) {
    const std::vector<std::byte> good = copy(small_map().bytes());
    for (std::size_t n = 0; n < good.size(); ++n)
        EXPECT_NE(why({good.begin(), good.begin() + static_cast<long>(n)}), "");
    for (std::size_t at = sizeof(rheinfall::detail::MapHeader); at < good.size(); ++at) {
        auto bad = good;
        bad[at] ^= std::byte{1};
        EXPECT_EQ(why(bad), "here: checksum: the file is damaged");
    }
    rheinfall::detail::MapHeader header{};
    std::memcpy(&header, good.data(), sizeof header);
    header.n_modules = header.n_doublets = header.n_triplets = 0xffffffffU;
    header.payload_bytes = rheinfall::detail::MapLayout(header).size - sizeof header;
    auto huge = good;
    std::memcpy(huge.data(), &header, sizeof header);
    EXPECT_NE(why(huge).find("truncated: expected"), std::string::npos);
}

TEST(ModuleMap, TriplesAndLimitsWithoutMeaningAreRefused) {
    EXPECT_THROW((void)ModuleMap::from_triplets(
                     {{{1, 2, 3}, 1, {pair_limits(1, -1), pair_limits(0, 1), {0, 1}, {0, 1}}}}, Bend::angle),
                 std::invalid_argument);
    const ModuleMap::Triplet one{{1, 2, 3}, 1, {pair_limits(0, 1), pair_limits(0, 1), {0, 1}, {0, 1}}};
    EXPECT_THROW((void)ModuleMap::from_triplets({one, one}, Bend::angle), std::invalid_argument);
    EXPECT_EQ(ModuleMap().n_modules(), 0U);
    EXPECT_TRUE(ModuleMap().doublets_only());
}

/// Random triples on few modules.
ModuleMapBuilder random_builder(unsigned seed, std::size_t n_hits) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 100.0F);
    std::vector<float> x(n_hits), y(n_hits), z(n_hits);
    std::vector<std::uint64_t> modules(n_hits);
    std::vector<std::uint32_t> triples(n_hits / 3 * 3);
    for (std::size_t i = 0; i < n_hits; ++i) {
        x[i] = normal(random);
        y[i] = normal(random);
        z[i] = normal(random);
        modules[i] = (1 + i % 3) << 36 | (random() % 4) << 8;
    }
    for (std::size_t i = 0; i < triples.size(); ++i) triples[i] = static_cast<std::uint32_t>(i);
    ModuleMapBuilder builder;
    builder.add({x, y, z, modules}, triples);
    return builder;
}

TEST(ModuleMapBuilder, PartsMergeToTheSameBytesInAnyOrder) {
    ModuleMapBuilder forward, backward;
    for (unsigned i = 0; i < 8; ++i) forward.merge(random_builder(i, 300));
    for (unsigned i = 8; i-- > 0;) backward.merge(random_builder(i, 300));
    EXPECT_EQ(forward.bytes(), backward.bytes());
    EXPECT_TRUE(std::ranges::equal(forward.finish({}).bytes(), backward.finish({}).bytes()));
    EXPECT_EQ(ModuleMapBuilder::from_bytes(forward.bytes(), "bytes").bytes(), forward.bytes());
    EXPECT_GT(forward.finish({}).n_triplets(), 30U);
    EXPECT_THROW(forward.merge(ModuleMapBuilder(Bend::slope_difference)), std::invalid_argument);
}

TEST(ModuleMapBuilder, DamagedStatisticsAreRefused) {
    const std::vector<std::byte> good = random_builder(1, 60).bytes();
    for (std::size_t n = 0; n < good.size(); n += 7) {
        EXPECT_THROW((void)ModuleMapBuilder::from_bytes(std::span(good).first(n), "here"), std::runtime_error);
    }
    auto bad = good;
    bad.back() ^= std::byte{4};
    EXPECT_THROW((void)ModuleMapBuilder::from_bytes(bad, "here"), std::runtime_error);
}

TEST(ModuleMapBuilder, RulesWithoutMeaningAreRefused) {
    for (auto number : {&LimitRule::relative, &LimitRule::sigmas, &LimitRule::prior_weight, &LimitRule::core}) {
        LimitRule rule;
        rule.*number = -1.0;
        EXPECT_THROW((void)ModuleMapBuilder().finish(rule), std::invalid_argument);
    }
}

}  // namespace
