#pragma once

#include <rheinfall/gnn/edge_classifier.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>

namespace rheinfall::detail {

/// What `bundle.json` says of a bundle.
struct Bundle {
    std::string map_path;
    std::string network_path;  ///< of the lowered network
    TrackFinderOptions options;
    EdgeOutput output = EdgeOutput::scores;  ///< of the network, that is a score
    GnnPrecision precision = GnnPrecision::fp32;
};

/// Reads `bundle.json` in @p folder. Throws std::runtime_error naming the file, the key and what was expected: also for
/// a bundle of a newer release, without a lowered network, or whose files have another size than it says.
Bundle read_bundle(const std::string& folder);

}  // namespace rheinfall::detail
