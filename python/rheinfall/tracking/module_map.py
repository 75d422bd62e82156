"""The module map: which pairs and triples of modules particles connect, and within which limits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall import _core
from rheinfall._files import require_path
from rheinfall.event import Event, Float32, UInt64
from rheinfall.tracking.module_symmetry import ModuleSymmetry
from rheinfall.tracking.true_triples import TripleSelection, find_true_triples

QUANTITIES = (
    "z0_12",
    "dphi_12",
    "phi_slope_12",
    "deta_12",
    "z0_23",
    "dphi_23",
    "phi_slope_23",
    "deta_23",
    "diff_dzdr",
    "bend",
)


class ModuleMap:
    """Module doublets and triplets with their limits; immutable.

    A map made by `build` or `merge` also carries the statistics that its limits come from, so that it can be merged and
    its limits chosen anew with `with_limits`.
    """

    def __init__(self, core: _core.ModuleMap, statistics: _core.ModuleMapBuilder | None = None) -> None:
        self.core = core
        self.statistics = statistics
        self._on_device: dict[int, _core.ModuleMapOnDevice] = {}

    @classmethod
    def build(
        cls,
        events: Iterable[Event],
        min_pt: float = 0.5,
        *,
        max_eta: float = 4.0,
        max_radius: float = 260.0,
        min_hits: int = 3,
        primary_only: bool = False,
        bend: str = "angle",
        symmetries: Sequence[ModuleSymmetry] = (),
        **limits: Any,
    ) -> ModuleMap:
        """Build a map from simulated events; they are streamed, one in memory at a time.

        The hits of each selected particle are ordered outward by 3-D distance from its production vertex, of two
        successive hits on one layer the second is dropped, and each three successive hits widen [min, max] of the ten
        quantities of their module triplet.

        Args:
            events: events with full truth and a table of particles.
            min_pt: least transverse momentum [GeV], inclusive.
            max_eta: largest absolute pseudorapidity, inclusive.
            max_radius: largest production radius [mm], inclusive.
            min_hits: fewest hits of a particle.
            primary_only: leave out particles from decays and material.
            bend: "angle" or "slope_difference", how the change of direction in the transverse plane is measured.
            symmetries: maps of the detector onto itself; each event is used once more for each of them.
            **limits: of `with_limits`.
        """
        selection = TripleSelection(min_pt, max_eta, max_radius, min_hits, primary_only)
        builder = _core.ModuleMapBuilder(bend)
        for event in events:
            triples = find_true_triples(event, selection)
            hits = event.hits
            builder.add(hits.x, hits.y, hits.z, hits.module_id, triples)
            for symmetry in symmetries:
                image = symmetry.apply(hits)
                builder.add(image.x, image.y, image.z, image.module_id, triples)
        return cls.from_statistics(builder, **limits)

    @classmethod
    def from_statistics(cls, builder: _core.ModuleMapBuilder, **limits: Any) -> ModuleMap:
        """The map of gathered statistics; the limits are those of `with_limits`."""
        return cls(builder.finish(_core.LimitRule(**limits)), builder)

    def with_limits(self, **limits: Any) -> ModuleMap:
        """The same statistics with other limits: [min - m, max + m].

        m = absolute + relative·range + sigmas·s / sqrt(occurrence).

        s is the triplet's rms of the quantity, shrunk towards the pooled rms of all triplets on its three layers, which
        weighs as much as `prior_weight` occurrences: so rare triplets are widened most. Limits are cut to mean ±
        core·s, since min and max of a triplet seen often are outliers, which let in many wrong pairs for few right
        ones.

        Args:
            **limits: `absolute` (six margins: of z0 [mm], dphi [rad], phi_slope [rad/mm] and deta of either pair, of
                diff_dzdr and of bend), `relative`, `sigmas`, `sigmas_differences` (in place of `sigmas` for diff_dzdr
                and bend), `prior_weight`, `core`, `min_occurrence` (rarer triplets are left out), `max_phi_slope`
                (limits of phi_slope are cut to ± this [rad/mm]: of a prompt track phi_slope is about 0.15e-3 field [T]
                / pT [GeV], so that one map serves any least pT above that of its training), `remove_two_cycles` (where
                doublets occur both ways, drop the triplets of the rarer direction).

        Raises:
            ValueError: the map carries no statistics.
        """
        return self.from_statistics(self.need_statistics("with_limits"), **limits)

    def merge(self, other: ModuleMap, **limits: Any) -> ModuleMap:
        """The map that `build` gives for the events of both; exact and associative.

        Args:
            other: a map with statistics, as this one.
            **limits: of `with_limits`; they are not remembered from either map.

        Raises:
            ValueError: a map carries no statistics, or the two measure the bend differently.
        """
        mine, theirs = self.need_statistics("merge"), other.need_statistics("merge")
        merged = _core.ModuleMapBuilder(self.bend)
        merged.merge(mine)
        merged.merge(theirs)
        return self.from_statistics(merged, **limits)

    def prune(self, min_occurrence: int, *, statistics: bool = False) -> ModuleMap:
        """The map without its rarer triplets; limits stay, but for their coding.

        A doublet's limits shrink to the union of those of its triplets that stay, and theirs are coded anew within
        them: outward, as always, so that a limit may end up wider by 1/255 of the doublet's range at most.

        Args:
            min_occurrence: fewest occurrences of a triplet that stays. Without statistics a map knows them as powers of
                two only.
            statistics: keep those of all triplets, the rarer ones too, so that the map can still be merged.

        Raises:
            ValueError: a map of doublets alone, or one without statistics and a number that is no power of two.
        """
        if self.n_triplets == 0 < self.n_doublets:
            raise ValueError("prune: this map has doublets alone, whose occurrences no map keeps")
        if min_occurrence < 1:
            raise ValueError(f"prune: min_occurrence: expected at least 1, got {min_occurrence}")
        if self.statistics is None and min_occurrence & (min_occurrence - 1):
            raise ValueError(f"prune: without statistics a map knows powers of two as occurrence, got {min_occurrence}")
        modules, _, limits = self.core.triplets()
        occurrence = self.occurrences()
        keep = occurrence >= np.uint64(min_occurrence)
        core = _core.ModuleMap.from_triplets(modules[keep], occurrence[keep], limits[keep], self.bend)
        return ModuleMap(core, self.need_statistics("prune") if statistics else None)

    def occurrences(self) -> UInt64:
        """uint64 (n_triplets,), how often training saw each triplet; without statistics rounded down to powers of 2."""
        modules, log2, _ = self.core.triplets()
        if self.statistics is None:
            return np.asarray(np.uint64(1) << log2.astype(np.uint64))
        seen, counts = self.statistics.counts()
        keys = _rank_rows(np.concatenate([seen, modules]))
        return np.asarray(counts[np.searchsorted(keys[: len(seen)], keys[len(seen) :])])

    def rewrite(self) -> ModuleMap:
        """The same map in the present format of files; its bytes but for the header are those of this one."""
        if self.n_triplets:
            modules, _, limits = self.core.triplets()
            core = _core.ModuleMap.from_triplets(modules, self.occurrences(), limits, self.bend)
        else:
            core = _core.ModuleMap.from_doublets(*self.core.doublets(), self.bend)
        return ModuleMap(core, self.statistics)

    def need_statistics(self, what: str) -> _core.ModuleMapBuilder:
        """The statistics, for what cannot go without; a ValueError that names `what` where there are none."""
        if self.statistics is None:
            raise ValueError(f"{what}: this map carries limits only; save it with statistics=True where it is built")
        return self.statistics

    def save(self, path: str | os.PathLike[str], statistics: bool | None = None) -> None:
        """Write the map; with its statistics too, ten times the size, if it has some and they are not declined."""
        if statistics and self.statistics is None:
            self.need_statistics("save with statistics")
        wanted = self.statistics is not None and statistics is not False
        appendix = self.statistics.to_bytes() if wanted and self.statistics is not None else b""
        self.core.save(str(require_path("path", path)), appendix)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModuleMap:
        """Memory-map a map; its statistics are read too, if the file carries some.

        Raises:
            FileNotFoundError: no such file.
            RuntimeError: a damaged file, or one of a newer format; names file, field and reason.
        """
        name = str(require_path("path", path))
        if not Path(name).exists():
            raise FileNotFoundError(f"{name}: no such file")
        core = _core.ModuleMap.load(name)
        has_statistics = Path(name).stat().st_size > core.n_bytes
        return cls(core, _core.ModuleMapBuilder.load(name) if has_statistics else None)

    @classmethod
    def from_text(cls, path: str | os.PathLike[str], *, convention: str) -> ModuleMap:
        """Read a foreign text map; see `module_map_text.read_text`."""
        from rheinfall.tracking.module_map_text import read_text

        return read_text(path, convention=convention)

    def to_text(self, path: str | os.PathLike[str]) -> None:
        """Write the 24 columns of `from_text` (convention "rheinfall")."""
        from rheinfall.tracking.module_map_text import write_text

        write_text(self, path)

    @classmethod
    def from_root(cls, path: str | os.PathLike[str], *, convention: str) -> ModuleMap:
        """Read a ROOT file of ModuleMapGraph; see `module_map_root.read_root` (extra [io])."""
        from rheinfall.tracking.module_map_root import read_root

        return read_root(path, convention=convention)

    @property
    def modules(self) -> UInt64:
        """uint64 (n_modules,), the modules of the map, ascending."""
        return self.core.modules

    @property
    def n_bytes(self) -> int:
        """Size of the map in memory and in its file, its statistics apart."""
        return self.core.n_bytes

    @property
    def n_modules(self) -> int:
        """Modules that occur in a doublet."""
        return self.core.n_modules

    @property
    def n_doublets(self) -> int:
        """Ordered pairs of modules."""
        return self.core.n_doublets

    @property
    def n_triplets(self) -> int:
        """Ordered triples of modules; 0 for a map of doublets alone."""
        return self.core.n_triplets

    @property
    def bend(self) -> str:
        """How the change of direction is measured: "angle" or "slope_difference"."""
        return self.core.bend

    @property
    def convention(self) -> str:
        """Signs and special cases of the quantities, as the file states them."""
        return self.core.convention

    def triplets(self) -> tuple[UInt64, NDArray[np.uint8], Float32]:
        """Modules uint64 (n, 3), floor(log2(occurrence)) uint8 (n,), limits float32 (n, 10, 2) of `QUANTITIES`."""
        return self.core.triplets()

    def doublets(self) -> tuple[UInt64, Float32]:
        """Modules uint64 (n, 2), limits float32 (n, 4, 2) of z0, dphi, phi_slope, deta."""
        return self.core.doublets()

    def on_device(self, device: int = 0) -> _core.ModuleMapOnDevice:
        """The map in the memory of a CUDA device, uploaded at the first call: `build_graph` asks for it.

        Raises:
            RuntimeError: CUDA or the device is missing.
        """
        if device not in self._on_device:
            self._on_device[device] = _core.ModuleMapOnDevice(self.core, device)
        return self._on_device[device]

    def __getstate__(self) -> tuple[bytes, bytes | None]:
        statistics = None if self.statistics is None else self.statistics.to_bytes()
        return self.core.to_bytes(), statistics

    def __setstate__(self, state: tuple[bytes, bytes | None]) -> None:
        self._on_device = {}
        self.core = _core.ModuleMap.from_bytes(state[0], "pickle")
        self.statistics = None if state[1] is None else _core.ModuleMapBuilder.from_bytes(state[1], "pickle")

    def __repr__(self) -> str:
        return f"ModuleMap({self.n_modules} modules, {self.n_doublets} doublets, {self.n_triplets} triplets)"


def _rank_rows(rows: UInt64) -> NDArray[np.int64]:
    """int64 (n,): numbers in the lexicographic order of `rows` (n, 3), equal where rows are."""
    ids, ranks = np.unique(rows, return_inverse=True)
    a, b, c = ranks.reshape(rows.shape).T
    pair = np.unique(a * len(ids) + b, return_inverse=True)[1]
    return np.asarray(pair * len(ids) + c, np.int64)
