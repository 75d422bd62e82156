"""All executors of the library against the definition on random networks, in batches of all sorts of sizes.

RHEINFALL_RANDOM_NETWORKS sets how many networks of each of three kinds are drawn; tools/exactness_networks.py draws
thousands.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executors import ISAS, Drawn, available, compare, drawn_networks, sparse_networks, stored_bits
from random_layers import MAKERS
from random_networks import narrow_document, random_document, random_integers, random_reals, trigger_document
from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, parse
from rheinfall.quantized.network import Network
from rheinfall.reference import quantized as reference
from trigger_networks import trigger_networks

N_NETWORKS = int(os.environ.get("RHEINFALL_RANDOM_NETWORKS", "100"))


@pytest.fixture(scope="module")
def networks() -> list[Any]:
    return [*drawn_networks(range(N_NETWORKS)), *sparse_networks(range(N_NETWORKS // 4))]


@pytest.mark.parametrize("isa", ISAS)
def test_every_executor_gives_the_integers_of_the_definition(networks: list[Any], isa: str) -> None:
    if not available(isa):
        pytest.skip(f"this machine has no {isa}")
    wrong = {drawn.name: found for drawn in networks if (found := compare(drawn, isa))}
    assert not wrong


@pytest.mark.parametrize("name", sorted(trigger_networks()))
def test_networks_of_triggers_give_the_integers_of_the_definition(name: str) -> None:
    document = trigger_networks()[name]
    x = random_integers(1, document, 80)
    drawn = Drawn(name, document, x, stored_bits(reference.run(document, x)))
    assert len(np.unique(drawn.y)) > 60
    wrong = {isa: found for isa in ISAS if available(isa) and (found := compare(drawn, isa))}
    assert not wrong


def test_the_networks_cover_the_format(networks: list[Any]) -> None:
    """Every operation, every mode of the stored types, and binary points outside the bits."""
    documents = [drawn.document for drawn in networks]
    layers = [layer for document in documents for layer in document["layers"]]
    assert {layer["op"] for layer in layers} == set(MAKERS)
    results = [parse(layer["result"]) for layer in layers]
    modes = Counter((result.rounding, result.overflow) for result in results)
    assert len(modes) == len(ROUNDINGS) * len(OVERFLOWS)
    assert any(result.integer < 0 for result in results)
    assert any(result.fraction < 0 for result in results)
    assert {result.width for result in results} >= {1, 8, 16, 32, 64}


def test_a_document_is_saved_as_it_was(tmp_path: Path) -> None:
    for seed in range(20):
        for document in (random_document(seed), trigger_document(seed, 8)):
            network = Network(document)
            path = tmp_path / "network.json"
            network.save(path)
            assert json.loads(path.read_text()) == document
            assert Network.from_json(path.read_bytes()).document == document


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("isa", ISAS)
def test_reals_become_integers_and_back_as_defined(isa: str, dtype: Any) -> None:
    """Where float64 holds every stored integer, so that nothing is rounded but by the types."""
    if not available(isa):
        pytest.skip(f"this machine has no {isa}")
    tried = 0
    for seed in range(40):
        for document in (random_document(seed), narrow_document(seed), trigger_document(seed, 16)):
            items = (*document["inputs"], *document["layers"])
            if max(parse(item.get("result", item.get("type"))).width for item in items) > 53:
                continue
            x = random_reals(seed, document, 19, dtype)
            y = reference.run(document, reference.integers_of_reals(document, x))
            expected = reference.reals_of_integers(document, y)
            network = Network(document, isa=isa)
            for n in (1, 19):
                got = np.asarray(network(x[:n])).reshape(n, -1)
                np.testing.assert_array_equal(got, expected[:n], f"{document['name']}, {n} events")
            tried += 1
    assert tried > 60


def test_stored_bits_tell_numbers_apart() -> None:
    assert stored_bits(np.array([-1, 2**63 - 1])).tolist() == [2**64 - 1, 2**63 - 1]
    assert stored_bits(np.array([-1, 2**64 - 1], dtype=object)).tolist() == [2**64 - 1] * 2
