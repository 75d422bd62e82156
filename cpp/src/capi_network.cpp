#include <rheinfall/rheinfall.h>

#include <exception>
#include <rheinfall/quantized/network.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "capi_common.hpp"

using rheinfall::capi::fill;
using rheinfall::quantized::ElementType;
using rheinfall::quantized::Isa;
using rheinfall::quantized::Network;

struct rf_network {
    Network network;
};

namespace {

rheinfall::quantized::NetworkOptions to_options(std::int32_t isa) {
    if (isa < RF_BEST || isa > RF_EXACT) {
        throw std::invalid_argument("isa: expected 0 to 4, got " + std::to_string(isa));
    }
    return {static_cast<Isa>(isa)};
}

/// Calls make(), which returns a Network; NULL and an error where it throws.
template <class Make>
rf_network* make_network(std::string_view file, rf_error* error, Make make) noexcept {
    try {
        return new rf_network{make()};
    } catch (const std::invalid_argument& e) {
        fill(error, "", e.what());
    } catch (const std::exception& e) {
        fill(error, file, e.what());
    }
    return nullptr;
}

bool is_element(std::int32_t type) noexcept {
    return type >= RF_INT8 && type <= RF_FLOAT64;
}

}  // namespace

extern "C" {

rf_network* rf_network_load(const char* path, int32_t isa, rf_error* error) noexcept {
    const std::string_view file = path == nullptr ? "" : path;
    return make_network(file, error, [&] {
        if (file.empty()) throw std::invalid_argument("path: expected a path");
        return Network::load(std::string(file), to_options(isa));
    });
}

rf_network* rf_network_load_json(const char* text, size_t length, const char* name, int32_t isa,
                                 rf_error* error) noexcept {
    const std::string_view file = name == nullptr ? "" : name;
    return make_network(file, error, [&] {
        if (text == nullptr) throw std::invalid_argument("text: expected a document");
        return Network::from_json({text, length}, file, to_options(isa));
    });
}

void rf_network_free(rf_network* network) noexcept {
    delete network;
}

size_t rf_network_n_inputs(const rf_network* network) noexcept {
    return network == nullptr ? 0 : network->network.n_inputs();
}

size_t rf_network_n_outputs(const rf_network* network) noexcept {
    return network == nullptr ? 0 : network->network.n_outputs();
}

size_t rf_network_workspace_size(const rf_network* network, size_t n_events) noexcept {
    return network == nullptr ? 0 : network->network.workspace_size(n_events);
}

rf_status rf_network_run(const rf_network* network, rf_workspace* workspace, const void* in, int32_t in_type, void* out,
                         int32_t out_type, size_t n_events) noexcept {
    if (network == nullptr || workspace == nullptr || !is_element(in_type) || !is_element(out_type)) {
        return RF_INVALID_ARGUMENT;
    }
    const rheinfall::Status status =
        network->network.run({in, static_cast<ElementType>(in_type)}, {out, static_cast<ElementType>(out_type)},
                             n_events, workspace->workspace);
    return status == rheinfall::Status::invalid_argument ? RF_INVALID_ARGUMENT : static_cast<rf_status>(status);
}
}
