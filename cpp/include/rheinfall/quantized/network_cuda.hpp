#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/quantized/model.hpp>
#include <rheinfall/quantized/network.hpp>

namespace rheinfall::quantized {

/// Events in device memory: stored integers of the input's type, one event after the other.
struct DeviceEvents {
    const void* data = nullptr;             ///< aligned to 16 bytes, as cudaMalloc does
    ElementType type = ElementType::int32;  ///< an integer; not looked at if packed
    /// True: each event's integers in W bits each (the input type's width), least significant first, one after the
    /// other, each event beginning at a whole 32-bit word (`DeviceNetwork::packed_bytes` from event to event).
    bool is_packed = false;
};

/// The kernels to use. All give the same bits.
enum class DeviceKernel : std::uint8_t {
    best,
    dot_products,  ///< one event a thread, dp4a
    tensor_cores,  ///< sixteen events a warp, int8 mma; at most 64 inputs, 64 outputs a layer, 24-bit values
};

/// A network whose constants lie on a CUDA device: chains of dense layers as triggers have them (the constructor
/// refuses others by name). The same bits as `Network`. Immutable; copies share the device memory.
class RHEINFALL_API DeviceNetwork {
public:
    /// Lowers and uploads to the current device, and waits for it. Throws ModelError if the kernels cannot compute some
    /// layer, std::invalid_argument if the network does not fit the kernel asked for, CudaError.
    explicit DeviceNetwork(const Network& network, DeviceKernel kernel = DeviceKernel::best);

    [[nodiscard]] std::size_t n_inputs() const noexcept;
    [[nodiscard]] std::size_t n_outputs() const noexcept;
    [[nodiscard]] DeviceKernel kernel() const noexcept;       ///< never DeviceKernel::best
    [[nodiscard]] std::size_t packed_bytes() const noexcept;  ///< of a packed event

    /// Computes @p n_events events in the order of @p stream on the device of the constructor. Neither allocates nor
    /// waits; may be captured into a CUDA graph. Writes n_events · n_outputs() stored integers of the output's type to
    /// @p out, of an integer type at least as wide.
    ///
    /// @p out_of_range  null, or a device word that is set to 1 if some integer lies outside the input's type (each is
    ///                  converted as the type's overflow says); never set to 0.
    ///
    /// Throws std::invalid_argument for a null or unaligned array or a type that does not fit, CudaError if the launch
    /// fails.
    void run(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events,
             std::uint32_t* out_of_range = nullptr) const;

private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall::quantized
