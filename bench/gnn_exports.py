"""Which networks of PyTorch's two ONNX exporters the fused engine loads, and how far its logits are from PyTorch's.

    python bench/gnn_exports.py --out bench/results/gnn_exports.json

The networks are those of tests/python/gnn_exports.npz (tests/python/make_gnn_exports.py). Differences are to PyTorch in
float64, over the largest logit or 1; beside them those of PyTorch's own float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment

from rheinfall import EdgeClassifier

TESTS = Path(__file__).resolve().parents[1] / "tests" / "python"
sys.path.insert(0, str(TESTS))
from gnn_graphs import small_graph  # noqa: E402


def measure(path: Path, name: str, exact: Any, off: float) -> dict[str, Any]:
    """What becomes of one network: loads, loads once repaired, or is refused.

    A mean is named as such. A scatter that overwrites is not repaired, since it has no sum to be compared with.
    """
    kind, _, _, what = name.split("/")
    graph = small_graph(int(what), int(what) % 2) if kind == "random" else small_graph(0, False)
    repairs = (False,) if what.startswith("overwriting") else (False, "mean" if what.endswith("_mean") else True)
    for repair in repairs:
        try:
            network = EdgeClassifier.load(path, engine="fused", repair_scatter=repair, output="logits")
        except ValueError as error:
            reason = str(error).split(": ", 1)[1]
            continue
        scale = max(float(np.abs(exact).max()), 1.0)
        difference = float(np.abs(network.logits(*graph) - exact).max()) / scale
        return {"loads": "repaired" if repair else "as it is", "difference": difference, "pytorch": float(off) / scale}
    return {"loads": "no", "reason": reason}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    exports = dict(np.load(TESTS / "gnn_exports.npz"))
    groups: dict[str, dict[str, Any]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for name in sorted(key.removesuffix("/onnx") for key in exports if key.endswith("/onnx")):
            path.write_bytes(exports[f"{name}/onnx"].tobytes())
            group, what = name.rsplit("/", 1)
            groups[group][what] = measure(path, name, exports[f"{name}/exact"], exports[f"{name}/off"])
    print(
        "| networks, exporter, opset | number | as they are | repaired | refused | largest difference | PyTorch's own |"
    )
    print("|---|---|---|---|---|---|---|")
    for group, found in groups.items():
        loaded = [f for f in found.values() if f["loads"] != "no"]
        counts = [sum(f["loads"] == state for f in found.values()) for state in ("as it is", "repaired", "no")]
        largest = [max(f[key] for f in loaded) for key in ("difference", "pytorch")]
        cells = [group, len(found), *counts, *(f"{value:.1e}" for value in largest)]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    if options.out is not None:
        document = {"environment": describe_environment(), "networks": groups}
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
