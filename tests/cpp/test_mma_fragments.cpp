// Where the lanes of a warp hold the elements of the matrices that tensor cores multiply.
#include <gtest/gtest.h>

#include <set>

#include "gnn/mma_fragments.hpp"
#include "gnn/tile_program.hpp"

namespace {

namespace tile = rheinfall::gnn::tile;
namespace mma = rheinfall::gnn::mma;

/// The figures of the PTX ISA for m16n8k16 with .bf16, read the other way round: who holds an element, and as which
/// one.
struct Held {
    int lane, element;
};
Held holder_of_input(int row, int k) {
    return {row % 8 * 4 + k % 8 / 2, (k >= 8 ? 4 : 0) + (row >= 8 ? 2 : 0) + k % 2};
}
Held holder_of_weight(int k, int output) {
    return {output * 4 + k % 8 / 2, (k >= 8 ? 2 : 0) + k % 2};
}
Held holder_of_sum(int row, int output) {
    return {row % 8 * 4 + output / 2, (row >= 8 ? 2 : 0) + output % 2};
}

TEST(MmaFragments, LieAsThePtxIsaSays) {
    std::set<std::pair<int, int>> seen;
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 8; ++i) {  // a0 to a7: two to a register
            const int row = mma::input_row(lane, i / 2);
            const int k = 2 * mma::input_pair(lane, i / 2) + i % 2;
            EXPECT_EQ(holder_of_input(row, k).lane, lane);
            EXPECT_EQ(holder_of_input(row, k).element, i);
            seen.emplace(row, k);
        }
    }
    EXPECT_EQ(seen.size(), 16U * 16U);
    seen.clear();
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const int k = 2 * mma::weight_pair(lane, i / 2) + i % 2;
            EXPECT_EQ(holder_of_weight(k, mma::weight_output(lane)).lane, lane);
            EXPECT_EQ(holder_of_weight(k, mma::weight_output(lane)).element, i);
            seen.emplace(k, mma::weight_output(lane));
        }
    }
    EXPECT_EQ(seen.size(), 16U * 8U);
    seen.clear();
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const Held held = holder_of_sum(mma::sum_row(lane, i), mma::sum_output(lane, i));
            EXPECT_EQ(held.lane, lane);
            EXPECT_EQ(held.element, i);
            seen.emplace(mma::sum_row(lane, i), mma::sum_output(lane, i));
        }
    }
    EXPECT_EQ(seen.size(), 16U * 8U);
    // Entries as they stand in the figures.
    EXPECT_EQ(holder_of_input(8, 9).lane, 0);
    EXPECT_EQ(holder_of_input(8, 9).element, 7);
    EXPECT_EQ(holder_of_input(7, 6).lane, 31);
    EXPECT_EQ(holder_of_weight(8, 1).lane, 4);
    EXPECT_EQ(holder_of_weight(8, 1).element, 2);
    EXPECT_EQ(holder_of_sum(15, 7).lane, 31);
    EXPECT_EQ(holder_of_sum(15, 7).element, 3);
}

TEST(MmaFragments, LanesMeetDifferentBanks) {
    for (int i = 0; i < 4; ++i) {
        std::set<int> banks;
        for (int lane = 0; lane < 32; ++lane) {
            banks.insert(tile::pair_place(mma::input_pair(lane, i), mma::input_row(lane, i)) % 32);
        }
        EXPECT_EQ(banks.size(), 32U);
        banks.clear();
        for (int lane = 0; lane < 32; ++lane) {
            const int column = mma::block_output(4, 3, mma::sum_output(lane, i));
            banks.insert((column * tile::column_stride + mma::sum_row(lane, i)) % 32);
        }
        EXPECT_EQ(banks.size(), 32U);
    }
}

}  // namespace
