#include <algorithm>

#include "gnn/plan_emit.hpp"

namespace rheinfall::gnn {
namespace {

/// The life of a register: instructions [first, last].
struct Life {
    int first = -1;
    int last = -1;
    int place = -1;  ///< column of the scratch
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
    const auto life = [&](Place place) -> Life& { return lives[static_cast<std::size_t>(place.reg)]; };
    for (int k = 0; k < n; ++k) {
        const Draft& draft = drafts_[static_cast<std::size_t>(k)];
        for (const Place place : {draft.in, draft.in2, draft.out}) {
            if (place.reg < 0) continue;
            Life& l = life(place);
            if (l.first < 0) l.first = k;
            l.last = k;
        }
    }
    const auto width = [&](std::size_t r) { return register_widths_[r]; };
    const auto is_free = [&](int place, int wanted, int now, int but_for) {
        for (std::size_t r = 0; r < lives.size(); ++r) {
            const Life& l = lives[r];
            const bool alive = l.place >= 0 && l.first <= now && l.last >= now && static_cast<int>(r) != but_for;
            if (alive && place < l.place + width(r) && l.place < place + wanted) return false;
        }
        return true;
    };
    for (int k = 0; k < n; ++k) {
        Draft& draft = drafts_[static_cast<std::size_t>(k)];
        if (draft.out.reg >= 0 && life(draft.out).place < 0) {
            Life& l = life(draft.out);
            const int wanted = width(static_cast<std::size_t>(draft.out.reg));
            const bool reuses = may_overwrite(draft.instruction.code) && draft.in.offset == 0 &&
                                life(draft.in).last == k && width(static_cast<std::size_t>(draft.in.reg)) == wanted &&
                                reads_before_it_writes(draft.instruction, draft.in.reg == draft.in2.reg,
                                                       draft.in.offset, draft.in2.offset);
            int place = reuses ? life(draft.in).place : 0;
            while (!is_free(place, wanted, k, reuses ? draft.in.reg : -1)) ++place;
            l.place = place;
            stage_.scratch_columns = std::max(stage_.scratch_columns, place + wanted);
        }
        Instruction& i = draft.instruction;
        if (draft.in.reg >= 0) i.in = life(draft.in).place + draft.in.offset;
        if (draft.in2.reg >= 0) i.in2 = life(draft.in2).place + draft.in2.offset;
        if (draft.out.reg >= 0) i.out = life(draft.out).place + draft.out.offset;
        stage_.instructions.push_back(i);
        stage_.names.push_back(at(draft.operation).name);
    }
}

}  // namespace rheinfall::gnn
