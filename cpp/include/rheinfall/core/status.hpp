#pragma once

#include <cstdint>

namespace rheinfall {

/// What an event did to a stage. A wrong call or a bad file is an exception; whatever hangs on the event is one of
/// these. Where several hold, the one with the largest value is reported.
enum class Status : std::uint8_t {
    ok = 0,
    empty = 1,              ///< nothing to work on: no hits, or no edges
    unknown_modules = 2,    ///< some hits lie on modules that the module map does not know; they stay isolated nodes
    not_finite = 3,         ///< some coordinates or scores are NaN or infinite; they take part in nothing
    cycle = 4,              ///< the directed graph has a cycle where the method needs none
    capacity_exceeded = 5,  ///< a caller's buffer is too small; what was needed is reported, the output is not
    scoring_failed = 6,     ///< the host's edge scorer gave up; there are no tracks
    out_of_range = 7,       ///< some integers lie outside a network's input type; its overflow was applied to them
    invalid_argument = 8,   ///< the call of a noexcept function was wrong; nothing was computed
};

/// The name of @p status, as Python shows it.
constexpr const char* to_string(Status status) noexcept {
    switch (status) {
        case Status::ok: return "ok";
        case Status::empty: return "empty";
        case Status::unknown_modules: return "unknown_modules";
        case Status::not_finite: return "not_finite";
        case Status::cycle: return "cycle";
        case Status::capacity_exceeded: return "capacity_exceeded";
        case Status::scoring_failed: return "scoring_failed";
        case Status::out_of_range: return "out_of_range";
        case Status::invalid_argument: return "invalid_argument";
    }
    return "invalid";
}

/// The graver of two statuses.
constexpr Status worst(Status a, Status b) noexcept {
    return a > b ? a : b;
}

}  // namespace rheinfall
