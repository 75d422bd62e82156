"""Files of module maps: what is written is read again, and damage of any kind is named."""

from __future__ import annotations

import copy
import pickle
import struct

import numpy as np
import pytest

import rheinfall as rf
from module_map_samples import BENDS, tiny_map
from rheinfall import _core

HEADER = 128


def assert_same(a, b):
    assert a.core.to_bytes() == b.core.to_bytes()
    assert (a.statistics is None) == (b.statistics is None)
    if a.statistics is not None:
        assert a.statistics.to_bytes() == b.statistics.to_bytes()


def test_save_load_pickle_copy(module_map, tmp_path, bend):
    path = tmp_path / "full.rfmap"
    module_map.save(path)
    loaded = rf.ModuleMap.load(path)
    assert_same(loaded, module_map)
    assert loaded.bend == bend
    assert loaded.convention == f"deta=2-1;dr0=1e-6;order=12,23;bend={bend}"
    np.testing.assert_array_equal(loaded.modules, np.unique(module_map.triplets()[0]))
    assert_same(pickle.loads(pickle.dumps(module_map)), module_map)
    assert_same(copy.deepcopy(loaded), module_map)
    module_map.save(path, statistics=False)
    limits_only = rf.ModuleMap.load(path)
    assert limits_only.statistics is None
    assert limits_only.core.to_bytes() == module_map.core.to_bytes() == path.read_bytes()
    assert loaded.n_triplets == module_map.n_triplets, "the file replaced under a map in memory does not touch it"
    assert [p.name for p in tmp_path.iterdir()] == ["full.rfmap"], "no temporary file stays"


def test_maps_without_triplets_or_modules(tmp_path):
    empty = rf.ModuleMap.build([])
    empty.save(tmp_path / "empty.rfmap")
    assert rf.ModuleMap.load(tmp_path / "empty.rfmap").n_doublets == 0
    limits = np.tile(np.float32([-1, 1]), (1, 4, 1))
    doublets = rf.ModuleMap(_core.ModuleMap.from_doublets(np.array([[1, 2]], np.uint64), limits, "angle"))
    assert pickle.loads(pickle.dumps(doublets)).doublets()[0].tolist() == [[1, 2]]
    assert "1 doublets, 0 triplets" in repr(doublets)


