"""Compare the body of the CUDA kernel `layers`, on the host, with the exact executor on random networks.

`python tools/exactness_device.py --networks 6000 --tests build/dev/tests/cpp/rheinfall_tests`: writes the networks to a
temporary folder and has the C++ test compare them, 24 events in each of six types of arrays. On a machine with a GPU
and a build of the preset cuda the kernel itself is compared too. Counts go to bench/results/quantized_exactness.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

from random_networks import narrow_document, random_document, trigger_document

EVENTS = 24 * 6  # of a network: what the test draws


def main() -> None:
    """Run the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--networks", type=int, default=6000, help="networks in all")
    arguments.add_argument("--first", type=int, default=1000, help="first seed")
    arguments.add_argument("--tests", type=Path, default=ROOT / "build/dev/tests/cpp/rheinfall_tests")
    options = arguments.parse_args()
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.networks // 3):
            for document in (random_document(seed), narrow_document(seed), trigger_document(seed)):
                text = json.dumps(document)
                digest.update(text.encode())
                Path(folder, document["name"].replace(" ", "_") + ".json").write_text(text)
        n_networks = len(list(Path(folder).iterdir()))
        run = subprocess.run(
            [options.tests, "--gtest_filter=QuantizedLayers.*"],
            env={**os.environ, "RHEINFALL_DOCUMENTS": folder},
            capture_output=True,
            text=True,
        )
    print(run.stdout)
    section = {
        "what": "the body of the CUDA kernel layers, on the host, compared with the exact executor",
        "networks": n_networks,
        "events": n_networks * EVENTS,
        "mismatches": int(run.returncode != 0),  # the test ends at the first network that differs
        "first_seed": options.first,
        "sha256": digest.hexdigest(),  # of the documents
        "command": f"python tools/exactness_device.py --networks {options.networks}",
    }
    record("device_layers", section)
    print(section)
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
