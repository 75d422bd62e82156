#!/bin/sh
# usage: check_symbols.sh NM LIBRARY. The shared library exports names of its own alone: rf_* and rheinfall::*.
set -eu
exported=$("$1" -DC --defined-only "$2" | sed -E 's/^[0-9a-f]* *[A-Za-z] //; s/@.*//; /^RHEINFALL_/d')
echo "$exported" | grep -q '^rf_finder_run$' || { echo "rf_finder_run is not exported"; exit 1; }
echo "$exported" | grep -q '^rheinfall::TrackFinder::run' || { echo "rheinfall::TrackFinder::run is not exported"; exit 1; }
# Tables and names of types belong to their class.
foreign=$(echo "$exported" | grep -vE '^(rf_[a-z_]+$|((vtable|typeinfo|typeinfo name|VTT) for )?rheinfall::)' || true)
if [ -n "$foreign" ]; then
    echo "exported, but neither rf_* nor rheinfall::"
    echo "$foreign"
    exit 1
fi
