"""Networks from the state dicts of ACORN's and Exa.TrkX's PyTorch modules, without PyTorch."""

from __future__ import annotations

from pathlib import Path

from rheinfall.gnn.architectures import build_network
from rheinfall.gnn.fused import FusedNetwork, compile_network
from rheinfall.gnn.ir import Network
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.mlp_layout import Tensors
from rheinfall.gnn.rewriting import optimise
from rheinfall.gnn.state_dict_description import Description, read_description
from rheinfall.gnn.tensor_files import read_tensors


def read_state_dict(path: Path, description: Path) -> tuple[Network, Description]:
    """The network of a state dict as its modules compute it, with its description.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or they do not fit; names the file, the field or key, and what was expected.
    """
    told = read_description(description)
    return build_network(told, Tensors(read_tensors(path, told.under), str(path))), told


def compile_state_dict(path: Path, description: Path, precision: str = "fp32") -> tuple[FusedNetwork, Description]:
    """The same, optimised, on the fused engine; raises as `read_state_dict` and `compile_network`."""
    network, told = read_state_dict(path, description)
    return compile_network(to_bytes(optimise(network), path.name), str(path), precision), told
