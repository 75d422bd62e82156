#include <algorithm>

#include "gnn/plan_emit.hpp"

namespace rheinfall::gnn {
namespace {

struct Life {
    int last = -1;   ///< instruction that reads or writes a register
    int place = -1;  ///< column of the scratch, from the first that writes it
};

bool may_overwrite(Code code) {
    return code == Code::unary || code == Code::affine || code == Code::event_affine || code == Code::layer_norm ||
           code == Code::binary;
}

/// True if a binary operation reads each column for the last time when it writes that column. One column that stands
/// for all is read again for the next, so it must not lie in the register that the result takes.
bool reads_before_it_writes(const Instruction& i, bool same_register, int offset, int offset2) {
    if (i.code != Code::binary) return true;
    if (i.in_width != i.width) return false;
    return !same_register || (i.in2_width == i.width && offset == offset2);
}

}  // namespace

/// Gives registers columns of the scratch, lowest first; what is computed element by element may overwrite its input.
void StageEmitter::allocate_columns() {
    std::vector<Life> lives(register_widths_.size());
    const auto n = static_cast<int>(drafts_.size());
    const auto life = [&](int r) -> Life& { return lives[static_cast<std::size_t>(r)]; };
    const auto width = [&](int r) { return register_widths_[static_cast<std::size_t>(r)]; };
    for (int k = 0; k < n; ++k) {
        const Draft& draft = drafts_[static_cast<std::size_t>(k)];
        for (const Place place : {draft.in, draft.in2, draft.out}) {
            if (place.reg >= 0) life(place.reg).last = k;
        }
    }
    std::vector<int> standing;  // registers that are alive, by their place
    const auto put = [&](const Draft& draft, int k) {
        std::erase_if(standing, [&](int r) { return life(r).last < k; });
        const int wanted = width(draft.out.reg);
        const bool reuses =
            may_overwrite(draft.instruction.code) && draft.in.offset == 0 && life(draft.in.reg).last == k &&
            width(draft.in.reg) == wanted &&
            reads_before_it_writes(draft.instruction, draft.in.reg == draft.in2.reg, draft.in.offset, draft.in2.offset);
        int place = 0;
        auto next = standing.begin();
        if (reuses) {
            place = life(draft.in.reg).place;
            next = standing.erase(std::find(next, standing.end(), draft.in.reg));
        } else {
            for (; next != standing.end() && life(*next).place < place + wanted; ++next) {
                place = life(*next).place + width(*next);
            }
        }
        standing.insert(next, draft.out.reg);
        life(draft.out.reg).place = place;
        stage_.scratch_columns = std::max(stage_.scratch_columns, place + wanted);
    };
    for (int k = 0; k < n; ++k) {
        Draft& draft = drafts_[static_cast<std::size_t>(k)];
        if (draft.out.reg >= 0 && life(draft.out.reg).place < 0) put(draft, k);
        Instruction& i = draft.instruction;
        if (draft.in.reg >= 0) i.in = life(draft.in.reg).place + draft.in.offset;
        if (draft.in2.reg >= 0) i.in2 = life(draft.in2.reg).place + draft.in2.offset;
        if (draft.out.reg >= 0) i.out = life(draft.out.reg).place + draft.out.offset;
        stage_.instructions.push_back(i);
        stage_.names.push_back(at(draft.operation).name);
    }
}

}  // namespace rheinfall::gnn
