#pragma once

#include <gtest/gtest.h>

#include <rheinfall/quantized/network.hpp>
#include <string>
#include <utility>
#include <vector>

/// Small documents of networks, and what they compute on every kind of executor.
namespace rheinfall::test {

using rheinfall::Status;
using rheinfall::Workspace;
using rheinfall::quantized::ElementType;
using rheinfall::quantized::Isa;
using rheinfall::quantized::ModelError;
using rheinfall::quantized::Network;

using Integers = std::vector<std::int64_t>;

inline std::string document(const std::string& inputs, const std::string& layers, const std::string& outputs) {
    return R"({"format":"rheinfall.quantized","version":1,"inputs":[)" + inputs + R"(],"layers":[)" + layers +
           R"(],"outputs":[)" + outputs + "]}";
}

inline std::string input(const std::string& shape, const std::string& type, const std::string& name = "x") {
    return R"({"name":")" + name + R"(","shape":)" + shape + R"(,"type":")" + type + R"("})";
}

/// A document of one layer "y" that reads "x".
inline std::string one_layer(const std::string& shape, const std::string& type, const std::string& layer) {
    return document(input(shape, type), R"({"name":"y","inputs":["x"],)" + layer + "}", R"("y")");
}

template <class In, class Out>
std::pair<Status, std::vector<Out>> run(const Network& network, const std::vector<In>& x, ElementType in,
                                        ElementType out) {
    const std::size_t n_events = x.size() / network.n_inputs();
    std::vector<Out> y(n_events * network.n_outputs());
    Workspace workspace;
    workspace.reserve(network.workspace_size(n_events));
    const Status status = network.run({x.data(), in}, {y.data(), out}, n_events, workspace);
    return {status, y};
}

inline Integers run_integers(const std::string& text, const Integers& x) {
    Integers last;
    for (const Isa isa : {Isa::exact, Isa::portable, Isa::best}) {
        const Network network = Network::from_json(text, "test.json", {isa});
        const auto [status, y] = run<std::int64_t, std::int64_t>(network, x, ElementType::int64, ElementType::int64);
        EXPECT_EQ(status, Status::ok);
        EXPECT_TRUE(last.empty() || y == last);
        last = y;
    }
    return last;
}

inline std::string error_of(const std::string& text) {
    try {
        Network::from_json(text, "net.json");
    } catch (const ModelError& error) {
        return error.what();
    }
    return "accepted";
}

inline void expect_error(const std::string& text, const std::vector<std::string>& parts) {
    const std::string error = error_of(text);
    for (const std::string& part : parts) EXPECT_NE(error.find(part), std::string::npos) << part << "\n" << error;
}

/// y = factor·x, in a layer that is always called "y".
inline std::string scaling_document(int factor) {
    return one_layer("[1]", "ap_int<8>",
                     R"("op":"dense","result":"ap_int<16>","accum":"ap_int<16>","weight":{"type":"ap_int<8>",
                     "shape":[1,1],"data":[)" +
                         std::to_string(factor) + "]}");
}

}  // namespace rheinfall::test
