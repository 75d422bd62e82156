"""Compare all executors with the definition on random networks: `python tools/exactness_networks.py --networks 3000`.

Each seed gives three networks (any operations on awkward types; narrow types; a trigger's dense layers) and events
with the corners of the input types among them. The definition runs on Python integers; every executor that this
machine has must give the same integers, in batches of several sizes. Seeds of networks that differ are printed. With
`--sparse`, most weights are 0 and many layers sum in an order that matters. Counts and a hash of the definition's
results go to bench/results/quantized_exactness.json.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import Counter

from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

import executors
from rheinfall.quantized.network import Network


def kernel_of(step: str) -> str:
    """What inspect says of a step, without the numbers of one network."""
    return re.sub(r": \d+ products of \d+", "", step)


def main() -> None:
    """Run the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--networks", type=int, default=3000, help="networks in all")
    arguments.add_argument("--events", type=int, default=32, help="different events for each network")
    arguments.add_argument("--first", type=int, default=1000, help="first seed; the tests begin at 0")
    arguments.add_argument("--sparse", action="store_true", help="most weights 0, many layers summed in order")
    options = arguments.parse_args()
    draw = executors.sparse_networks if options.sparse else executors.drawn_networks
    isas = [isa for isa in executors.ISAS if executors.available(isa)]
    digest, wrong, ops, kernels = hashlib.sha256(), Counter[str](), Counter[str](), Counter[str]()
    n_networks = events = 0
    seeds = range(options.first, options.first + options.networks // 3)
    for drawn in draw(seeds, options.events):
        for isa in isas:
            found = executors.compare(drawn, isa)
            wrong[isa] += bool(found)
            if found:
                print(f"{drawn.name!r}, {isa}: {found}", flush=True)
            events += len(drawn.x) if isa == "exact" else sum(executors.BATCHES)
        digest.update(drawn.y.tobytes())
        ops.update(layer["op"] for layer in drawn.document["layers"])
        kernels.update(kernel_of(step["kernel"]) for step in Network(drawn.document).describe()["steps"])
        n_networks += 1
        if n_networks % 200 == 0:
            print(f"{n_networks} networks, {events} events, networks that differ: {dict(wrong)}", flush=True)
    section = {
        "what": "executors compared with the definition in Python integers on random networks",
        "networks": n_networks,
        "events": events,
        "events_of_the_definition": n_networks * options.events,
        "mismatches": wrong.total(),
        "networks_that_differ": {isa: wrong[isa] for isa in isas},
        "batches": list(executors.BATCHES),
        "layers": dict(sorted(ops.items())),
        "steps": dict(sorted(kernels.items())),
        "first_seed": options.first,
        "sha256": digest.hexdigest(),
        "command": " ".join(["python", "tools/exactness_networks.py", *sys.argv[1:]]),
    }
    record("sparse_networks" if options.sparse else "random_networks", section)
    print(section)
    sys.exit(1 if section["mismatches"] else 0)


if __name__ == "__main__":
    main()
