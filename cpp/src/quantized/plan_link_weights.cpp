#include <algorithm>
#include <iterator>

#include "quantized/plan_lowering.hpp"

/// The kernels of links and their weights, in the order in which they are read: see links_avx512.hpp.
namespace rheinfall::quantized {
namespace {

/// An element of a layer's input that an output has a weight for, and where it lies in the image.
struct Picked {
    std::uint32_t at = 0;
    std::uint32_t weight = 0;
};

/// What each output has weights for, in images of bytes or shorts.
std::vector<std::vector<Picked>> picked_inputs(const Step& s, std::size_t n_out) {
    const bool bytes = s.in.lanes == Lanes::u8;
    const std::uint32_t per_group = bytes ? 4 : 2;
    const std::uint32_t bits = 32 / per_group;
    constexpr auto n_lanes = static_cast<std::uint32_t>(link_lanes);
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    std::vector<std::vector<Picked>> picked(n_out);
    for (std::uint32_t i = 0; i < s.in.columns; ++i) {
        // Quarter, then vector, then element: see links_avx512.hpp.
        const std::uint32_t quarter = i % n_lanes / 4;
        const std::uint32_t at = (bytes ? 16 : 8) * quarter + i / n_lanes * 4 + i % 4;
        for (std::size_t o = 0; o < n_out; ++o) {
            const std::uint32_t group = weights[i / per_group * n_out + o];
            const std::uint32_t w = group >> (i % per_group * bits) & ((1u << bits) - 1u);
            if (w != 0) picked[o].push_back({at, w});
        }
    }
    return picked;
}

/// The kernel of @p s for few weights, where it does less than the @p n_products of vectors of the other one; false
/// otherwise. Each time it loads indices and weights, where that one loads weights.
bool take_listed(const Kernels& kernels, const Step& s, std::size_t n_products, LinkDraft& d) {
    const bool bytes = s.in.lanes == Lanes::u8;
    if (bytes && !permutes_bytes()) return false;
    const std::size_t n_out = d.vectors * link_lanes;
    const std::vector<std::vector<Picked>> picked = picked_inputs(s, n_out);
    const std::uint32_t per_group = bytes ? 4 : 2;
    const std::uint32_t bits = 32 / per_group;
    std::size_t most = 0;
    for (const auto& of_output : picked) most = std::max(most, of_output.size());
    const std::size_t times = (most + per_group - 1) / per_group;
    if (2 * times >= n_products) return false;
    d.link.run = kernels.links->listed[bytes ? 0 : 1][d.vectors][link_epilogue(s.epilogue)];
    d.link.n_quarters = static_cast<std::uint8_t>(times);
    for (std::size_t t = 0; t < times; ++t)
        for (std::size_t first = 0; first < n_out; first += link_lanes) {
            std::uint32_t index[link_lanes] = {}, weight[link_lanes] = {};
            for (std::size_t o = 0; o < link_lanes; ++o)
                for (std::uint32_t k = 0; k < per_group; ++k) {
                    const auto& of_output = picked[first + o];
                    const std::size_t i = t * per_group + k;
                    if (i >= of_output.size()) continue;
                    index[o] |= of_output[i].at << (bits * k);
                    weight[o] |= of_output[i].weight << (bits * k);
                }
            d.parameters.insert(d.parameters.end(), std::begin(index), std::end(index));
            d.parameters.insert(d.parameters.end(), std::begin(weight), std::end(weight));
        }
    d.note = ", in batch 1 lists of nonzero weights: " + std::to_string(times) + " products of " +
             std::to_string(n_products);
    return true;
}

/// The kernel of @p s where its inputs are one vector of shorts: it takes them as they lie in 32-bit lanes. False if it
/// has more of them, or more outputs than that kernel sums at once.
bool take_direct(const Kernels& kernels, const Step& s, LinkDraft& d) {
    if (s.in.lanes != Lanes::s16 || s.in.columns > link_lanes || d.vectors > max_direct_vectors) return false;
    const std::size_t pairs = (std::size_t{s.in.columns} + 3) / 4 * 2;
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    const std::size_t n = std::min<std::size_t>(pairs, s.in.stride / 4) * d.vectors * link_lanes;
    d.link.run = kernels.links->direct[pairs / 2][d.vectors][link_epilogue(s.epilogue)];
    d.takes = Lanes::s32;
    const std::size_t begin = d.parameters.size();
    d.parameters.resize(begin + pairs * d.vectors * link_lanes);
    std::copy_n(weights, n, d.parameters.begin() + static_cast<std::ptrdiff_t>(begin));
    return true;
}

/// Weights of four elements, as bytes; an element behind the last one has none.
void append_quad(const Step& s, const std::vector<std::size_t>& elements, std::size_t first, LinkDraft& d) {
    for (std::size_t o = 0; o < d.vectors * link_lanes; ++o) {
        std::uint32_t quad = 0;
        for (std::size_t k = 0; k < 4 && first + k < elements.size(); ++k)
            quad |= static_cast<std::uint32_t>(short_weight(s, elements[first + k], o) & 0xff) << (8 * k);
        d.parameters.push_back(quad);
    }
}

}  // namespace

std::size_t vectors_of(std::size_t n) noexcept {
    return (n + link_lanes - 1) / link_lanes;
}

/// The kernel of @p s on an image of @p in vectors, and its weights in the order of the image's dwords.
void take_image(const Kernels& kernels, const Step& s, std::size_t in, LinkDraft& d) {
    if (take_direct(kernels, s, d)) return;
    d.takes = s.in.lanes;
    const bool bytes = s.in.lanes == Lanes::u8;
    const std::size_t dwords = bytes ? in : 2 * in;  // of a quarter
    const std::size_t n_groups = s.in.stride / 4;
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    const std::size_t row = d.vectors * link_lanes;
    const std::size_t n_quarters = (std::min<std::size_t>(s.in.columns, link_lanes) + 3) / 4;
    if (take_listed(kernels, s, n_quarters * dwords, d)) return;
    d.link.run = kernels.links->link[bytes ? 0 : 1][dwords][d.vectors][link_epilogue(s.epilogue)];
    d.link.n_quarters = static_cast<std::uint8_t>(n_quarters);
    for (std::size_t q = 0; q < d.link.n_quarters; ++q)
        for (std::size_t k = 0; k < dwords; ++k) {
            const std::size_t group = bytes ? 4 * k + q : 8 * (k / 2) + 2 * q + k % 2;
            const std::size_t at = d.parameters.size();
            d.parameters.resize(at + row);
            if (group < n_groups) std::copy_n(weights + group * row, row, d.parameters.data() + at);
        }
}

/// The weight of element @p i and output @p o of a layer whose inputs are shorts.
std::int32_t short_weight(const Step& s, std::size_t i, std::size_t o) noexcept {
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    const std::uint32_t pair = weights[i / 2 * vectors_of(s.n_out) * link_lanes + o];
    return static_cast<std::int16_t>(static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16));
}

/// The kernel of @p s on inputs cut into bytes, and its weights; @p wide elements have more than 16 bits.
PlanesFunction take_planes(const Kernels& kernels, const Step& s, const std::vector<std::size_t>& wide, LinkDraft& d) {
    std::vector<std::size_t> all(s.in.columns);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    d.link.n_quarters = static_cast<std::uint8_t>((all.size() + 3) / 4);
    d.link.n_high = static_cast<std::uint8_t>((wide.size() + 3) / 4);
    for (std::size_t i = 0; i < all.size(); i += 4) append_quad(s, all, i, d);
    for (std::size_t h = 0; h * link_lanes < wide.size(); ++h) {
        for (std::size_t i = 0; i < link_lanes; ++i) {
            const std::size_t element = h * link_lanes + i < wide.size() ? wide[h * link_lanes + i] : 0;
            d.parameters.push_back(static_cast<std::uint32_t>(element));
        }
        for (std::size_t i = 0; i < link_lanes; i += 4) append_quad(s, wide, h * link_lanes + i, d);
    }
    return kernels.links->planes[d.vectors][link_epilogue(s.epilogue)];
}

}  // namespace rheinfall::quantized
