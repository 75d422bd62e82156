// Sizes that are asked for once.
#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

#include "core/size_memo.hpp"

namespace {

using rheinfall::detail::SizeMemo;

/// A size for each question, unlike those of others.
std::size_t answer(const SizeMemo::Question& q) {
    return static_cast<std::size_t>(
        ((q.n * 100 + static_cast<std::uint64_t>(q.kind)) * 100 + static_cast<std::uint64_t>(q.n_bits)) * 10 +
        static_cast<std::uint64_t>(q.device));
}

TEST(SizeMemo, AsksOnce) {
    SizeMemo memo;
    int n_asked = 0;
    const SizeMemo::Question question{1000, 8, 34, 0};
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(memo.get(question, [&] { return ++n_asked, std::size_t{77}; }), 77U);
    }
    EXPECT_EQ(n_asked, 1);
}

TEST(SizeMemo, TellsQuestionsApartWhereTheySharePlaces) {
    SizeMemo memo;
    std::mt19937 random(1);
    std::size_t n_asked = 0;
    for (int i = 0; i < 20000; ++i) {
        const SizeMemo::Question q{random() % 100, static_cast<std::int32_t>(random() % 4),
                                   static_cast<std::int32_t>(random() % 4), static_cast<std::int32_t>(random() % 2)};
        EXPECT_EQ(memo.get(q, [&] { return ++n_asked, answer(q); }), answer(q));
    }
    EXPECT_GT(n_asked, 3000U);  // of 3,200 questions, more than there are places for
    EXPECT_LT(n_asked, 20000U);
}

TEST(SizeMemo, AnEventsQuestionsHavePlaces) {
    // Those of one event of 120,844 hits and 325,000 edges: as many calls of CUB as its stages make.
    bool taken[SizeMemo::n_places] = {};
    std::size_t n_shared = 0;
    for (const std::uint64_t n : {120844U, 120845U, 325000U, 4000000U}) {
        for (const std::int32_t kind : {0, 4, 8, 16}) {
            bool& place = taken[SizeMemo::place_of({n, kind, kind == 0 ? 0 : 17, 0})];
            n_shared += place ? 1U : 0U;
            place = true;
        }
    }
    EXPECT_LE(n_shared, 2U);
}

TEST(SizeMemo, ForgetsWhatThrew) {
    SizeMemo memo;
    const SizeMemo::Question question{0, 0, 0, 0};
    EXPECT_THROW(memo.get(question, []() -> std::size_t { throw std::runtime_error("no device"); }),
                 std::runtime_error);
    EXPECT_EQ(memo.get(question, [] { return std::size_t{5}; }), 5U);
}

}  // namespace
