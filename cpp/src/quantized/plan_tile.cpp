#include <algorithm>
#include <new>

#include "quantized/plan_lowering.hpp"

/// What batches have for themselves: how inputs become groups of a tile, and the weights in the order of tiles.
namespace rheinfall::quantized {
namespace {

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

/// Weights of blocks of four outputs: [group][output].
void Lowering::pack_tile_weights(Step& step, const Tensor& weight, const std::vector<Slot>& slots) {
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
    auto* to = plan_.parameters.take<std::uint32_t>((n_groups + n_rest_groups) * ((n_out + 3) / 4 * 4) + 16);
    step.weights = reinterpret_cast<const std::byte*>(to);
    step.n_groups = static_cast<std::uint32_t>(n_groups);
    step.n_rest_groups = static_cast<std::uint32_t>(n_rest_groups);
    for (std::size_t o = 0; o < n_out; o += 4) {
        const std::size_t end = std::min(o + 4, n_out);
        for (std::size_t g = 0; g < n_groups; ++g)
            for (std::size_t k = o; k < end; ++k) *to++ = group_weights(weight, words, step.in.lanes, g, k);
        for (std::size_t g = 0; g < n_rest_groups; ++g)
            for (std::size_t k = o; k < end; ++k) *to++ = group_weights(weight, rests, Lanes::u8, g, k);
    }
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
