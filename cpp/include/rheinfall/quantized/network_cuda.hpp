#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/quantized/model.hpp>
#include <rheinfall/quantized/network.hpp>

namespace rheinfall::quantized {

/// Events in device memory, one after the other: stored integers of the inputs' types, or real values.
struct DeviceEvents {
    const void* data = nullptr;  ///< aligned to its elements (packed: 4 bytes); see DeviceKernel::tensor_cores
    ElementType type = ElementType::int32;  ///< not looked at if packed
    /// True: each event's integers in W bits each (the input type's width), least significant first, one after the
    /// other, each event beginning at a whole 32-bit word (`DeviceNetwork::packed_bytes` from event to event).
    bool is_packed = false;
};

/// The kernels to use. All give the same bits.
enum class DeviceKernel : std::uint8_t {
    best,          ///< the last of the following that takes the network
    layers,        ///< any network: layer by layer, some threads an event
    dot_products,  ///< chains of dense layers: one event a thread, dp4a
    /// The same, sixteen events a warp, int8 mma; at most 64 inputs, 64 outputs a layer, 24-bit values. Takes arrays
    /// that begin at a multiple of 16 bytes; others go through `layers` if it was `best` that chose this one, else are
    /// refused.
    tensor_cores,
};

/// A network whose constants lie on a CUDA device. The same bits as `Network`. Immutable; copies share the device
/// memory.
class RHEINFALL_API DeviceNetwork {
public:
    /// What `run` notes of the inputs, as Network::run does by its status.
    static constexpr std::uint32_t out_of_range = 1;
    static constexpr std::uint32_t not_finite = 2;

    static constexpr int current_device = -1;

    /// Lowers and uploads to a device, and waits for it. Throws ModelError, naming the layer, if the kernel
    /// cannot compute it, std::invalid_argument if the network does not fit the kernel or the device, CudaError.
    explicit DeviceNetwork(const Network& network, DeviceKernel kernel = DeviceKernel::best,
                           int device = current_device);

    [[nodiscard]] std::size_t n_inputs() const noexcept;
    [[nodiscard]] std::size_t n_outputs() const noexcept;
    [[nodiscard]] DeviceKernel kernel() const noexcept;       ///< for integers, aligned; reals go through `layers`
    [[nodiscard]] std::size_t packed_bytes() const noexcept;  ///< of a packed event; 0: inputs cannot be packed

    /// Computes @p n_events events in the order of @p stream on the device of the constructor. Neither allocates nor
    /// waits; may be captured into a CUDA graph. Writes n_events · n_outputs() elements to @p out, of a type that
    /// `Network::fits_output` takes.
    ///
    /// @p flags  null, or a device word that gets the bits `out_of_range` (some integer lies outside its input's type,
    ///           and was converted as the type's overflow says) and `not_finite` (some real is, and counted as 0);
    ///           never set to 0.
    ///
    /// Throws std::invalid_argument for a null or unaligned array or a type that does not fit, CudaError if the launch
    /// fails.
    void run(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events,
             std::uint32_t* flags = nullptr) const;

    /// The same, and waits for it: the status of the inputs, as of Network::run. Allocates; not for CUDA graphs.
    [[nodiscard]] Status run_and_wait(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events) const;

private:
    struct Impl;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall::quantized
