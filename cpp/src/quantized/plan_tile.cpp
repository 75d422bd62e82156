#include <algorithm>
#include <memory>
#include <new>

#include "quantized/plan_lowering.hpp"

/// What batches have for themselves: how inputs become groups of a tile, and the weights in the order of tiles.
namespace rheinfall::quantized {
namespace {

constexpr std::size_t group_bytes = std::size_t{4} * tile_events;  // of a tile

/// v = ((x + add) << left) >> right, of one element.
struct Shifts {
    std::int32_t add = 0;
    std::int32_t left = 0;
    std::int32_t right = 0;
};

/// The stages of an input as shifts, where they come down to that.
std::optional<Shifts> shifts_of(const std::vector<Stage>& stages, std::size_t element) {
    Shifts shifts;
    if (stages.empty()) return shifts;
    const Stage& s = stages.front();
    constexpr std::uint32_t each = Stage::add_each | Stage::shift_each;
    if (stages.size() > 1) return std::nullopt;
    if ((s.flags & ~each) == 0) {
        if ((s.flags & Stage::add_each) != 0) shifts.add = s.b[element];
        if ((s.flags & Stage::shift_each) != 0) {
            shifts.left = s.a[element];
            shifts.right = s.c[element];
        }
        return shifts;
    }
    if (s.flags != (Stage::left | Stage::right)) return std::nullopt;
    shifts.left = s.left_shift;
    shifts.right = s.shift;
    return shifts;
}

}  // namespace

/// Weights of blocks of four outputs, [group][output], or where that is less work as lists of the groups that are not
/// all zero; true if they are lists.
bool Lowering::pack_tile_weights(Step& step, const Tensor& weight, const std::vector<Slot>& slots) {
    std::vector<Slot> words = slots;
    std::vector<Slot> rests;
    if (step.in.rest_bits != nullptr) {
        words.clear();
        for (std::uint32_t i = 0; i < step.in.columns; ++i) {
            words.push_back({i, step.in.rest_bits[i]});
            if (step.in.rest_bits[i] != 0) rests.push_back({i, 0});
        }
    }
    const auto per_group = static_cast<std::size_t>(elements_per_group(step.in.lanes));
    const std::size_t n_groups = (words.size() + per_group - 1) / per_group;
    const std::size_t n_rest_groups = (rests.size() + 3) / 4;
    const std::size_t n_out = step.n_out;
    step.n_groups = static_cast<std::uint32_t>(n_groups);
    step.n_rest_groups = static_cast<std::uint32_t>(n_rest_groups);
    const auto at = [&](std::size_t g, std::size_t o) {
        return g < n_groups ? group_weights(weight, words, step.in.lanes, g, o)
                            : group_weights(weight, rests, Lanes::u8, g - n_groups, o);
    };
    if (list_weights(step, at)) return true;
    const std::size_t n_all = n_groups + n_rest_groups;
    auto* const to = plan_.parameters.take<std::uint32_t>(n_all * ((n_out + 3) / 4 * 4) + 16);
    std::size_t n = 0;
    step.weights = reinterpret_cast<const std::byte*>(to);
    for (std::size_t o = 0; o < n_out; o += 4)
        for (std::size_t g = 0; g < n_all; ++g)
            for (std::size_t k = o; k < std::min(o + 4, n_out); ++k) to[n++] = at(g, k);
    return false;
}

/// Lists of the groups of each output that @p weights (group, output) says are not zero, if they are few enough.
bool Lowering::list_weights(Step& step, const std::function<std::uint32_t(std::size_t, std::size_t)>& weights) {
    const std::size_t n_all = step.n_groups + step.n_rest_groups;
    std::vector<SparseGroup> list;
    std::vector<std::uint32_t> counts(2 * std::size_t{step.n_out});
    for (std::size_t o = 0; o < step.n_out; ++o)
        for (std::size_t g = 0; g < n_all; ++g) {
            const std::uint32_t w = weights(g, o);
            if (w == 0) continue;
            list.push_back({static_cast<std::uint32_t>(g * group_bytes), w});
            ++counts[2 * o + (g < step.n_groups ? 0 : 1)];
        }
    // A group of a list loads its inputs for one output, not for four: five loads for four products, where a block
    // has eight for sixteen. What an output adds is its way in and out of the loop.
    if (5 * list.size() + 2 * std::size_t{step.n_out} >= 4 * n_all * step.n_out) return false;
    step.weights = keep_list(list);
    step.taps = keep_counts(counts);
    return true;
}

const std::byte* Lowering::keep_list(const std::vector<SparseGroup>& list) {
    auto* to = plan_.parameters.take<SparseGroup>(list.size() + 1);
    std::uninitialized_copy(list.begin(), list.end(), to);
    return reinterpret_cast<const std::byte*>(to);
}

const std::uint32_t* Lowering::keep_counts(const std::vector<std::uint32_t>& counts) {
    auto* to = plan_.parameters.take<std::uint32_t>(counts.size() + 1);
    std::copy(counts.begin(), counts.end(), to);
    return to;
}

/// Shifts that bring each element to the upper half of a lane, or, of more than 16 bits, its high part; false if the
/// stages are none such.
bool Lowering::set_shifts(TilePack& pack, Place& place, const std::vector<Stage>& stages, int value, const Want& want) {
    const std::size_t n = want.columns;
    const std::size_t padded = (n + pack_columns - 1) / pack_columns * pack_columns;
    auto* add = plan_.parameters.take<std::int32_t>(padded);
    auto* left = plan_.parameters.take<std::int32_t>(padded);
    auto* right = plan_.parameters.take<std::uint16_t>(padded);
    auto* rest = plan_.parameters.take<std::int32_t>(padded);
    std::uint32_t n_rests = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::optional<Shifts> shifts = shifts_of(stages, i);
        if (!shifts) return false;
        const int spare = signed_bits(ranges_.value(value).at(i)) - 16;
        // The number of bits below the value in its lane: more of them, where it has fewer bits than the lane above.
        const int below = spare > 0 ? 16 - spare : std::max(shifts->right, 16);
        if (below < shifts->right || (spare > 0 && !want.byte_rests)) return false;
        add[i] = shifts->add;
        left[i] = shifts->left + below - shifts->right;
        if (spare > 0) {
            rest[i] = spare;
            ++n_rests;
        } else {
            right[i] = static_cast<std::uint16_t>(below - 16);
        }
    }
    pack.add = add;
    pack.left = left;
    pack.right = right;
    pack.n_groups = static_cast<std::uint32_t>((n + 1) / 2 + (n_rests + 3) / 4);
    pack.n_rests = n_rests;
    if (n_rests == 0) return true;
    place.rest_bits = rest;
    set_rests(pack, place);
    return true;
}

