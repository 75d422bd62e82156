#pragma once

#include <nanobind/nanobind.h>

void bind_core(nanobind::module_& m);
