#include <algorithm>
#include <new>
#include <utility>

#include "quantized/plan_lowering.hpp"

namespace rheinfall::quantized {
namespace {

/// A batch-1 step that does a whole dense layer of one vector of outputs, with a special epilogue.
bool is_link(const Kernels& kernels, const Step& s) {
    if (s.n_rows != 1 || s.taps != nullptr || s.epilogue == Epilogue::any || s.in.lanes == Lanes::s32) return false;
    if (s.n_out > static_cast<std::uint32_t>(kernels.lanes) || s.out.low_mask != nullptr) return false;
    const auto l = static_cast<std::size_t>(s.in.lanes);
    const StepFunction f = kernels.dense[l][static_cast<std::size_t>(s.epilogue)][1];
    return f != nullptr && s.run == f;
}

/// A step that stores the values of @p s once more, in other lanes and otherwise as they are.
bool is_copy(const Kernels& kernels, const Step& s, const Step& copy) {
    return copy.run == kernels.map && copy.n_stages == 0 && copy.n_rows == 1 && copy.n_out == s.n_out &&
           copy.in.one == s.out.one && copy.in.lanes == s.out.lanes && copy.out.low_mask == nullptr;
}

DenseLink link_of(const Step& s) {
    DenseLink k;
    k.weights = s.weights;
    k.bias = s.bias;
    k.out = s.out.one;
    k.out_lanes = s.out.lanes;
    k.wraps = wraps_first(s.epilogue);
    const Stage& last = s.stages[k.wraps ? 1 : 0];
    if (k.wraps) {
        k.left = s.stages[0].left_shift;
        k.right = s.stages[0].shift;
        k.c0 = last.c0;
    }
    k.shift = last.shift;
    k.middle = last.c1;
    k.lo = last.lo;
    k.hi = last.hi;
    k.in = s.in.lanes;
    return k;
}

}  // namespace

/// Makes one step of dense layers that follow each other in batch 1, each the only thing between its neighbours.
void Lowering::link_dense() {
    const Kernels& kernels = *plan_.kernels;
    const std::vector<Step>& from = plan_.one;
    std::vector<Step> to;
    for (std::size_t i = 0; i < from.size();) {
        std::vector<DenseLink> links;
        std::size_t end = i;
        for (std::size_t at = i; at < from.size();) {
            const Step& s = from[at];
            if (!is_link(kernels, s)) break;
            DenseLink k = link_of(s);
            if (!links.empty()) {
                const DenseLink& before = links.back();
                const bool follows = s.in.lanes == before.out_lanes
                                         ? s.in.one == before.out
                                         : before.copies && s.in.one == before.copy && s.in.lanes == before.copy_lanes;
                const std::uint32_t most = s.in.lanes == Lanes::u8 ? 4 : 8;  // groups of a vector's values
                if (!follows || s.in.low_mask != nullptr || s.n_groups > most) break;
                k.n_groups = static_cast<std::uint8_t>(s.n_groups);
            }
            ++at;
            if (at < from.size() && is_copy(kernels, s, from[at])) {
                k.copies = true;
                k.copy = from[at].out.one;
                k.copy_lanes = from[at].out.lanes;
                ++at;
            }
            links.push_back(k);
            end = at;
        }
        if (links.size() < 2) {
            to.push_back(from[i++]);
            continue;
        }
        auto* kept = new (plan_.parameters.take<DenseLink>(links.size())) DenseLink[links.size()];
        std::copy(links.begin(), links.end(), kept);
        Step& chain = to.emplace_back(from[i]);
        chain.run = kernels.dense_chain;
        chain.links = kept;
        chain.n_links = static_cast<std::uint32_t>(links.size());
        i = end;
    }
    plan_.one = std::move(to);
}

}  // namespace rheinfall::quantized
