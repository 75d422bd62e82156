"""Run a random network by one of the library's executors and compare it with the definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from random_networks import (
    Document,
    narrow_document,
    pruned,
    random_document,
    random_integers,
    sparse_document,
    trigger_document,
)
from rheinfall.quantized.network import Network
from rheinfall.reference import quantized as reference

ISAS = ("exact", "portable", "avx2", "avx512")
BATCHES = (1, 7, 8, 9, 64, 67, 1024)  # with and without remainders of the lanes


@dataclass(frozen=True)
class Drawn:
    """A random network, inputs for it, and the stored integers that the definition gives."""

    name: str
    document: Document
    x: npt.NDArray[Any]
    y: npt.NDArray[np.uint64]


def drawn_networks(seeds: Iterable[int], n_events: int = 24) -> Iterator[Drawn]:
    """Three networks of each seed: one of any operations, a narrow one, one of a trigger."""
    for seed in seeds:
        for document in (random_document(seed), narrow_document(seed), trigger_document(seed)):
            yield drawn(seed, document, n_events)


def sparse_networks(seeds: Iterable[int], n_events: int = 24) -> Iterator[Drawn]:
    """Three networks of each seed most of whose weights are 0: of layers summed in order, a narrow one, a trigger's."""
    for seed in seeds:
        for document in (
            sparse_document(seed),
            pruned(narrow_document(seed), seed),
            pruned(trigger_document(seed), seed),
        ):
            yield drawn(seed, document, n_events)


def drawn(seed: int, document: Document, n_events: int) -> Drawn:
    """A network with inputs and what the definition gives for them."""
    x = random_integers(seed, document, n_events)
    return Drawn(document["name"], document, x, stored_bits(reference.run(document, x)))


def available(isa: str) -> bool:
    """Whether this machine can run an executor."""
    document = trigger_document(0, 4)
    try:
        Network(document, isa=isa)
    except ValueError as error:
        if isa not in str(error):
            raise
        return False
    return True


def stored_bits(integers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Integers modulo 2**64: which tells all stored integers of 64 bits apart, signed and unsigned."""
    if integers.dtype == object:
        return np.array([int(q) % 2**64 for q in integers.ravel()], dtype=np.uint64).reshape(integers.shape)
    return integers.astype(np.int64 if integers.dtype.kind == "i" else np.uint64).view(np.uint64)


def compare(drawn: Drawn, isa: str, batches: Iterable[int] = BATCHES) -> str:
    """What differs from the definition, or an empty text."""
    network = Network(drawn.document, isa=isa)
    for n in batches if isa != "exact" else (len(drawn.x),):
        chosen = np.arange(n) * 5 % len(drawn.x)  # in another order than drawn, again and again
        y = stored_bits(np.asarray(network.run_integers(drawn.x[chosen])).reshape(n, -1))
        if not np.array_equal(y, drawn.y[chosen]):
            event, output = np.argwhere(y != drawn.y[chosen])[0]
            return (
                f"batch {n}, event {event}, output {output}: {y[event, output]}, not {drawn.y[chosen][event, output]}"
            )
    return ""
