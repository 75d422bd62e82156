#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// The edges of an event that a method starts from, in pieces that tasks select and work on alone. Piece c comes from
/// the c-th part of the edges given and lies in the same part of `s.edges`, with a gap behind it until `join`.
class EdgeChunks {
public:
    static constexpr std::size_t most = 64;

    /// In @p n pieces, at least one; measures the distances of the hits.
    EdgeChunks(const TrackBuildingPlan& plan, const ScoredGraph& graph, TrackScratch& s, std::size_t n) noexcept;

    [[nodiscard]] std::size_t n() const noexcept { return n_; }

    /// Fills piece c with its edges above the cut.
    void select(std::size_t c) noexcept;
    /// Selects all pieces.
    void select_all(const ParallelFor& parallel_for) noexcept;

    [[nodiscard]] EdgeList operator[](std::size_t c) const noexcept {
        const std::size_t begin = first(c);
        const std::size_t room = first(c + 1) - begin;
        return {s_.edges.source.subspan(begin, room), s_.edges.target.subspan(begin, room),
                s_.edges.score.subspan(begin, room), pieces_[c].size};
    }
    /// Leaves the edges of piece c for which `stays(source, target, score)` holds.
    template <class Stays>
    void keep_if(std::size_t c, Stays&& stays) noexcept {
        EdgeList edges = (*this)[c];
        edges.keep_if(stays);
        pieces_[c].size = edges.size;
    }
    /// Calls `visit(source, target, score)` for each edge, piece by piece.
    template <class Visit>
    void for_each(Visit&& visit) const noexcept {
        for (std::size_t c = 0; c < n_; ++c) (*this)[c].for_each(visit);
    }

    /// Closes the gaps: the pieces become the list `s.edges`, in their order.
    void join() noexcept;

    /// `not_finite` if a score of a selected piece or a coordinate is not.
    [[nodiscard]] Status status() const noexcept;

private:
    struct Piece {
        std::size_t size = 0;
        Status status = Status::ok;
    };

    [[nodiscard]] std::size_t first(std::size_t c) const noexcept { return c * graph_.edges.size() / n_; }

    const TrackBuildingPlan& plan_;
    const ScoredGraph& graph_;
    TrackScratch& s_;
    std::size_t n_;
    Status hits_ = Status::ok;
    std::array<Piece, most> pieces_{};
};

}  // namespace rheinfall::detail
