#include "bindings.hpp"

NB_MODULE(_core, m) {
    m.doc() = "Compiled core of rheinfall";
    bind_core(m);
    bind_device(m);
    bind_forest(m);
    bind_gnn(m);
    bind_graph(m);
    bind_module_map(m);
    bind_quantized(m);
    bind_quantized_calls(m);
    bind_quantized_device(m);
    bind_radius_graph(m);
    bind_track_building(m);
    bind_track_finder(m);
    bind_tracking_device(m);
    bind_device_finder(m);  // after module maps and plans
    bind_track_fit(m);
}
