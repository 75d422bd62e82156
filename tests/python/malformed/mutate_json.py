"""Damage to the structure of JSON: the text stays JSON, its meaning does not hold."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from .mutate_bytes import Mutation

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "../../../../etc/passwd", "/dev/zero", "ap_fixed<64,0>", "ap_fixed<0,0>",
    "ap_fixed<999999999999,1>",
    "ap_fixed<-3,2>", "ap_fixed<16,6,RND,WRAP_SM>", "ap_ufixed<8,-999999>", "\u0000", "é" * 50, [], {}, [[]], [None],
    {"a": 1}, [1, 2, 3], [[1, 2], [3]], ["x"],
)  # fmt: skip

SHAPES: tuple[list[int], ...] = (
    [2**16] * 4, [2**32, 2**32], [2**62, 4], [0], [0, 5], [-1], [-4, -4], [1] * 70, [2**31, 1], [10**9], [3, 2**61],
)  # fmt: skip

Place = tuple[Any, Any]  # a container and its key or index


def _places(value: Any) -> Iterator[Place]:
    stack = [value]
    while stack:
        container = stack.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, item in items:
            yield container, key
            if isinstance(item, dict | list):
                stack.append(item)


def _choose(rng: random.Random, document: Any, accept: Callable[[Any], bool] = lambda _: True) -> Place | None:
    places = [(c, k) for c, k in _places(document) if accept(c[k])] if isinstance(document, dict | list) else []
    # Half of the time a place high up: most places are weights, and a damaged weight is still a weight.
    keyed = [place for place in places if isinstance(place[0], dict)]
    return rng.choice(keyed if keyed and rng.random() < 0.7 else places) if places else None


def _structural(change: Callable[[random.Random, Any], Any]) -> Mutation:
    def mutate(rng: random.Random, data: bytes) -> bytes:
        document = change(rng, json.loads(data))
        return document if isinstance(document, bytes) else json.dumps(document).encode()

    return mutate


@_structural
def garble_types(rng: random.Random, document: Any) -> Any:
    """Put a value of another type."""
    for _ in range(rng.choice((1, 1, 2))):
        place = _choose(rng, document)
        if place:
            place[0][place[1]] = rng.choice(VALUES)
    return document


@_structural
def remove_keys(rng: random.Random, document: Any) -> Any:
    """Remove a key or an element."""
    place = _choose(rng, document)
    if place:
        del place[0][place[1]]
    return document


@_structural
def rename_keys(rng: random.Random, document: Any) -> Any:
    """Rename a key, exchange two of an object's values, or add an unknown key."""
    place = _choose(rng, document, lambda v: isinstance(v, dict) and bool(v))
    objects = [document] if not place or rng.random() < 0.2 else [place[0][place[1]]]
    for item in objects:
        keys = list(item)
        if not keys or not isinstance(item, dict):
            continue
        a, b = rng.choice(keys), rng.choice(keys)
        way = rng.randrange(3)
        if way == 0:
            item[rng.choice((a + "s", a.upper(), "", "\u0000", a[:-1]))] = item.pop(a)
        elif way == 1:
            item[a], item[b] = item[b], item[a]
        else:
            item["surprise"] = item[a]
    return document


def duplicate_keys(rng: random.Random, data: bytes) -> bytes:
    """Write an object's key twice, with another value."""
    document = json.loads(data)
    place = _choose(rng, document, lambda v: isinstance(v, dict) and bool(v))
    item = place[0][place[1]] if place else document
    if not isinstance(item, dict) or not item:
        return data + data
    key = rng.choice(list(item))
    item["@"] = rng.choice((rng.choice(VALUES), item[key]))
    return json.dumps(document).replace('"@"', json.dumps(key), 1).encode()


@_structural
def change_lists(rng: random.Random, document: Any) -> Any:
    """Lengthen, shorten, double or reverse a list."""
    place = _choose(rng, document, lambda v: isinstance(v, list) and bool(v))
    if place:
        items = place[0][place[1]]
        way = rng.randrange(5)
        if way == 0:
            items.append(rng.choice(items))
        elif way == 1:
            items.pop(rng.randrange(len(items)))
        elif way == 2:
            items *= rng.choice((2, 3, 100))
        elif way == 3:
            items.reverse()
        else:
            items.clear()
    return document


@_structural
def tangle_references(rng: random.Random, document: Any) -> Any:
    """Put one name or small index for another: forward references, cycles, duplicates."""
    first = _choose(rng, document, lambda v: isinstance(v, str))
    second = _choose(rng, document, lambda v: isinstance(v, str))
    if rng.random() < 0.5 or not first or not second:
        first = _choose(rng, document, lambda v: type(v) is int)
        second = _choose(rng, document, lambda v: type(v) is int)
    if first and second:
        first[0][first[1]] = second[0][second[1]]
    layers = [c[k] for c, k in _places(document) if isinstance(c[k], list) and c[k] and isinstance(c[k][0], dict)]
    if layers and rng.random() < 0.4:
        rng.shuffle(rng.choice(layers))
    return document


@_structural
def enlarge_shapes(rng: random.Random, document: Any) -> Any:
    """Make sizes huge, so that products of them overflow."""
    place = _choose(rng, document, lambda v: isinstance(v, list) and bool(v) and all(type(i) is int for i in v))
    if place is None or rng.random() < 0.3:
        place = _choose(rng, document, lambda v: type(v) is int)
        if place:
            place[0][place[1]] = rng.choice((2**16, 2**31 - 1, 2**32, 2**62, 10**9))
        return document
    items = place[0][place[1]]
    if len(items) > 8:
        items[rng.randrange(len(items))] = rng.choice((2**31, 2**62, 10**12))
    else:
        place[0][place[1]] = list(rng.choice(SHAPES))
    return document


def nest_deeply(rng: random.Random, data: bytes) -> bytes:
    """Nest lists or objects as deep as a recursion does not go."""
    depth = rng.choice((50, 500, 5_000, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"layers":', b"}]")))
    nested = opening * depth + b"1" + closing * (depth if rng.random() < 0.8 else depth - 1)
    at = rng.choice([i for i, byte in enumerate(data) if byte in b":,["] or [0])
    before, after = data[: at + 1], data[at + 1 :]
    return rng.choice((nested, before + nested + after, before + nested + b"," + after))


@_structural
def traverse_paths(rng: random.Random, document: Any) -> Any:
    """Put paths out of the folder for strings, and for objects that name files."""
    path = rng.choice(
        ("../../../../../../etc/passwd", "/etc/passwd", "/dev/zero", "/proc/self/mem", "..", ".", "", "~/.bashrc",
         "a/../../b", "file:///etc/passwd", "C:\\boot.ini", "x\u0000y", "weights" * 2000, "/dev/stdin")
    )  # fmt: skip
    place = _choose(rng, document, lambda v: isinstance(v, str)) or _choose(rng, document)
    if place:
        place[0][place[1]] = rng.choice((path, {"file": path, "name": "x"}))
    return document


JSON_MUTATIONS: dict[str, Mutation] = {
    "types garbled": garble_types,
    "keys removed": remove_keys,
    "keys renamed": rename_keys,
    "keys duplicated": duplicate_keys,
    "lists lengthened or shortened": change_lists,
    "references tangled": tangle_references,
    "shapes enlarged": enlarge_shapes,
    "nested deeply": nest_deeply,
    "paths out of the folder": traverse_paths,
}
