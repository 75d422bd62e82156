"""A folder as CMS's AXOL1TL has it, written by hand with random numbers, and the C++ around such a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

N_IN, SIZES = 57, (28, 15, 8)
DEFINES = """#ifndef DEFINES_H_
#define DEFINES_H_
#include "ap_fixed.h"
#include "ap_int.h"
namespace axo {
static const int N_INPUT_1_1 = 57;
static const int N_LAYER_2 = 28;
#define N_LAYER_4 15
static const int N_LAYER_6 = N_LAYER_4 - 7; // 8
//typedef ap_fixed<5,5> ad_shift_t;
typedef ap_fixed<8,6,AP_RND_CONV,AP_SAT> input_t;
typedef ap_fixed<29,16> q_dense_accum_t;
typedef ap_fixed<29,16> layer2_t;
typedef ap_fixed<6,3> q_weight_t;
typedef ap_fixed<10,7> q_bias_t;
typedef ap_ufixed<10,6,AP_RND_CONV,AP_SAT> layer3_t;
typedef ap_fixed<18,8> q_table_t;
typedef ap_fixed<22,15> layer4_t;
typedef ap_fixed<21,14> layer6_t;
typedef ap_fixed<10,7,AP_RND_CONV,AP_SAT> result_t;
typedef ap_fixed<18,13> unscaled_t;
typedef ap_ufixed<18,14> resultsq_t;
extern q_weight_t w2[1596];
extern q_bias_t b2[28];
} // namespace axo
#endif
"""
DENSE = """
struct config{index} : nnet::dense_config {{
    static const unsigned n_in = {n_in};
    static const unsigned n_out = {n_out};
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef layer{index}_t accum_t;
    typedef q_bias_t bias_t;
    typedef q_weight_t weight_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
}};
"""
ACTIVATION = """
struct {kind}_config{index} : nnet::activ_config {{
    static const unsigned n_in = {n_in};
    static const unsigned table_size = 1024;
    typedef q_table_t table_t;
}};
"""
TOP = """#include "defines.h"
#include "parameters.h"
namespace axo {
void AXO(
    input_t input_3[N_INPUT_1_1],
    result_t layer7_out[N_LAYER_6]
) {
    #pragma HLS PIPELINE
#ifdef LOAD_WEIGHTS_FROM_TXT
    static bool loaded_weights = false;
#endif
    layer2_t layer2_out[N_LAYER_2];
    nnet::dense<input_t, layer2_t, config2>(input_3, layer2_out, w2, b2); // q_dense
    layer3_t layer3_out[N_LAYER_2];
    nnet::relu<layer2_t, layer3_t, relu_config3>(layer2_out, layer3_out); // q_dense_relu
    layer4_t layer4_out[N_LAYER_4];
    nnet::dense<layer3_t, layer4_t, config4>(layer3_out, layer4_out, w4, b4);
    layer3_t layer5_out[N_LAYER_4];
    nnet::relu<layer4_t, layer3_t, relu_config5>(layer4_out, layer5_out); // a comment of several words
    layer6_t layer6_out[N_LAYER_6];
    nnet::dense<layer3_t, layer6_t, config6>(layer5_out, layer6_out, w6, b6); // mu
    nnet::linear<layer6_t, result_t, linear_config7>(layer6_out, layer7_out); // mu_quantized
}
} // namespace axo
"""
FIRMWARE = """
#include <cstdio>
#include <vector>
#include "nnet_utils/nnet_dense.h"
#include "nnet_utils/nnet_activation.h"
#include "NN/AXO.cpp"
#include "scales.h"
int main() {
    double x[57];
    while (fread(x, sizeof(double), 57, stdin) == 57) {
        axo::input_t scaled[57];
        axo::result_t out[8];
        for (int i = 0; i < 57; i++) {
            axo::unscaled_t raw = x[i];
            axo::unscaled_t offset = raw - axo::ad_offsets[i];
            axo::input_t shifted = offset >> axo::ad_shift[i];
            scaled[i] = shifted;
        }
        axo::AXO(scaled, out);
        axo::resultsq_t squares[8], sum;
        for (int i = 0; i < 8; i++) squares[i] = out[i] * out[i];
        nnet::Op_add<axo::resultsq_t> op;
        sum = nnet::reduce<axo::resultsq_t, 8, nnet::Op_add<axo::resultsq_t>>(squares, op);
        double y = sum.to_double();
        fwrite(&y, sizeof(double), 1, stdout);
    }
}
"""
WRAPPER: dict[str, Any] = {
    "format": 1,
    "input": {
        "type": "ap_fixed<18,13>",
        "offset": {"file": "scales.h", "name": "ad_offsets"},
        "shift": {"file": "scales.h", "name": "ad_shift"},
    },
    "score": {"op": "sum_of_squares", "type": "ap_ufixed<18,14>"},
}


def write_folder(folder: Path, seed: int = 0) -> None:
    """The folder, its scales one level above NN, and the wrapper as rheinfall.json."""
    rng = np.random.default_rng(seed)
    network = folder / "NN"
    network.mkdir(parents=True)
    (network / "defines.h").write_text(DEFINES)
    (network / "AXO.cpp").write_text(TOP)
    configs, weights = "", ""
    for index, n_in, n_out in zip((2, 4, 6), (N_IN, *SIZES), SIZES, strict=False):
        configs += DENSE.format(index=index, n_in=n_in, n_out=n_out)
        kind = "linear" if index == 6 else "relu"
        configs += ACTIVATION.format(kind=kind, index=index + 1, n_in=n_out)
        for name, size in ((f"q_weight_t w{index}", n_in * n_out), (f"q_bias_t b{index}", n_out)):
            numbers = ", ".join(f"{x:.3f}" for x in rng.integers(-8, 9, size) / 8)
            weights += f"{name}[{size}] = {{{numbers}}};\n"
    head = '#include "defines.h"\nnamespace axo {\n'
    (network / "weights.h").write_text(f"#pragma once\n{head}{weights}}}\n")
    (network / "parameters.h").write_text(f'#pragma once\n#include "weights.h"\n{head}{configs}}}\n')
    shifts = rng.integers(-1, 7, N_IN)
    offsets = rng.integers(0, 200, N_IN) / 2
    scales = "namespace axo {\ntypedef ap_fixed<5,5> ad_shift_t;\ntypedef ap_fixed<10,10> ad_offset_t;\n"
    scales += f"static const ad_shift_t ad_shift[N_INPUT_1_1] = {{{', '.join(f'{x}.' for x in shifts)}}};\n"
    scales += f"static const ad_offset_t ad_offsets[N_INPUT_1_1] = {{{', '.join(f'{x:g}' for x in offsets)}}};\n}}\n"
    (folder / "scales.h").write_text(scales)
    (folder / "rheinfall.json").write_text(json.dumps(WRAPPER))
    (folder / "firmware.cpp").write_text(FIRMWARE)
