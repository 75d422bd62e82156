// A host of the library, as a high-level trigger is one: loads once, reserves once, then runs two events at a time and
// counts that the event loop allocates nothing.
//   hlt_host MAP|BUNDLE HITS.csv...      (TrackML: hit_id,x,y,z,volume_id,layer_id,module_id)
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <rheinfall/rheinfall.hpp>
#include <thread>
#include <vector>

#include "counted_allocations.hpp"

struct Event {
    std::vector<float> x, y, z;
    std::vector<std::uint64_t> module_id;
    std::vector<std::int64_t> offsets, hits;
    rheinfall::TrackFinderResult result;
    std::size_t n_allocations = 0;
};

static Event read_event(const char* path) {
    Event event;
    std::FILE* file = std::fopen(path, "r");
    if (file == nullptr) throw std::runtime_error(std::string(path) + ": cannot be read");
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> closing(file, &std::fclose);
    unsigned long long volume = 0, layer = 0, module = 0;
    float x = 0, y = 0, z = 0;
    char text[256], end = 0;
    for (int line = 1; std::fgets(text, sizeof text, file) != nullptr; ++line) {
        if (line == 1 && std::strchr(text, '\n') != nullptr) continue;  // the header
        // The end of the line too: a file that was cut is no shorter event.
        const int n = std::sscanf(text, "%*u,%f,%f,%f,%llu,%llu,%llu%c", &x, &y, &z, &volume, &layer, &module, &end);
        if (n != 7 || (end != '\n' && end != '\r'))
            throw std::runtime_error(std::string(path) + ":" + std::to_string(line) +
                                     ": expected hit_id,x,y,z,volume_id,layer_id,module_id and the end of the line");
        event.x.push_back(x);
        event.y.push_back(y);
        event.z.push_back(z);
        event.module_id.push_back(volume << 56 | layer << 36 | module << 8);
    }
    event.offsets.resize(event.x.size() + 1);
    event.hits.resize(event.x.size());
    return event;
}

int main(int argc, char** argv) try {
    if (argc < 3) return std::fprintf(stderr, "usage: hlt_host MAP|BUNDLE HITS.csv...\n"), 2;
    rheinfall::TrackFinderOptions options;
    options.chi2_max = 25.0F;
    const auto finder = std::filesystem::is_directory(argv[1]) ? rheinfall::TrackFinder::load_bundle(argv[1])
                                                               : rheinfall::TrackFinder::load(argv[1], options);
    std::vector<Event> events;
    rheinfall::TrackFinderLimits limits{0, 0, 0};
    for (int i = 2; i < argc; ++i)
        limits.n_hits = std::max(limits.n_hits, events.emplace_back(read_event(argv[i])).x.size());
    limits.n_doublets = 64 * limits.n_hits;
    limits.n_edges = 16 * limits.n_hits;

    std::atomic<std::size_t> next{0};
    const auto stream = [&] {  // a stream of the framework: its workspace, then event after event
        rheinfall::Workspace workspace;
        workspace.reserve(finder.workspace_size(limits));
        for (std::size_t i = next++; i < events.size(); i = next++) {
            Event& event = events[i];
            const std::size_t before = n_allocations;
            rheinfall::TracksBuffers tracks{event.offsets, event.hits, {}};
            event.result = finder.run(workspace, {event.x, event.y, event.z, event.module_id}, limits, tracks);
            event.n_allocations = n_allocations - before;
        }
    };
    {
        const std::jthread first(stream), second(stream);
    }

    std::size_t total = 0;
    for (std::size_t i = 0; i < events.size(); ++i) {
        const Event& e = events[i];
        std::printf("%s: %zu hits, %zu edges, %zu tracks with %zu hits, %s\n", argv[i + 2], e.x.size(),
                    e.result.n_edges, e.result.n_tracks, e.result.n_track_hits, rheinfall::to_string(e.result.status));
        total += e.n_allocations;
    }
    std::printf("allocations in the event loop: %zu\n", total);
    return total == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "hlt_host: %s\n", error.what());
    return 3;
}
