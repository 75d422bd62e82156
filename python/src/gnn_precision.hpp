#pragma once

#include <rheinfall/gnn/edge_classifier.hpp>
#include <stdexcept>
#include <string>

inline rheinfall::GnnPrecision gnn_precision(const std::string& name) {
    if (name == "fp32") return rheinfall::GnnPrecision::fp32;
    if (name == "bf16") return rheinfall::GnnPrecision::bf16;
    throw std::invalid_argument("precision: expected fp32 or bf16; got " + name);
}
