#ifndef RHEINFALL_RHEINFALL_H
#define RHEINFALL_RHEINFALL_H

/** @file
 * The C interface. No exception crosses it. Whatever depends on a file or on settings is an rf_error, whatever depends
 * on an event is an rf_status. Handles are opaque; every other byte belongs to the caller. Structures that may grow
 * begin with struct_size, which their rf_*_defaults function sets.
 */

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define RF_NOEXCEPT noexcept
extern "C" {
#else
#define RF_NOEXCEPT
#endif
#define RF_API __attribute__((visibility("default")))

/* NOLINTBEGIN(readability-identifier-naming): names of C */
/** What an event did; where several hold, the largest. Negative: the call itself was wrong. */
typedef int32_t rf_status;
enum {
    RF_INVALID_ARGUMENT = -1, /**< a null pointer, or a struct_size that this release does not know */
    RF_OK = 0,
    RF_EMPTY = 1,             /**< no hits, or no edges */
    RF_UNKNOWN_MODULES = 2,   /**< some hits lie on modules that the map does not know; they are not used */
    RF_NOT_FINITE = 3,        /**< some coordinates or scores are NaN or infinite; they are not used */
    RF_CYCLE = 4,             /**< the graph had cycles, which were broken */
    RF_CAPACITY_EXCEEDED = 5, /**< the workspace, a limit or a buffer is too small; no tracks */
    RF_SCORING_FAILED = 6,    /**< the edge scorer returned non-zero; no tracks */
    RF_OUT_OF_RANGE = 7       /**< some integers lie outside a network's input type; its overflow was applied */
};

/** Why a handle could not be made: the file (empty where none is to blame), the key in it or the setting, the reason.
 */
typedef struct rf_error {
    char file[512];
    char key[64];
    char reason[512];
} rf_error;

typedef struct rf_finder rf_finder;       /**< immutable: any number of threads may use one at the same time */
typedef struct rf_workspace rf_workspace; /**< scratch memory of one event in flight */

typedef enum rf_method {
    RF_COMPONENTS = 0,
    RF_MUTUAL_BEST = 1,
    RF_CC_AND_WALK = 2,
    RF_WALK = 3,
    RF_D_WALK = 4,
    RF_JUNCTION_REMOVAL = 5
} rf_method;

/** Settings of a finder; see rheinfall::TrackFinderOptions and rheinfall::TrackBuildingPlan. */
typedef struct rf_finder_options {
    size_t struct_size;
    int32_t method; /**< an rf_method */
    float chi2_max; /**< infinity: no pruning */
    float score_cut;
    float sure;
    float walk_min;
    float walk_add;
    size_t min_length;
    float chi2_scale;         /**< of the built-in scores */
    float field;              /**< [T], along z */
    float layer_x0;           /**< [radiation lengths] */
    float field_spread;       /**< relative, from one segment to the next */
    float min_chi2_pt;        /**< [GeV] */
    float resolution[256][3]; /**< by volume: along the azimuth, along z, along the radius [mm] */
    /** Edges of a quadruplet with a chi2 below this stay, too; needs a finite chi2_max. 0: quadruplets do not matter.
     * A workspace has room for 4 triplets for each of n_edges. */
    float quadruplet_chi2_max;
} rf_finder_options;

/** The largest event that a workspace is made for; each at most 2^31 - 1. */
typedef struct rf_limits {
    size_t n_hits;
    size_t n_doublets; /**< hit pairs within their doublet's limits: 5 to 20 for each edge */
    size_t n_edges;    /**< before pruning */
    size_t n_threads;  /**< that parallel_for may use; 0 counts as 1 */
} rf_limits;

/** The hits of an event: n_hits values each. */
typedef struct rf_hits {
    const float* x; /**< [mm] */
    const float* y;
    const float* z;
    const uint64_t* module_id;
    size_t n_hits;
} rf_hits;

/** The graph that an edge scorer judges; it is gone when the call returns. Hits are in canonical order. */
typedef struct rf_graph {
    rf_hits hits;
    const int64_t* source; /**< n_edges values, sorted by (source, target) */
    const int64_t* target;
    size_t n_edges;
    const float* node_features; /**< (n_hits, 4) */
    const float* edge_features; /**< (n_edges, 10) */
} rf_graph;

/** Scores edges, by any engine: fills n_edges scores, returns 0 if all went well. */
typedef struct rf_edge_scorer {
    int (*score)(void* context, const rf_graph* graph, float* scores);
    void* context;
} rf_edge_scorer;

/** Runs body(data, i) exactly once for each i in [0, n), on any threads, and returns when all are done. */
typedef struct rf_parallel_for {
    void (*run)(void* context, size_t n, void (*body)(void* data, size_t i), void* data);
    void* context;
} rf_parallel_for;

/** Where the memory of a workspace comes from; allocate returns NULL if there is none. */
typedef struct rf_allocator {
    void* (*allocate)(void* context, size_t bytes, size_t alignment);
    void (*deallocate)(void* context, void* memory, size_t bytes, size_t alignment);
    void* context;
} rf_allocator;

/** The caller's buffers: n_hits + 1 offsets and n_hits hits always suffice. Track i is hits[offsets[i]] ...
 * hits[offsets[i + 1] - 1], from inside to outside, as indices into the event's hits. */
typedef struct rf_tracks {
    int64_t* offsets;
    size_t offsets_capacity;
    int64_t* hits;
    size_t hits_capacity;
    int64_t* labels; /**< track of each hit, -1 for none: n_hits values; NULL if not wanted */
} rf_tracks;

/** Counts of an event; where a limit was too small, those up to that stage say how much is needed. */
typedef struct rf_result {
    size_t n_tracks;
    size_t n_track_hits;
    size_t n_edges;
    size_t n_pruned_edges;
    size_t n_doublets;
    size_t n_unknown_modules;
    size_t n_not_finite;
} rf_result;

/** The version of the library that runs, such as "0.1.0". */
RF_API const char* rf_version(void) RF_NOEXCEPT;
/** The name of a status, such as "capacity_exceeded". */
RF_API const char* rf_status_string(rf_status status) RF_NOEXCEPT;

/** Fills the options with the defaults of this release. */
RF_API void rf_finder_options_defaults(rf_finder_options* options) RF_NOEXCEPT;
/** Memory-maps a module map; NULL and an error (which may be NULL) if it cannot be. NULL options: the defaults. */
RF_API rf_finder* rf_finder_load(const char* map_path, const rf_finder_options* options, rf_error* error) RF_NOEXCEPT;
/** Loads a bundle, a folder with map, lowered network and thresholds; see rheinfall::TrackFinder::load_bundle. The
 * finder scores by that network unless rf_finder_run gets a scorer. */
RF_API rf_finder* rf_finder_load_bundle(const char* folder, rf_error* error) RF_NOEXCEPT;
RF_API void rf_finder_free(rf_finder* finder) RF_NOEXCEPT;

/** Bytes of workspace for events within the limits; 0 for limits beyond 2^31 - 1, or a null pointer. */
RF_API size_t rf_finder_workspace_size(const rf_finder* finder, const rf_limits* limits) RF_NOEXCEPT;
/** Reserves a workspace; NULL and an error if there is no memory. NULL allocator: the heap. */
RF_API rf_workspace* rf_workspace_create(size_t bytes, const rf_allocator* allocator, rf_error* error) RF_NOEXCEPT;
RF_API void rf_workspace_free(rf_workspace* workspace) RF_NOEXCEPT;

/** Finds the tracks of one event; see rheinfall::TrackFinder::run. Allocates nothing. NULL scorer: the bundle's
 * network, or the built-in scores; NULL parallel_for: on the calling thread. */
RF_API rf_status rf_finder_run(const rf_finder* finder, rf_workspace* workspace, const rf_hits* hits,
                               const rf_limits* limits, const rf_edge_scorer* scorer,
                               const rf_parallel_for* parallel_for, const rf_tracks* tracks,
                               rf_result* result) RF_NOEXCEPT;

/** Helix parameters of tracks at their points closest to the z axis, capacity values each: the caller's buffers, see
 * rheinfall::TrackParametersView. All but the last are NaN for a track without a fit. */
typedef struct rf_track_parameters {
    size_t struct_size;
    size_t capacity;
    float* q_over_pt; /**< [1/GeV] */
    float* phi;       /**< [rad] */
    float* cot_theta;
    float* d0; /**< [mm] */
    float* z0; /**< [mm] */
    float* sigma_q_over_pt;
    float* sigma_phi;
    float* sigma_cot_theta;
    float* sigma_d0;
    float* sigma_z0;
    float* pt; /**< [GeV] */
    float* eta;
    float* chi2;     /**< of 2 * hits - 5 degrees of freedom */
    uint8_t* status; /**< 0: fitted, 1: too few hits, 2: degenerate, 3: not finite */
} rf_track_parameters;

/** Sets struct_size, and no buffers. */
RF_API void rf_track_parameters_defaults(rf_track_parameters* parameters) RF_NOEXCEPT;
/** Fits helices to the tracks of hits that rf_finder_run left, by the finder's fit model; see rheinfall::fit_tracks.
 * Allocates nothing. RF_INVALID_ARGUMENT also for offsets or hits that are none of a track; RF_CAPACITY_EXCEEDED if
 * there is not room for n_tracks. NULL parallel_for: on the calling thread. */
RF_API rf_status rf_finder_fit(const rf_finder* finder, const rf_hits* hits, const rf_tracks* tracks, size_t n_tracks,
                               const rf_parallel_for* parallel_for, size_t n_threads,
                               const rf_track_parameters* parameters) RF_NOEXCEPT;

/** A quantized network; immutable: any number of threads may use one at the same time, each with its workspace. */
typedef struct rf_network rf_network;

/** Elements of an array: integers are stored integers q of q / 2^F, floats are real values. */
typedef enum rf_element {
    RF_INT8 = 0,
    RF_INT16 = 1,
    RF_INT32 = 2,
    RF_INT64 = 3,
    RF_UINT8 = 4,
    RF_UINT16 = 5,
    RF_UINT32 = 6,
    RF_UINT64 = 7,
    RF_FLOAT32 = 8,
    RF_FLOAT64 = 9
} rf_element;

/** The kernels of a network; all give the same bits. */
typedef enum rf_isa { RF_BEST = 0, RF_PORTABLE = 1, RF_AVX2 = 2, RF_AVX512 = 3, RF_EXACT = 4 } rf_isa;

/** Reads a document of docs/quantized_format.md from a file; NULL and an error (which may be NULL) if it cannot be.
 * @p isa: an rf_isa; one that this machine lacks is an error. */
RF_API rf_network* rf_network_load(const char* path, int32_t isa, rf_error* error) RF_NOEXCEPT;
/** The same from text of @p length bytes; @p name stands for the file in errors and may be NULL. */
RF_API rf_network* rf_network_load_json(const char* text, size_t length, const char* name, int32_t isa,
                                        rf_error* error) RF_NOEXCEPT;
RF_API void rf_network_free(rf_network* network) RF_NOEXCEPT;

/** Elements of one event, all inputs (outputs) one after the other; 0 for NULL. */
RF_API size_t rf_network_n_inputs(const rf_network* network) RF_NOEXCEPT;
RF_API size_t rf_network_n_outputs(const rf_network* network) RF_NOEXCEPT;
/** Bytes of workspace for so many events at once; 0 for NULL. */
RF_API size_t rf_network_workspace_size(const rf_network* network, size_t n_events) RF_NOEXCEPT;

/** Computes events, one after the other in both arrays; see rheinfall::quantized::Network::run. Allocates nothing.
 * Types are rf_element; integers of the output must hold the outputs' types. */
RF_API rf_status rf_network_run(const rf_network* network, rf_workspace* workspace, const void* in, int32_t in_type,
                                void* out, int32_t out_type, size_t n_events) RF_NOEXCEPT;

/* NOLINTEND(readability-identifier-naming) */

#if defined(__cplusplus)
}
#endif
#endif
