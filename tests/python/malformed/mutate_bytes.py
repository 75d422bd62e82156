"""Damage to a file as bytes: what disks, transfers and editors do."""

from __future__ import annotations

import random
from collections.abc import Callable

Mutation = Callable[[random.Random, bytes], bytes]


def truncate(rng: random.Random, data: bytes) -> bytes:
    """Keep the first bytes only."""
    return data[: rng.randrange(len(data))] if data else data


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """Flip one to eight bits."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def delete_bytes(rng: random.Random, data: bytes) -> bytes:
    """Delete a run of bytes in the middle."""
    at = rng.randrange(len(data)) if data else 0
    return data[:at] + data[at + rng.choice((1, 2, 4, 7, 64)) :]


def insert_bytes(rng: random.Random, data: bytes) -> bytes:
    """Insert random bytes."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 3, 16, 100))) + data[at:]


def repeat_block(rng: random.Random, data: bytes) -> bytes:
    """Write a block twice, or write it over another."""
    if len(data) < 4:
        return data + data
    size = rng.randint(1, min(len(data) // 2, 400))
    start, at = rng.randrange(len(data) - size), rng.randrange(len(data))
    return data[:at] + data[start : start + size] + data[at + rng.choice((0, size)) :]


def change_encoding(rng: random.Random, data: bytes) -> bytes:
    """Write the text in another encoding, or put in what is no text."""
    way = rng.randrange(8)
    text = data.decode("latin-1")
    if way < 4:
        return text.encode(("utf-16", "utf-32", "utf-16-le", "utf-8-sig")[way])
    at = rng.randrange(len(data) + 1)
    piece = (b"\x00", b"\xff\xfe\xfa", b"\xed\xa0\x80", "\u2028\u0661\u212f".encode())[way - 4]
    return data[:at] + piece * rng.randint(1, 4) + data[at:]


def empty(rng: random.Random, data: bytes) -> bytes:
    """Leave nothing, or next to nothing."""
    return rng.choice((b"", b"\n", b" " * 1000, b"\x00" * 64, data[:1], b"{}", b"[]", b"null", b'""', b"0", b"NaN"))


BYTE_MUTATIONS: dict[str, Mutation] = {
    "truncated": truncate,
    "bits flipped": flip_bits,
    "bytes deleted": delete_bytes,
    "bytes inserted": insert_bytes,
    "blocks repeated": repeat_block,
    "encoding changed": change_encoding,
    "emptied": empty,
}
