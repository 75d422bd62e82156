#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>

namespace rheinfall::detail {

std::size_t hit_order_workspace_size(std::size_t n_hits) noexcept;

/// Fills @p order with the indices that sort @p hits by (module_id, z, phi, x, y, index); NaN last, -0 as 0. False
/// if the workspace is too small; gives back what it took.
bool canonical_hit_order(const HitsView& hits, std::span<std::uint32_t> order, Workspace& workspace) noexcept;

}  // namespace rheinfall::detail
