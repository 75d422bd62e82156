"""Make `gnn_exports.npz`: networks exported by both exporters of PyTorch, and what PyTorch computes.

    python tests/python/make_gnn_exports.py [activation] [sum] [shape] [undirected] [norm] [random]

Exports by the present exporter take seconds each, so what it wrote is kept (here PyTorch 2.13, onnxscript 0.7.2). For
each network NAME there are NAME/onnx (the file's bytes, without the exporter's notes), NAME/exact (logits of PyTorch in
float64) and NAME/off (how far PyTorch's float32 is from them).
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from gnn_graphs import small_graph
from gnn_modules import (
    MORE_ACTIVATIONS,
    ONE_ACTIVATION,
    ONE_NORM,
    ONE_SHAPE,
    ONE_SUM,
    ONE_UNDIRECTED,
    All,
    OneActivation,
    OneNorm,
    OneShape,
    OneSum,
    OneUndirected,
)
from gnn_networks import Network, export

OUT = Path(__file__).with_name("gnn_exports.npz")
EXPORTERS = [("torchscript", opset) for opset in (11, 13, 16, 18, 20)] + [("dynamo", o) for o in (18, 20, 21)]


def without_notes(model):
    """The model without what exporters note beside it, which is most of a small file."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    return model


def only(model, output):
    """The part of a model that makes one of its outputs."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    needed, nodes = {output}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
            needed.update(i for a in node.attribute for inner in a.g.node for i in inner.input)
    del part.graph.node[:], part.graph.output[:], part.graph.initializer[:]
    part.graph.node.extend(reversed(nodes))
    part.graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    part.graph.output.extend(o for o in model.graph.output if o.name == output)
    return part


def logits(network, graph):
    """Those in float64, and how far float32 is from them."""
    with torch.inference_mode():
        single = network(*graph)
        exact = network.double()(*(t.double() if t.is_floating_point() else t for t in graph))
    network.float()
    values = [np.atleast_2d(torch.stack(v) if isinstance(v, tuple) else v) for v in (single, exact)]
    return values[1], np.abs(values[0] - values[1]).max(axis=1)


def tensors(seed, edge_features=False):
    return tuple(torch.from_numpy(a) for a in small_graph(seed, edge_features))


def keep(found, name, model, exact, off):
    found[f"{name}/onnx"] = np.frombuffer(without_notes(model).SerializeToString(), np.uint8)
    found[f"{name}/exact"], found[f"{name}/off"] = exact, np.float64(off)


def random_networks(found):
    seed = 100
    for exporter, opset in EXPORTERS:
        for _ in range(6):
            seed += 1
            # Neither Celu in opset 11 nor a scattered maximum before opset 16 has a form in that exporter.
            activations = [a for a in MORE_ACTIVATIONS if opset > 11 or not isinstance(a(), torch.nn.CELU)]
            network = Network(seed, 3, 4 if seed % 2 else None, activations, hidden=(4, 5, 6, 8)[seed // 2 % 4]).eval()
            if opset < 16 and network.aggregation == "max":
                network.aggregation = ("add", "mean")[seed // 3 % 2]
            graph = tensors(seed, bool(seed % 2))
            model = export(network, graph, opset, dynamo=exporter == "dynamo")
            exact, off = logits(network, graph)
            keep(found, f"random/{exporter}/{opset}/{seed}", model, exact[0], off[0])
            print(exporter, opset, seed, flush=True)


def each(found, kind, make, names, exporters):
    """One export of all, cut into a file each."""
    for exporter, opset in exporters:
        kept = [n for n in names if is_exported(n, exporter, opset)]
        torch.manual_seed(0)
        networks = All([make(n) for n in kept]).eval()
        graph = tensors(0)
        outputs = [f"out_{n}" for n in kept]
        model = export(networks, graph, opset, outputs, exporter == "dynamo")
        exact, off = logits(networks, graph)
        for i, name in enumerate(kept):
            keep(found, f"{kind}/{exporter}/{opset}/{name}", only(model, outputs[i]), exact[i], off[i])
        print(exporter, opset, kind, flush=True)


def is_exported(name, exporter, opset):
    """False for what the older exporter refuses itself, and for a softplus whose threshold it drops."""
    if exporter == "dynamo":
        return True
    if name.startswith("batch_of_event") or name == "rms":
        return False
    late = ("scatter_reduce_sum", "scatter_reduce_amax", "scatter_reduce_amin", "attention", "graph_attention")
    never = (
        "threshold",
        "softplus_early",
        "scatter_reduce_amax_alone",
        "scatter_reduce_amin_alone",
        "scatter_reduce_mean",
    )
    return name not in never and (opset > 11 or name != "celu") and (opset > 15 or name not in late)


def main(kinds):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    found = {k: v for k, v in np.load(OUT).items() if kinds and k.split("/")[0] not in kinds} if OUT.exists() else {}
    old, new = "torchscript", "dynamo"
    singles = {
        "activation": (OneActivation, ONE_ACTIVATION, [(old, 11), (old, 20), (new, 18), (new, 20), (new, 21)]),
        "sum": (OneSum, ONE_SUM, [(old, 13), (old, 18), (new, 18), (new, 21)]),
        "shape": (OneShape, ONE_SHAPE, [(old, 13), (new, 18), (new, 21)]),
        "undirected": (OneUndirected, ONE_UNDIRECTED, [(old, 17), (new, 18), (new, 21)]),
        "norm": (OneNorm, ONE_NORM, [(old, 11), (old, 17), (new, 18), (new, 21)]),
    }
    for kind, (make, names, exporters) in singles.items():
        if not kinds or kind in kinds:
            each(found, kind, make, names, exporters)
    if not kinds or "random" in kinds:
        random_networks(found)
    np.savez_compressed(OUT, **found)
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(found) // 3} networks")


if __name__ == "__main__":
    main(sys.argv[1:])
