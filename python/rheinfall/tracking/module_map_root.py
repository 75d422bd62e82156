"""Module maps in the ROOT files of ModuleMapGraph: *.triplets.root and *.doublets.root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.event import Float64, UInt64
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.module_map_convention import find_convention, from_foreign_doublets, from_foreign_triplets

# Names of trees and branches as GNN4ITkTeam/ModuleMapGraph writes them.
TRIPLETS, DOUBLETS = "TreeModuleTriplet", "TreeModuleDoublet"
_PAIR = ("z0", "dphi", "phiSlope", "deta")


def read_root(path: str | os.PathLike[str], *, convention: str) -> ModuleMap:
    """Read the tree of triplets of a ROOT file, or, where it has none, that of doublets (extra [io]).

    A triplet map's doublets are the unions of its triplets' limits, so its *.doublets.root is not needed.

    Args:
        path: the file.
        convention: whose signs the file has, a name in `module_map_convention.CONVENTIONS`.

    Raises:
        ImportError: uproot is missing.
        ValueError: an unknown convention, no such tree, a missing branch or a bad value; names file, tree and branch.
    """
    signs = find_convention(convention)
    uproot = require("uproot", "io")
    name = os.fspath(path)
    if not Path(name).is_file():
        raise ValueError(f"{name}: no such file")
    try:
        file = uproot.open(name)
    except Exception as error:  # uproot raises many kinds, down to struct.error, for a file that is not ROOT
        raise ValueError(f"{name}: cannot be read as a ROOT file: {error}") from error
    with file:
        trees = {key.split(";")[0] for key in file.keys()}  # noqa: SIM118, a ROOT folder is no dict
        try:
            if TRIPLETS in trees:
                tree = _Tree(name, TRIPLETS, file[TRIPLETS])
                limits = np.concatenate([tree.pair("12"), tree.pair("23"), tree.differences()], axis=1)
                return from_foreign_triplets(tree.modules(3), tree.integers("Occurence"), limits, signs)
            if DOUBLETS in trees:
                tree = _Tree(name, DOUBLETS, file[DOUBLETS])
                return from_foreign_doublets(tree.modules(2), tree.pair("12"), signs)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from error
    raise ValueError(f"{name}: expected a tree {TRIPLETS} or {DOUBLETS}, got {', '.join(sorted(trees)) or 'none'}")


class _Tree:
    """One tree, read branch by branch, with errors that name file, tree and branch."""

    def __init__(self, file: str, name: str, tree: Any) -> None:
        self.where, self.tree = f"{file}: {name}", tree

    def column(self, branch: str) -> Any:
        if branch not in self.tree:
            raise ValueError(f"{self.where}: branch {branch} is missing")
        values = np.asarray(self.tree[branch].array(library="np"))
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise ValueError(f"{self.where}.{branch}: expected one number an entry, got {values.dtype}")
        return values

    def integers(self, branch: str) -> UInt64:
        values = self.column(branch)
        if values.dtype.kind == "f" or (values.dtype.kind == "i" and (values < 0).any()):
            raise ValueError(f"{self.where}.{branch}: expected integers >= 0")
        return np.ascontiguousarray(values, np.uint64)

    def modules(self, n: int) -> UInt64:
        return np.ascontiguousarray(np.stack([self.integers(f"Module{i + 1}") for i in range(n)], axis=1))

    def limits(self, low: str, high: str) -> Float64:
        values = np.stack([self.column(low), self.column(high)], axis=1).astype(np.float64)
        bad = np.flatnonzero(~(values[:, 0] <= values[:, 1]))
        if len(bad):
            raise ValueError(f"{self.where}: entry {bad[0]}: expected {low} <= {high}, got {values[bad[0]].tolist()}")
        return values

    def pair(self, pair: str) -> Float64:
        return np.stack([self.limits(f"{q}min_{pair}", f"{q}max_{pair}") for q in _PAIR], axis=1)

    def differences(self) -> Float64:
        return np.stack([self.limits(f"{q}_min", f"{q}_max") for q in ("diff_dzdr", "diff_dydx")], axis=1)
