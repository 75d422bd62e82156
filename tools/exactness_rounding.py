"""Compare every conversion to types of up to 18 bits with the vendor's headers: `python tools/exactness_rounding.py`.

For targets of each width from 1 to 18, in the 7 roundings × 4 overflows × signed and unsigned, all values of several
source types (18 bits and one more width, with shifts to the left, none, within the source and beyond it) are converted
by the headers that hls4ml ships, by our definition in Python, and by the library through a network of one `quantize`.
Counts and a hash of the vendor's results go to bench/results/quantized_exactness.json. Takes some 5 minutes, most of it
for the compiler; --all, with four times the pairs of types, some 20.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

import vendor_rounding
from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.network import Network


def quantize_document(source: FixedType, target: FixedType) -> dict[str, Any]:
    """A network that converts one number."""
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": "convert",
        "inputs": [{"name": "x", "shape": [1], "type": format_type(source)}],
        "layers": [{"name": "y", "op": "quantize", "inputs": ["x"], "result": format_type(target)}],
        "outputs": ["y"],
    }


def main() -> None:
    """Run the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="*", default=range(1, 19), help="of the targets")
    arguments.add_argument("--isa", nargs="*", default=["exact", "best"], help="executors of the library")
    arguments.add_argument("--all", action="store_true", help="more source types and shifts for each target")
    options = arguments.parse_args()
    sources = vendor_rounding.all_sources if options.all else vendor_rounding.some_sources
    include = vendor_rounding.headers()
    if include is None:
        sys.exit("hls4ml, which brings the vendor's headers, is not installed")
    digest = hashlib.sha256()
    events = n_pairs = 0
    mismatches = dict.fromkeys(["python", *options.isa], 0)
    for width in options.widths:
        with tempfile.TemporaryDirectory() as folder:
            chosen = vendor_rounding.targets(width), Path(folder), include
            for source, target, expected in vendor_rounding.convert_by_vendor(sources(width), *chosen):
                values = vendor_rounding.stored_values(source)
                ours = {"python": vendor_rounding.convert_numpy(values, source.fraction, target)}
                for isa in options.isa:
                    network = Network(quantize_document(source, target), isa=isa)
                    ours[isa] = np.asarray(network.run_integers(values[:, None]))[:, 0]
                for name, results in ours.items():
                    wrong = int(np.count_nonzero(results != expected))
                    mismatches[name] += wrong
                    if wrong:
                        print(f"{name}: {source} to {target}: {wrong} of {values.size} differ", flush=True)
                digest.update(expected.astype("<i4").tobytes())
                events += values.size
                n_pairs += 1
        print(f"width {width}: {n_pairs} pairs of types, {events} values, mismatches {mismatches}", flush=True)
    section = {
        "what": "conversions compared with the vendor's ap_types headers",
        "events": events,
        "pairs_of_types": n_pairs,
        "mismatches": sum(mismatches.values()),
        "mismatches_of": mismatches,
        "hls4ml": metadata.version("hls4ml"),
        "sha256": digest.hexdigest(),
        "command": "python tools/exactness_rounding.py" + (" --all" if options.all else ""),
    }
    if list(options.widths) == list(range(1, 19)):
        record("vendor_rounding", section)
    sys.exit(1 if section["mismatches"] else 0)


if __name__ == "__main__":
    main()
