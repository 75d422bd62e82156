#!/bin/sh
# usage: build_with_pkg_config.sh CC CXX PKG_CONFIG PKG_CONFIG_PATH C_SOURCE; then runs the program on map.rfmap.
set -eu
export PKG_CONFIG_PATH="$4"
"$1" -std=c11 -c "$5" -o pkg_config_host.o $("$3" --cflags rheinfall)
libdir=$("$3" --variable=libdir rheinfall)
"$2" pkg_config_host.o -o pkg_config_host $("$3" --libs --static rheinfall) -Wl,-rpath,"$libdir" -pthread
./pkg_config_host map.rfmap
