#pragma once

#include "core/device_buffer.hpp"
#include "quantized/launch.hpp"
#include "quantized/layer_lowering.hpp"

namespace rheinfall::quantized {

/// The kernel `layers` with a program that lies on the current device: any network, layer by layer.
class DeviceLayers {
public:
    /// Uploads, in the order of the default stream; @p code must live until then. Throws std::invalid_argument if an
    /// event does not fit the shared memory of this device, CudaError.
    explicit DeviceLayers(const LayerCode& code);

    void run(CudaStream stream, const LaunchEvents& events) const;

private:
    DeviceBuffer<detail::LayerStep> steps_;
    DeviceBuffer<detail::LayerPort> inputs_;
    DeviceBuffer<detail::LayerPort> outputs_;
    DeviceBuffer<std::int32_t> pool_;
    detail::LayerProgram program_;  ///< with pointers to these
    int event_bytes_ = 0;           ///< of shared memory
    unsigned n_lanes_ = 0;          ///< threads of an event
    unsigned n_together_ = 0;       ///< events of a block
    int n_multiprocessors_ = 0;
};

}  // namespace rheinfall::quantized
