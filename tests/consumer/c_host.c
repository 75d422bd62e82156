/* A host in plain C: two tracks of straight lines through the toy detector of make_events.cpp, with the built-in scores
 * and with scores of its own; and an error that names the file. */
#include <inttypes.h>
#include <rheinfall/rheinfall.h>
#include <stdio.h>
#include <string.h>

enum { n_layers = 6, n_hits = 2 * n_layers };

static int score_all_alike(void* context, const rf_graph* graph, float* scores) {
    *(size_t*)context = graph->n_edges;
    for (size_t e = 0; e < graph->n_edges; ++e) scores[e] = 0.9F;
    return 0;
}

static int check(int holds, const char* what) {
    if (!holds) fprintf(stderr, "c_host: not so: %s\n", what);
    return holds ? 0 : 1;
}

/* A network of one layer: y = 3x - 1, saturated to 8 bits. */
static int check_network(void) {
    static const char document[] =
        "{\"format\":\"rheinfall.quantized\",\"version\":1,"
        "\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"type\":\"ap_int<8>\"}],"
        "\"layers\":[{\"name\":\"y\",\"op\":\"dense\",\"inputs\":[\"x\"],\"result\":\"ap_int<8,TRN,SAT>\","
        "\"accum\":\"ap_int<16>\",\"weight\":{\"type\":\"ap_int<4>\",\"shape\":[1,1],\"data\":[3]},"
        "\"bias\":{\"type\":\"ap_int<4>\",\"shape\":[1],\"data\":[-1]}}],\"outputs\":[\"y\"]}";
    rf_error error;
    int failures = check(rf_network_load("missing.json", RF_BEST, &error) == NULL, "a missing network is refused");
    failures += check(strcmp(error.file, "missing.json") == 0, "the error names the network's file");
    rf_network* network = rf_network_load_json(document, sizeof document - 1, "y.json", RF_BEST, &error);
    if (network == NULL) return failures + check(0, error.reason);
    rf_workspace* workspace = rf_workspace_create(rf_network_workspace_size(network, 3), NULL, &error);
    const int8_t x[3] = {-5, 7, 100};
    int16_t y[3] = {0, 0, 0};
    failures += check(rf_network_run(network, workspace, x, RF_INT8, y, RF_INT16, 3) == RF_OK, "the network runs");
    failures += check(y[0] == -16 && y[1] == 20 && y[2] == 127, "the network's numbers are right");
    rf_workspace_free(workspace);
    rf_network_free(network);
    return failures;
}

int main(int argc, char** argv) {
    rf_error error;
    rf_finder_options options;
    int failures = check(argc == 2, "one argument, the module map");
    if (failures != 0) return 2;
    failures += check_network();

    failures += check(rf_finder_load("missing.rfmap", NULL, &error) == NULL, "a missing map is refused");
    failures += check(strcmp(error.file, "missing.rfmap") == 0 && error.reason[0] != '\0', "the error names the file");
    rf_finder_options_defaults(&options);
    options.chi2_max = 25.0F;
    rf_finder* finder = rf_finder_load(argv[1], &options, &error);
    if (finder == NULL) {
        fprintf(stderr, "c_host: %s: %s: %s\n", error.file, error.key, error.reason);
        return 3;
    }

    float x[n_hits], y[n_hits], z[n_hits];
    uint64_t module_id[n_hits];
    for (int i = 0; i < n_hits; ++i) {
        const int layer = i / 2;
        const float r = 50.0F * (float)(layer + 1);
        x[i] = i % 2 == 0 ? r : 0.0F; /* the even hits go along x, the odd ones along y */
        y[i] = i % 2 == 0 ? 0.0F : r;
        z[i] = 0.5F * r;
        module_id[i] = (uint64_t)8 << 56 | (uint64_t)(2 * layer + 2) << 36 | (uint64_t)(i % 2 == 0 ? 4 : 6) << 8;
    }
    const rf_hits hits = {x, y, z, module_id, n_hits};
    const rf_limits limits = {n_hits, 100, 100, 1};
    rf_workspace* workspace = rf_workspace_create(rf_finder_workspace_size(finder, &limits), NULL, &error);
    failures += check(workspace != NULL, "there is memory for a workspace");

    int64_t offsets[n_hits + 1], track_hits[n_hits], labels[n_hits];
    const rf_tracks tracks = {offsets, n_hits + 1, track_hits, n_hits, labels};
    rf_result result;
    size_t n_scored = 0;
    const rf_edge_scorer scorer = {score_all_alike, &n_scored};
    for (int with_scorer = 0; with_scorer < 2; ++with_scorer) {
        memset(&result, 0, sizeof result);
        const rf_status status =
            rf_finder_run(finder, workspace, &hits, &limits, with_scorer ? &scorer : NULL, NULL, &tracks, &result);
        failures += check(status == RF_OK, rf_status_string(status));
        failures += check(result.n_tracks == 2 && result.n_track_hits == n_hits, "two tracks hold all hits");
        for (int i = 0; i < n_hits; ++i) failures += check(labels[i] == labels[i % 2], "one track per direction");
        for (int i = 0; i + 1 < n_layers; ++i)
            failures += check(track_hits[i] < track_hits[i + 1], "inside to outside");
    }
    failures += check(n_scored == 2 * (n_layers - 1), "the scorer sees the edges");
    printf("rheinfall %s: %zu tracks, first hit %" PRId64 ", %d failures\n", rf_version(), result.n_tracks,
           track_hits[0], failures);
    rf_workspace_free(workspace);
    rf_finder_free(finder);
    return failures == 0 ? 0 : 1;
}
