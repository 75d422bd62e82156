"""Damage to text that holds numbers, names and lines: sources of hls4ml projects, JSON, LightGBM's text."""

from __future__ import annotations

import random
import re

from .mutate_bytes import Mutation

NUMBER = re.compile(rb"(?<![A-Za-z_0-9.])-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
NAME = re.compile(rb"[A-Za-z_][A-Za-z_0-9]{2,}")

HUGE = (b"65", b"128", b"4096", b"2147483648", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616")
HUGE += (b"1e308", b"1e999", b"1" * 400, b"1" + b"0" * 5000, b"99999999999", b"1e-400")


def _replace_numbers(rng: random.Random, data: bytes, make: object) -> bytes:
    found = list(NUMBER.finditer(data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 5)))), key=lambda m: -m.start()):
        value = make(match[0]) if callable(make) else rng.choice(make)  # type: ignore[arg-type, call-overload]
        data = data[: match.start()] + value + data[match.end() :]
    return data


def blow_up_numbers(rng: random.Random, data: bytes) -> bytes:
    """Make numbers huge: widths, sizes, indices, weights."""
    return _replace_numbers(rng, data, HUGE)


def negate_numbers(rng: random.Random, data: bytes) -> bytes:
    """Change signs, and put zeros and minus ones."""
    return _replace_numbers(rng, data, lambda n: rng.choice((b"-" + n.lstrip(b"-"), b"0", b"-1", b"-0", b"--1")))


def put_not_finite(rng: random.Random, data: bytes) -> bytes:
    """Put NaN and infinities for numbers."""
    return _replace_numbers(rng, data, (b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"-inf", b"null", b"1e309"))


def put_fractions(rng: random.Random, data: bytes) -> bytes:
    """Put fractions, strings and other spellings where integers stood."""
    return _replace_numbers(
        rng, data, (b"0.5", b"-1.25", b"1e2", b"0x10", b"010", b"1_000", b'"3"', b"true", b"[1]", b"1e-7", b"+3")
    )


def change_lines(rng: random.Random, data: bytes) -> bytes:
    """Drop, double, swap or shuffle lines."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return data[: len(data) // 2]
    way, i, j = rng.randrange(4), rng.randrange(len(lines)), rng.randrange(len(lines))
    if way == 0:
        del lines[i : i + rng.randint(1, 5)]
    elif way == 1:
        lines.insert(j, lines[i])
    elif way == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        rng.shuffle(lines)
    return b"".join(lines)


def exchange_names(rng: random.Random, data: bytes) -> bytes:
    """Put one name of the file for another, or a name that is not there."""
    names = list(NAME.finditer(data))
    if not names:
        return data + b"x"
    match = rng.choice(names)
    name = rng.choice((rng.choice(names)[0], b"nobody", b"__proto__", b"a" * 100_000, b""))
    return data[: match.start()] + name + data[match.end() :]


def put_punctuation(rng: random.Random, data: bytes) -> bytes:
    """Drop or add brackets, quotes, commas and comment marks."""
    places = [i for i, byte in enumerate(data) if byte in b'{}[]()<>,;:"=#*/']
    if not places:
        return data + b"{"
    at = rng.choice(places)
    piece = rng.choice((b"", b"", b"{", b"}", b"[", b"<", b">", b",", b"/*", b'"', b"#if 0\n", b"\\", b"(" * 20_000))
    return data[:at] + piece + data[at + 1 :]


TEXT_MUTATIONS: dict[str, Mutation] = {
    "numbers blown up": blow_up_numbers,
    "numbers negative or zero": negate_numbers,
    "numbers not finite": put_not_finite,
    "numbers of other kinds": put_fractions,
    "lines changed": change_lines,
    "names exchanged": exchange_names,
    "punctuation changed": put_punctuation,
}
