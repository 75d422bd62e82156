#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "gnn/plan.hpp"
#include "gnn/plan_levels.hpp"

namespace rheinfall::gnn {

/// Writes the program of one stage. Values stand in registers of any number, columns of a tile; `allocate_columns`
/// turns them into places of the scratch once the program is complete.
class StageEmitter {
public:
    StageEmitter(Plan& plan, const Levels& levels, const std::vector<int>& array_of, int stage_number);

    /// Emits operations of one stage: ascending, and with the statistics of its rows.
    Stage emit(Kind kind, int level, const std::vector<int>& operations);

private:
    struct Place {
        int reg = -1;
        int offset = 0;
    };
    /// An instruction with the registers that its places lie in.
    struct Draft {
        Instruction instruction;
        Place in, in2, out;
        int operation = -1;
    };

    [[nodiscard]] const Operation& at(int i) const { return levels_.at(i); }
    Place new_register(int width);
    Place operand(int i);
    Place load(int i);
    Place load_pair(int i, int a, int b);
    Place reduce(int i);
    Place compute(int i);
    Place compute_itself(int i);
    Place linear(int i, int residual, bool relu);
    Place binary(int i, bool relu);
    Place concat(int i);
    Place statistic(int i);
    void store_result(int i, Place place);
    [[nodiscard]] bool absorbs(int i, int input) const;
    [[nodiscard]] int absorbed_linear(int i) const;
    Draft& push(Code code, int operation, int width);
    int read_array(int i);
    const float* keep(std::vector<float> values);
    const float* pack(const std::vector<float>& weight, int first, int in, int out);
    const float* pack_rounded(const std::vector<float>& weight, int first, int in, int out);
    void allocate_columns();

    Plan& plan_;
    const Levels& levels_;
    const std::vector<int>& array_of_;
    int number_;
    Stage stage_;
    std::vector<Draft> drafts_;
    std::vector<int> register_widths_;
    std::unordered_map<int, Place> known_;  ///< operations whose value is in a register
    std::vector<bool> absorbed_;
};

}  // namespace rheinfall::gnn
