// Writes a toy module map and toy events: straight tracks through six cylinders of eight modules each.
//   make_events MAP HITS.csv...
#include <cmath>
#include <cstdio>
#include <exception>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <utility>
#include <vector>

static constexpr std::uint64_t n_layers = 6;
static constexpr std::uint64_t n_sectors = 8;

static std::uint64_t module_of(std::uint64_t layer, std::uint64_t sector) {
    return std::uint64_t{8} << 56 | (2 * layer + 2) << 36 | (sector + 1) << 8;
}

static void write_map(const char* path) {
    std::vector<rheinfall::ModuleMap::Doublet> doublets;
    for (std::uint64_t layer = 0; layer + 1 < n_layers; ++layer) {
        for (std::uint64_t a = 0; a < n_sectors; ++a) {
            for (std::uint64_t b = 0; b < n_sectors; ++b) {
                doublets.push_back({{module_of(layer, a), module_of(layer + 1, b)},
                                    {{-50.0F, 50.0F}, {-0.1F, 0.1F}, {-2e-3F, 2e-3F}, {-0.2F, 0.2F}}});
            }
        }
    }
    rheinfall::ModuleMap::from_doublets(std::move(doublets), rheinfall::Bend::angle).save(path);
}

static void write_event(const char* path, unsigned seed) {
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr) throw std::runtime_error(std::string(path) + ": cannot be written");
    std::fputs("hit_id,x,y,z,volume_id,layer_id,module_id\n", file);
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> angle(-3.14, 3.14);
    std::uniform_real_distribution<double> slope(-1.5, 1.5);
    unsigned hit_id = 0;
    for (int track = 0; track < 200; ++track) {
        const double phi = angle(random);
        const double cot_theta = slope(random);
        for (unsigned layer = 0; layer < n_layers; ++layer) {
            const double r = 50.0 * (layer + 1);
            const auto sector = static_cast<unsigned>((phi + 3.15) / 6.3 * n_sectors);
            std::fprintf(file, "%u,%.6g,%.6g,%.6g,8,%u,%u\n", ++hit_id, r * std::cos(phi), r * std::sin(phi),
                         r * cot_theta, 2 * layer + 2, sector + 1);
        }
    }
    std::fclose(file);
}

int main(int argc, char** argv) try {
    write_map(argv[1]);
    for (int i = 2; i < argc; ++i) write_event(argv[i], static_cast<unsigned>(i));
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "make_events: %s\n", error.what());
    return 1;
}
