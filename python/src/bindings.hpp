#pragma once

#include <nanobind/nanobind.h>

void bind_core(nanobind::module_& m);
void bind_device(nanobind::module_& m);
void bind_device_finder(nanobind::module_& m);
void bind_forest(nanobind::module_& m);
void bind_gnn(nanobind::module_& m);
void bind_graph(nanobind::module_& m);
void bind_module_map(nanobind::module_& m);
void bind_quantized(nanobind::module_& m);
void bind_quantized_calls(nanobind::module_& m);
void bind_quantized_device(nanobind::module_& m);
void bind_radius_graph(nanobind::module_& m);
void bind_track_building(nanobind::module_& m);
void bind_track_finder(nanobind::module_& m);
void bind_tracking_device(nanobind::module_& m);
void bind_track_fit(nanobind::module_& m);