def refused(path, pattern):
    with pytest.raises(RuntimeError, match=pattern) as error:
        rf.ModuleMap.load(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


@pytest.fixture
def damaged(tmp_path):
    """Writes bytes to a file and returns its path."""

    def write(data):
        path = tmp_path / "damaged.rfmap"
        path.write_bytes(data)
        return path

    return write


def test_missing_and_empty_files_and_folders(tmp_path, damaged):
    with pytest.raises(FileNotFoundError, match=r"nothing\.rfmap: no such file"):
        rf.ModuleMap.load(tmp_path / "nothing.rfmap")
    refused(tmp_path, "expected a regular file")
    refused(damaged(b""), "the file is empty")
    with pytest.raises(RuntimeError, match="cannot create"):
        tiny_map().save(tmp_path / "no" / "folder.rfmap")


def test_truncation_is_noticed_everywhere(damaged):
    data = tiny_map().core.to_bytes()
    for n in range(1, len(data)):
        refused(damaged(data[:n]), r"truncated: expected \d+ bytes" if n >= HEADER else "header: expected 128 bytes")


def test_truncated_statistics_are_noticed(module_map, damaged):
    limits, statistics = module_map.core.to_bytes(), module_map.statistics.to_bytes()
    for n in (1, 31, 32, 33, len(statistics) // 2, len(statistics) - 1):
        refused(damaged(limits + statistics[:n]), "statistics: ")
    for at in np.random.default_rng(1).integers(32, len(statistics), 50):
        flipped = bytearray(statistics)
        flipped[at] ^= 16
        refused(damaged(limits + flipped), "statistics: checksum")
    for bit in range(8 * 32):
        flipped = bytearray(statistics)
        flipped[bit // 8] ^= 1 << (bit % 8)
        refused(damaged(limits + flipped), "statistics: ")
    refused(damaged(limits + b"unknown appendix, long enough for a header"), "statistics: expected their magic bytes")


def test_statistics_must_be_those_of_the_map(events, damaged):
    angle, slope = (rf.ModuleMap.build(events[:1], bend=bend) for bend in BENDS)
    refused(damaged(angle.core.to_bytes() + slope.statistics.to_bytes()), "statistics: bend: expected the map's, angle")


@pytest.mark.parametrize(
    ("field", "offset", "value"),
    [
        ("occurrence", 24, struct.pack("<Q", 0)),
        ("occurrence", 24, struct.pack("<Q", 2**63)),
        ("min, max", 32, struct.pack("<f", np.nan)),
        ("min, max", 36, struct.pack("<f", 1e30)),
        ("sum_of_squares", 192, struct.pack("<q", -1)),
        ("sum", 112, struct.pack("<q", 2**62)),
        ("sum", 112, struct.pack("<q", -(2**62))),
    ],
)
def test_statistics_that_no_training_leaves_are_refused(field, offset, value):
    statistics = bytearray(one_triple().to_bytes())
    statistics[32 + offset : 32 + offset + len(value)] = value
    struct.pack_into("<Q", statistics, 24, 0)
    struct.pack_into("<Q", statistics, 24, sealed_checksum(statistics[:32], 24, statistics[32:]))
    with pytest.raises(RuntimeError, match=f"here: statistics: {field}: expected what training leaves, at record 0"):
        _core.ModuleMapBuilder.from_bytes(bytes(statistics), "here")


def one_triple(z=(0.0, 0.0, 0.0)):
    """A builder that saw one triple, on modules 1, 2, 3."""
    builder = _core.ModuleMapBuilder("angle")
    add_triple(builder, z)
    return builder


def add_triple(builder, z):
    x, modules = np.float32([30, 70, 110]), np.array([1, 2, 3], np.uint64)
    builder.add(x, np.float32([1, 2, 4]), np.float32(z), modules, np.array([[0, 1, 2]], np.uint32))


def test_occurrences_that_overflow_the_sums_are_refused():
    """z0 of these is clamped to 2^20 units, so that 2^23 - 1 occurrences are the most that 63 bits hold."""
    far = (0.0, 1e6, 2e6)
    power = one_triple(far)
    full = one_triple(far)
    for _ in range(22):
        power.merge(_core.ModuleMapBuilder.from_bytes(power.to_bytes(), "itself"))
        full.merge(power)
    before = full.to_bytes()
    message = "modules 1, 2, 3: after 8388607 occurrences the 64-bit sums of the statistics hold no more"
    with pytest.raises(OverflowError, match="add: " + message):
        add_triple(full, far)
    with pytest.raises(OverflowError, match="merge: " + message):
        full.merge(one_triple(far))
    mixed = one_triple((0.0, 1.0, 2.0))
    other = np.array([7, 8, 9], np.uint64)
    x, zero = np.float32([30, 70, 110]), np.zeros(3, np.float32)
    mixed.add(x, zero, zero, other, np.array([[0, 1, 2]], np.uint32))
    add_triple(mixed, far)
    with pytest.raises(OverflowError):
        full.merge(mixed)
    assert full.to_bytes() == before, "a merge that is refused adds nothing"
    assert _core.ModuleMapBuilder.from_bytes(before, "full").to_bytes() == before


def checksum(data):
    """The checksum of files, from its description in docs/module_map.md."""
    mask, prime1, prime2 = 2**64 - 1, 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F

    def rotate(value, bits):
        return (value << bits | value >> (64 - bits)) & mask

    lanes = [prime1, prime2, prime1 ^ prime2, (prime1 + prime2) & mask]
    whole = len(data) // 32 * 32
    for i, (word,) in enumerate(struct.iter_unpack("<Q", data[:whole])):
        lanes[i % 4] = rotate((lanes[i % 4] + word * prime2) & mask, 31) * prime1 & mask
    value = len(data) * prime1 & mask
    for lane in lanes:
        value = (rotate(value ^ lane, 27) * prime1 + prime2) & mask
    for byte in data[whole:]:
        value = rotate(value ^ (byte * prime1 & mask), 11) * prime2 & mask
    value = (value ^ value >> 33) * prime2 & mask
    return value ^ value >> 29


def sealed_checksum(header, at, payload):
    """The checksum of a header, with that of the payload in place of its own at `at`."""
    header = bytearray(header)
    struct.pack_into("<Q", header, at, checksum(payload))
    return checksum(header)


def test_checksums_are_those_of_the_document():
    data, statistics = tiny_map().core.to_bytes(), one_triple().to_bytes()
    assert struct.unpack_from("<Q", data, 56)[0] == sealed_checksum(data[:HEADER], 56, data[HEADER:])
    assert struct.unpack_from("<Q", statistics, 24)[0] == sealed_checksum(statistics[:32], 24, statistics[32:])


def test_files_of_format_1_are_read(damaged, tmp_path):
    """Their checksums cover the payload alone."""
    data, statistics = bytearray(tiny_map().core.to_bytes()), bytearray(one_triple().to_bytes())
    struct.pack_into("<II", data, 8, 1, 1)
    struct.pack_into("<Q", data, 56, checksum(data[HEADER:]))
    struct.pack_into("<I", statistics, 8, 1)
    struct.pack_into("<Q", statistics, 24, checksum(statistics[32:]))
    old = rf.ModuleMap.load(damaged(data + statistics))
    assert (old.core.file_format_version, tiny_map().core.file_format_version) == (1, 2)
    np.testing.assert_array_equal(old.triplets()[2], tiny_map().triplets()[2])
    assert old.statistics.to_bytes() == one_triple().to_bytes()


def test_every_flipped_bit_of_the_payload_is_noticed(damaged):
    data = tiny_map().core.to_bytes()
    for at in range(HEADER, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        refused(damaged(flipped), "checksum: the file is damaged")


# Offset and size of the header's fields, and what is said of a damaged one.
FIELDS = {
    "magic": (0, 8, "magic: not a rheinfall module map"),
    "format_version": (8, 4, "reader_version: expected 1 to|checksum"),
    "reader_version": (12, 4, "format_version|reader_version"),
    "bend": (16, 4, "bend: expected 0 or 1|checksum"),
    "reserved": (20, 4, "checksum"),
    "n_modules": (24, 8, "payload_bytes|truncated|at most|checksum"),
    "n_doublets": (32, 8, "payload_bytes|truncated|at most|checksum"),
    "n_triplets": (40, 8, "payload_bytes|truncated|at most|checksum"),
    "payload_bytes": (48, 8, "payload_bytes"),
    "checksum": (56, 8, "checksum"),
    "convention": (64, 64, "convention: expected 'deta=2-1;dr0=1e-6;order=12,23'"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_flipped_bit_of_the_header_is_noticed(damaged, field):
    offset, size, message = FIELDS[field]
    data = tiny_map().core.to_bytes()
    # 65 modules or doublets may fill the same padded block as 64: then the checks of the arrays notice it.
    message += "|modules: |doublets: |doublet_limits: |triplet_offsets: |triplet_outer: "
    for bit in range(8 * size):
        flipped = bytearray(data)
        flipped[offset + bit // 8] ^= 1 << (bit % 8)
        refused(damaged(flipped), message)


@pytest.mark.parametrize("value", [2, 3, 2**31])
def test_an_unknown_bend_is_refused(damaged, value):
    data = bytearray(tiny_map().core.to_bytes())
    struct.pack_into("<I", data, 16, value)
    refused(damaged(data), f"bend: expected 0 or 1, got {value}")


def test_newer_formats(damaged):
    data = bytearray(tiny_map().core.to_bytes())
    struct.pack_into("<IIIIQQQQQ", data, 8, 7, 2, *struct.unpack_from("<IIQQQQ", data, 16), 0)
    struct.pack_into("<Q", data, 56, sealed_checksum(data[:HEADER], 56, data[HEADER:]))
    assert rf.ModuleMap.load(damaged(data)).n_triplets == 2, "a newer file that says that format 2 may read it"
    struct.pack_into("<II", data, 8, 7, 5)
    refused(damaged(data), "written in format 7, which needs a reader of format 5; this release reads up to 2")


def test_huge_counts_allocate_nothing(damaged):
    for counts in ((2**32 - 1,) * 3, (2**63, 1, 1), (2**32, 0, 0), (0, 2**32 - 1, 2**32 - 1)):
        data = bytearray(tiny_map().core.to_bytes())
        struct.pack_into("<QQQ", data, 24, *counts)
        refused(damaged(data), "payload_bytes|at most")
        payload = sum(-(-n // 64) * 64 for n in sizes(*counts)) if max(counts) < 2**32 else 0
        struct.pack_into("<Q", data, 48, payload)
        refused(damaged(data), "truncated|at most")


def sizes(modules, doublets, triplets):
    return (
        8 * modules,
        4 * doublets,
        4 * doublets,
        32 * doublets,
        4 * doublets + 4,
        4 * triplets,
        24 * triplets,
        triplets,
    )


def test_bytes_that_are_no_map():
    with pytest.raises(RuntimeError, match="somewhere: magic"):
        _core.ModuleMap.from_bytes(b"x" * 300, "somewhere")
    with pytest.raises(RuntimeError, match="somewhere: statistics: "):
        _core.ModuleMapBuilder.from_bytes(b"x" * 300, "somewhere")


def test_rewriting_changes_no_byte(module_map):
    assert_same(module_map.rewrite(), module_map)