/// Where the packing of a row of at most 64 elements finds the rests: in lower halves.
void Lowering::set_rests(TilePack& pack, const Place& place) {
    auto* parts = new (plan_.parameters.take<TilePack::Rests>((pack.n_rests + 31) / 32))
        TilePack::Rests[(pack.n_rests + 31) / 32]{};
    std::uint32_t k = 0;
    for (std::uint32_t i = 0; i < pack.n_elements; ++i) {
        if (place.rest_bits[i] == 0) continue;
        TilePack::Rests& part = parts[k / 32];
        const std::uint32_t lane = k++ % 32;
        (i < 32 ? part.first : part.second)[lane] = static_cast<std::uint16_t>(2 * (i % 32));
        (i < 32 ? part.first_mask : part.second_mask) |= 1u << lane;
        part.right[lane] = static_cast<std::uint16_t>(16 - place.rest_bits[i]);
    }
    pack.rests = parts;
}

/// Fills in.pack, if the kernels have such a way and the stages come down to shifts.
void Lowering::pack_input(PlanInput& in, const std::vector<Stage>& stages, int value, const Want& want) {
    const Kernels& kernels = *plan_.kernels;
    TilePack& pack = in.pack;
    if (in.one.step.out.rows != 1 || kernels.pack_shifted[int32_element] == nullptr) return;
    pack.n_elements = want.columns;
    pack.smallest = in.one.smallest;
    pack.largest = in.one.largest;
    pack.offset = want.offset;
    if (want.lanes == Lanes::s16) {
        auto& known = places_[static_cast<std::size_t>(value)];
        const auto at = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.first == want; });
        if (!set_shifts(pack, at->second, stages, value, want)) return;
        std::copy(std::begin(kernels.pack_shifted), std::end(kernels.pack_shifted), pack.run);
    }
    if (!stages.empty() || pack.n_rests > 0) return;
    for (int t = 0; t < n_element_types; ++t)
        if (const PackFunction plain = kernels.pack_plain[static_cast<int>(want.lanes)][t]; plain != nullptr)
            pack.run[t] = plain;
}

}  // namespace rheinfall::quantized
