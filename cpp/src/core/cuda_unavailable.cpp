// Linked instead of cuda/ when CUDA is off: every function of the CUDA backend, defined to refuse.
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <rheinfall/quantized/network_cuda.hpp>
#include <rheinfall/tracking/edge_features_cuda.hpp>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <string>

#include "tracking/bucket_by_module_backends.hpp"

namespace rheinfall {
namespace {

[[noreturn]] void refuse(const char* stage) {
    throw CudaError(std::string(stage) +
                    ": this library was built without CUDA; configure it with RHEINFALL_CUDA=ON, which needs nvcc 12");
}

}  // namespace

bool cuda_available() noexcept {
    return false;
}
void require_cuda_device(const char* who, int /*device*/) {
    refuse(who);
}
int device_of(const char* who, const void* /*memory*/) {
    refuse(who);
}
void order_after(CudaStream /*stream*/, CudaStream /*other*/, int /*device*/) {
    refuse("order_after");
}
void copy_to_host(CudaStream /*stream*/, void* /*to*/, const void* /*from*/, std::size_t /*n_bytes*/) {
    refuse("copy_to_host");
}
void copy_on_device(CudaStream /*stream*/, void* /*to*/, const void* /*from*/, std::size_t /*n_bytes*/) {
    refuse("copy_on_device");
}
CurrentDevice::CurrentDevice(int device) : device_(device) {
    refuse("CurrentDevice");
}
CurrentDevice::~CurrentDevice() {}  // NOLINT(modernize-use-equals-default): with CUDA it does something

std::pmr::memory_resource* device_memory() {
    refuse("device_memory");
}

std::size_t bucket_by_module_workspace_size_cuda(std::size_t /*n_hits*/, std::size_t /*n_modules*/) {
    refuse("bucket_by_module");
}

void bucket_by_module_cuda(CudaStream /*stream*/, std::span<const std::uint64_t> /*modules*/,
                           std::span<const std::uint64_t> /*module_id*/, ModuleBuckets /*buckets*/,
                           Workspace& /*workspace*/) {
    refuse("bucket_by_module");
}

struct DeviceModuleMap::Impl {};

DeviceModuleMap::DeviceModuleMap(const ModuleMap& /*map*/) {
    refuse("DeviceModuleMap");
}
// No object comes into being here, so that none of these is ever called.
std::size_t DeviceModuleMap::n_modules() const noexcept {
    return 0;
}
std::size_t DeviceModuleMap::bytes() const noexcept {
    return 0;
}
std::size_t graph_workspace_size(const DeviceModuleMap& /*map*/, const GraphLimits& /*limits*/) {
    refuse("build_graph");
}
void build_graph(CudaStream /*stream*/, const DeviceModuleMap& /*map*/, const DeviceHits& /*hits*/,
                 const GraphLimits& /*limits*/, EdgesBuffer /*edges*/, Workspace& /*workspace*/,
                 GraphResult* /*result*/) {
    refuse("build_graph");
}

std::size_t prune_edges_device_workspace_size(std::size_t /*n_hits*/, std::size_t /*n_edges*/) {
    refuse("prune_edges");
}
void prune_edges(CudaStream /*stream*/, const HitsView& /*hits*/, const DeviceEdges& /*edges*/,
                 const TripletModel& /*model*/, const PruneCuts& /*cuts*/, EdgesBuffer /*left*/,
                 ContinuationChi2 /*out*/, Workspace& /*workspace*/, PruneResult* /*result*/) {
    refuse("prune_edges");
}
void graph_features(CudaStream /*stream*/, const DeviceHits& /*hits*/, const DeviceEdges& /*edges*/,
                    const ContinuationChi2& /*chi2*/, std::span<float> /*node_rows*/, std::span<float> /*edge_rows*/,
                    Workspace& /*workspace*/) {
    refuse("graph_features");
}

struct DeviceEdgeClassifier::Impl {};

DeviceEdgeClassifier DeviceEdgeClassifier::load(const std::string& /*path*/, GnnPrecision /*precision*/) {
    refuse("DeviceEdgeClassifier");
}
DeviceEdgeClassifier DeviceEdgeClassifier::parse(std::span<const std::byte> /*bytes*/, std::string_view /*name*/,
                                                 GnnPrecision /*precision*/) {
    refuse("DeviceEdgeClassifier");
}
// No object comes into being here, so that none of these is ever called.
std::size_t DeviceEdgeClassifier::n_node_features() const noexcept {
    return 0;
}
std::size_t DeviceEdgeClassifier::n_edge_features() const noexcept {
    return 0;
}
GnnPrecision DeviceEdgeClassifier::precision() const noexcept {
    return GnnPrecision::fp32;
}
std::size_t DeviceEdgeClassifier::workspace_size(const EdgeClassifierLimits& /*limits*/) const {
    refuse("DeviceEdgeClassifier");
}
void DeviceEdgeClassifier::run(CudaStream /*stream*/, Workspace& /*workspace*/,
                               const DeviceEdgeClassifierInput& /*input*/, EdgeOutput /*output*/,
                               std::span<float> /*out*/, Status* /*status*/) const {
    refuse("DeviceEdgeClassifier");
}

std::size_t radius_graph_workspace_size(const RadiusGraphPlan& /*plan*/, std::size_t /*n_points*/,
                                        std::size_t /*dimension*/, std::size_t /*edge_capacity*/) {
    refuse("build_radius_graph");
}
void build_radius_graph(CudaStream /*stream*/, const RadiusGraphPlan& /*plan*/, Workspace& /*workspace*/,
                        const PointsView& /*points*/, std::span<std::int64_t> /*counts*/,
                        std::span<std::int64_t> /*source*/, std::span<std::int64_t> /*target*/,
                        RadiusGraphResult* /*result*/) {
    refuse("build_radius_graph");
}

std::size_t track_building_workspace_size(const TrackBuildingPlan& /*plan*/, const TrackBuildingLimits& /*limits*/,
                                          bool /*has_hits*/) {
    refuse("build_tracks");
}
void build_tracks(CudaStream /*stream*/, const TrackBuildingPlan& /*plan*/, Workspace& /*workspace*/,
                  const DeviceScoredGraph& /*on_device*/, const DeviceTracks& /*tracks*/) {
    refuse("build_tracks");
}

struct DeviceTrackFinder::Impl {
    TrackFinderOptions options;
};

DeviceTrackFinder DeviceTrackFinder::load_bundle(const std::string& /*folder*/) {
    refuse("DeviceTrackFinder");
}
DeviceTrackFinder::DeviceTrackFinder(const ModuleMap& /*map*/, const TrackFinderOptions& /*options*/) {
    refuse("DeviceTrackFinder");
}
DeviceTrackFinder::DeviceTrackFinder(const ModuleMap& /*map*/, const TrackFinderOptions& /*options*/,
                                     const DeviceEdgeClassifier& /*network*/, EdgeOutput /*output*/) {
    refuse("DeviceTrackFinder");
}
// No object comes into being here, so that none of these is ever called.
const TrackFinderOptions& DeviceTrackFinder::options() const noexcept {
    return impl_->options;
}
bool DeviceTrackFinder::has_network() const noexcept {
    return false;
}
std::size_t DeviceTrackFinder::workspace_size(const TrackFinderLimits& /*limits*/) const {
    refuse("DeviceTrackFinder");
}
void DeviceTrackFinder::run(CudaStream /*stream*/, Workspace& /*workspace*/, const DeviceHits& /*hits*/,
                            const TrackFinderLimits& /*limits*/, const DeviceTracks& /*tracks*/,
                            TrackFinderResult* /*result*/) const {
    refuse("DeviceTrackFinder");
}

namespace quantized {

struct DeviceNetwork::Impl {};

DeviceNetwork::DeviceNetwork(const Network& /*network*/, DeviceKernel /*kernel*/, int /*device*/) {
    refuse("DeviceNetwork");
}

// No object comes into being here, so that none of these is ever called.
std::size_t DeviceNetwork::n_inputs() const noexcept {
    return 0;
}
std::size_t DeviceNetwork::n_outputs() const noexcept {
    return 0;
}
DeviceKernel DeviceNetwork::kernel() const noexcept {
    return DeviceKernel::best;
}
std::size_t DeviceNetwork::packed_bytes() const noexcept {
    return 0;
}
void DeviceNetwork::run(CudaStream /*stream*/, DeviceEvents /*in*/, MutableArray /*out*/, std::size_t /*n_events*/,
                        std::uint32_t* /*flags*/) const {
    refuse("DeviceNetwork");
}
Status DeviceNetwork::run_and_wait(CudaStream /*stream*/, DeviceEvents /*in*/, MutableArray /*out*/,
                                   std::size_t /*n_events*/) const {
    refuse("DeviceNetwork");
}

}  // namespace quantized
}  // namespace rheinfall
