#include "tracking/bundle.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <rheinfall/core/version.hpp>
#include <stdexcept>
#include <string_view>

#include "core/file.hpp"
#include "quantized/fields.hpp"

namespace rheinfall::detail {
namespace {

using quantized::Fields;
using quantized::Where;

constexpr std::int64_t format_version = 1;
constexpr const char* description = "bundle.json";
constexpr const char* map_name = "module_map.rfmap";
constexpr const char* network_name = "edge_classifier.rfgnn";
constexpr std::array<const char*, 7> method_names = {"components", "mutual_best",      "cc_and_walk", "walk",
                                                     "d_walk",     "junction_removal", "layer_merge"};

std::array<int, 3> release(const Fields& fields, const std::string& text) {
    std::array<int, 3> numbers = {0, 0, 0};
    const char* at = text.data();
    const char* const end = at + text.size();
    std::size_t n = 0;  // what follows the numbers (.dev1, rc2) is no part of the release
    for (; n < numbers.size() && at != end && *at >= '0' && *at <= '9'; ++n) {
        const auto [next, error] = std::from_chars(at, end, numbers[n]);
        if (error != std::errc()) break;
        at = next;
        if (at != end && *at == '.') ++at;
    }
    fields.check(n > 0, "needs_rheinfall", "expected a version such as 0.1.0, got " + detail::quoted(text));
    return numbers;
}

void check_version(Fields& fields) {
    const std::int64_t version = fields.integer("format_version", 1, std::numeric_limits<std::int32_t>::max());
    const std::string needs = fields.text("needs_rheinfall");
    fields.check(version <= format_version && release(fields, needs) <= release(fields, RHEINFALL_VERSION),
                 "needs_rheinfall",
                 "this bundle (format " + std::to_string(version) + ") needs rheinfall >= " + detail::quoted(needs) +
                     ", this is " RHEINFALL_VERSION);
}

/// The path of one of the bundle's files. Its content has a checksum of its own; here sizes are compared.
std::string checked_file(const std::filesystem::path& folder, Fields& files, const char* name) {
    files.check(files.has(name), name,
                "missing; write the bundle again with this release (TrackFinder.load(...).save(...) in Python)");
    Fields file = files.object(name);
    const std::int64_t bytes = file.integer("bytes", 0, std::numeric_limits<std::int64_t>::max());
    const std::filesystem::path path = folder / name;
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) throw std::runtime_error(path.string() + ": missing from the bundle: " + error.message());
    file.check(size == static_cast<std::uintmax_t>(bytes), "bytes",
               std::to_string(bytes) + ", but the file has " + std::to_string(size));
    return path.string();
}

bool is_null(Fields& fields, std::string_view key) {
    return fields.get(key).as<Json::Null>() != nullptr;
}

float single(Fields& fields, std::string_view key) {
    return static_cast<float>(fields.number(key));
}

void read_thresholds(Fields thresholds, TrackFinderOptions& options) {
    const std::string method = thresholds.text("method");
    std::size_t m = 0;
    while (m < method_names.size() && method != method_names[m]) ++m;
    thresholds.check(m < method_names.size(), "method", "no method " + detail::quoted(method));
    TrackBuildingPlan plan = TrackBuildingPlan::defaults(static_cast<TrackMethod>(m));
    const auto set = [&](const char* key, float& value) {
        if (thresholds.has(key) && !is_null(thresholds, key)) value = single(thresholds, key);
    };
    set("chi2_max", options.chi2_max);
    set("quadruplet_chi2_max", options.quadruplet_chi2_max);
    set("score_cut", plan.score_cut);
    set("sure", plan.sure);
    plan.weak = plan.score_cut;  // of bundles that name none, no edge is weak
    set("weak", plan.weak);
    set("walk_min", plan.walk_min);
    set("walk_add", plan.walk_add);
    if (thresholds.has("min_length")) {
        plan.min_length =
            static_cast<std::size_t>(thresholds.integer("min_length", 1, std::numeric_limits<std::int32_t>::max()));
    }
    thresholds.finish();
    options.building = plan;
}

HitResolution resolution(Fields& fields, std::string_view key) {
    const auto sigmas = fields.numbers(key);
    fields.check(sigmas.size() == 3, key, "expected three standard deviations");
    return {static_cast<float>(sigmas[0]), static_cast<float>(sigmas[1]), static_cast<float>(sigmas[2])};
}

/// Calls `visit(volume, values, key)` for each volume that the object of @p name names.
template <class Visit>
void for_each_volume(Fields& model, std::string_view name, Visit&& visit) {
    Fields volumes = model.object(name);
    for (std::size_t v = 0; v < 256; ++v) {
        const std::string key = std::to_string(v);
        if (volumes.has(key)) visit(v, volumes, key);
    }
    volumes.finish();
}

TripletModel read_triplet_model(Fields model) {
    TripletModel result{{},
                        single(model, "field"),
                        single(model, "layer_x0"),
                        single(model, "field_spread"),
                        single(model, "min_chi2_pt")};
    result.resolution_by_volume.fill(resolution(model, "default_resolution"));
    for_each_volume(model, "resolution", [&](std::size_t v, Fields& volumes, const std::string& key) {
        result.resolution_by_volume[v] = resolution(volumes, key);
    });
    model.finish();
    return result;
}

FitModel read_fit_model(Fields model) {
    const auto above_zero = [](Fields& fields, std::string_view key, float value) {
        fields.check(value > 0.0F && value <= std::numeric_limits<float>::max(), key, "expected a number > 0");
        return value;
    };
    FitModel result{};
    result.field = above_zero(model, "field", single(model, "field"));
    const auto sigmas = [&](Fields& fields, std::string_view key) {
        const HitResolution s = resolution(fields, key);
        for (const float sigma : {s.rphi, s.z, s.r}) above_zero(fields, key, sigma);
        return s;
    };
    result.resolution_by_volume.fill(sigmas(model, "default_resolution"));
    result.layer_by_volume.fill({above_zero(model, "default_layer_x0", single(model, "default_layer_x0")), false});
    for_each_volume(model, "resolution", [&](std::size_t v, Fields& volumes, const std::string& key) {
        result.resolution_by_volume[v] = sigmas(volumes, key);
    });
    for_each_volume(model, "layer_x0", [&](std::size_t v, Fields& volumes, const std::string& key) {
        result.layer_by_volume[v].x0 = above_zero(volumes, key, single(volumes, key));
    });
    for (const double volume : model.numbers("discs")) {
        const bool is_volume = volume >= 0.0 && volume < 256.0 && volume == std::floor(volume);
        model.check(is_volume, "discs", "expected volumes 0 to 255");
        result.layer_by_volume[static_cast<std::size_t>(volume)].is_disc = true;
    }
    model.finish();
    return result;
}

GnnPrecision read_precision(Fields network) {
    if (!network.has("precision")) return GnnPrecision::fp32;
    const std::string precision = network.text("precision");
    network.check(precision == "fp32" || precision == "bf16", "precision",
                  "expected 'fp32' or 'bf16', got " + detail::quoted(precision));
    return precision == "bf16" ? GnnPrecision::bf16 : GnnPrecision::fp32;
}

EdgeOutput read_output(Fields network) {
    const std::string output = network.text("output");
    network.check(output == "logits" || output == "scores", "output",
                  "expected 'logits' or 'scores', got " + detail::quoted(output));
    return output == "logits" ? EdgeOutput::scores : EdgeOutput::logits;
}

}  // namespace

Bundle read_bundle(const std::string& folder) {
    const std::filesystem::path path = std::filesystem::path(folder) / description;
    const std::string file = path.string();
    const auto bytes = map_file(file);
    const auto text = bytes->view();
    Json json;
    try {
        JsonLimits limits;
        limits.keys = 512;
        json = parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, limits);
    } catch (const JsonError& error) {
        throw std::runtime_error(file + ": not JSON: " + error.what());
    }
    Fields fields(json, Where(file));
    check_version(fields);
    Bundle bundle;
    Fields files = fields.object("files");
    bundle.map_path = checked_file(folder, files, map_name);
    bundle.network_path = checked_file(folder, files, network_name);
    read_thresholds(fields.object("thresholds"), bundle.options);
    bundle.options.triplet_model = read_triplet_model(fields.object("triplet_model"));
    bundle.options.fit_model = fields.has("fit_model") ? read_fit_model(fields.object("fit_model"))
                                                       : make_fit_model(bundle.options.triplet_model);
    bundle.output = read_output(fields.object("edge_classifier"));
    bundle.precision = read_precision(fields.object("edge_classifier"));
    return bundle;
}

}  // namespace rheinfall::detail
