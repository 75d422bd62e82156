#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rheinfall::detail {

/// Remembers sizes that are dear to ask for, so that each is asked for once and not in every event. Allocates nothing:
/// where two questions share a place, the later one takes it, and the earlier is asked again.
class SizeMemo {
public:
    struct Question {
        std::uint64_t n;    ///< items
        std::int32_t kind;  ///< of call
        std::int32_t n_bits;
        std::int32_t device;
        bool operator==(const Question&) const = default;
    };
    static constexpr std::size_t n_places = 256;

    /// What @p ask gives, which depends on nothing but @p question.
    template <class Ask>
    std::size_t get(const Question& question, Ask ask) {
        Place& place = places_[place_of(question)];
        if (!place.known || place.question != question) {
            const std::size_t bytes = ask();  // may throw: then nothing is known
            place = {question, bytes, true};
        }
        return place.bytes;
    }
    [[nodiscard]] static std::size_t place_of(const Question& q) noexcept {
        std::uint64_t mixed = q.n;
        for (const std::int32_t part : {q.kind, q.n_bits, q.device}) {
            mixed = mixed * 0x9e3779b97f4a7c15U + static_cast<std::uint32_t>(part);
        }
        return static_cast<std::size_t>(mixed * 0x9e3779b97f4a7c15U >> 56);
    }

private:
    struct Place {
        Question question{};
        std::size_t bytes = 0;
        bool known = false;
    };
    std::array<Place, n_places> places_{};
};

}  // namespace rheinfall::detail
