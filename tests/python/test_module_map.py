"""Module maps: building against its definition, merging, coding of limits, files and damage to them, symmetries."""

from __future__ import annotations

import copy
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheinfall as rf
from rheinfall import _core
from rheinfall.event import LAYER_SHIFT, Event, Hits, Particles, Truth, encode_module_id
from rheinfall.reference import graph_construction
from rheinfall.reference import module_map as reference
from rheinfall.tracking.module_map_coverage import measure_coverage
from rheinfall.tracking.module_symmetry import find_symmetries
from rheinfall.tracking.true_triples import TripleSelection, find_true_triples

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[3] / "shared"))
BENDS = ("angle", "slope_difference")
HEADER = 128
RULES = (
    {},
    {"sigmas": 0.0, "sigmas_differences": 0.0},
    {"relative": 0.25, "sigmas": 1.0, "prior_weight": 0.0},
    {"min_occurrence": 2, "sigmas_differences": 10.0},
    {"remove_two_cycles": False, "core": 1.0},
    {"core": 0.0},
    {"max_phi_slope": 4e-4, "remove_two_cycles": False},
    {"absolute": (0.5, 1e-3, 1e-5, 0.01, 0.02, 3e-3), "core": 50.0},
)


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


@pytest.fixture(scope="module")
def events():
    return list(rf.simulation.simulate(8, pile_up=1, seed=4))


@pytest.fixture(scope="module", params=BENDS)
def bend(request):
    return request.param


@pytest.fixture(scope="module")
def module_map(events, bend):
    return rf.ModuleMap.build(events, bend=bend)


@pytest.fixture(scope="module")
def records(events, bend):
    seen = {}
    for event in events:
        reference.add_event(seen, event.hits, find_true_triples(event, TripleSelection()), bend)
    return seen


def tiny_map():
    modules = np.array([[1, 2, 3], [1, 2, 4]], np.uint64) << np.uint64(8)
    limits = np.tile(np.float32([-1, 2]), (2, 10, 1))
    return rf.ModuleMap(_core.ModuleMap.from_triplets(modules, np.array([5, 1], np.uint64), limits, "angle"))


# Building


@pytest.mark.parametrize("rule", RULES)
def test_limits_are_those_of_the_definition(module_map, records, bend, rule):
    doublets, triplets = reference.code_limits(reference.widened_limits(records, bend, **rule))
    built = module_map.with_limits(**rule)
    modules, occurrence, limits = built.triplets()
    keys = [tuple(row) for row in modules.tolist()]
    assert keys == sorted(triplets)
    assert len(keys) > 100
    np.testing.assert_array_equal(bits(limits), bits(np.array([triplets[k] for k in keys])))
    np.testing.assert_array_equal(occurrence, [records[k].occurrence.bit_length() - 1 for k in keys])
    modules, limits = built.doublets()
    np.testing.assert_array_equal(bits(limits), bits(np.array([doublets[tuple(k)] for k in modules.tolist()])))


def test_steep_triplets_are_cut_or_left_out(module_map):
    """A cut on phi_slope alone narrows the limits of phi_slope, and loses the triplets that lie beyond it."""
    free = module_map.with_limits(remove_two_cycles=False)
    most = np.float32(2.0**-12)
    modules, _, limits = free.triplets()
    steep = (limits[:, [2, 6], 0] > most).any(axis=1) | (limits[:, [2, 6], 1] < -most).any(axis=1)
    cut = module_map.with_limits(remove_two_cycles=False, max_phi_slope=2.0**-12)
    assert 10 < steep.sum() < len(steep) - 10
    kept = set(map(tuple, cut.triplets()[0].tolist()))
    assert kept <= set(map(tuple, modules.tolist()))
    assert not kept & set(map(tuple, modules[steep].tolist()))
    assert (np.abs(cut.doublets()[1][:, 2]) <= most).all()


def test_every_training_triple_is_in_the_graph(events):
    """Limits are inclusive and coding only widens: a map without cut tails keeps what it learnt from."""
    module_map = rf.ModuleMap.build(events, core=1e9, relative=1e-6, remove_two_cycles=False)
    known = set(map(tuple, module_map.triplets()[0].tolist()))
    n_learnt = 0
    for event in events:
        edges = set(map(tuple, rf.build_graph(event.hits, module_map).edge_index.T.tolist()))
        for a, b, c in find_true_triples(event, TripleSelection()).tolist():
            if tuple(event.hits.module_id[[a, b, c]].tolist()) in known:
                assert {(a, b), (b, c)} <= edges
                n_learnt += 1
    assert n_learnt > 100


def test_a_triplet_seen_once_keeps_what_it_learnt():
    """Alone on its layers it has s = 0, and its mean is rounded to fixed point: no cut may throw its only value out."""
    points = np.float32([[31.4, 0.3, 17.77], [71.9, 0.71, 40.123], [115.3, 1.2, 64.9]])
    x, y, z = (np.ascontiguousarray(v) for v in points.T)
    hits = rf.Hits(x, y, z, np.array([1, 2, 3], np.uint64), np.arange(3, dtype=np.uint64))
    builder = _core.ModuleMapBuilder("angle")
    builder.add(hits.x, hits.y, hits.z, hits.module_id, np.array([[0, 1, 2]], np.uint32))
    graph = rf.build_graph(hits, rf.ModuleMap(builder.finish(_core.LimitRule(sigmas=0.0, sigmas_differences=0.0))))
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]


def test_two_cycles_lose_the_rarer_direction():
    def triple(modules, x=0.0):
        points = np.float32([[30, x, 0], [70, x, 0], [110, x, 0]])
        columns = [np.ascontiguousarray(v) for v in points.T]
        return (*columns, np.array(modules, np.uint64), np.array([[0, 1, 2]], np.uint32))

    builder = _core.ModuleMapBuilder("angle")
    for modules in ((1, 2, 3), (1, 2, 3), (3, 2, 4), (5, 6, 7), (6, 5, 8)):
        builder.add(*triple(modules))
    kept = builder.finish(_core.LimitRule()).triplets()[0].tolist()
    assert kept == [[1, 2, 3], [5, 6, 7]], "the rarer direction goes; of equals the one that falls in id"
    everything = builder.finish(_core.LimitRule(remove_two_cycles=False)).triplets()[0].tolist()
    assert everything == [[1, 2, 3], [3, 2, 4], [5, 6, 7], [6, 5, 8]]


def test_eight_partial_maps_merge_to_the_serial_one(events, bend, module_map):
    parts = [rf.ModuleMap.build([event], bend=bend) for event in events]
    for order in (range(8), reversed(range(8)), np.random.default_rng(0).permutation(8)):
        merged = None
        for i in order:
            merged = parts[i] if merged is None else merged.merge(parts[i])
        assert merged.core.to_bytes() == module_map.core.to_bytes()
        assert merged.statistics.to_bytes() == module_map.statistics.to_bytes()
    halves = [parts[i].merge(parts[i + 1]) for i in range(0, 8, 2)]
    tree = halves[0].merge(halves[1]).merge(halves[2].merge(halves[3]))
    assert tree.core.to_bytes() == module_map.core.to_bytes()


def test_the_order_of_events_does_not_matter(events, bend, module_map):
    assert rf.ModuleMap.build(events[::-1], bend=bend).core.to_bytes() == module_map.core.to_bytes()


def test_events_are_streamed(events):
    assert rf.ModuleMap.build(iter(events[:2])).n_triplets > 0
    assert rf.ModuleMap.build([]).n_modules == 0


def test_merging_needs_statistics_and_one_convention(events, tmp_path):
    angle, slope = (rf.ModuleMap.build(events[:1], bend=bend) for bend in BENDS)
    with pytest.raises(ValueError, match="bend differently"):
        angle.merge(slope)
    angle.save(tmp_path / "limits.rfmap", statistics=False)
    limits_only = rf.ModuleMap.load(tmp_path / "limits.rfmap")
    with pytest.raises(ValueError, match="limits only"):
        limits_only.merge(angle)
    with pytest.raises(ValueError, match="limits only"):
        angle.merge(limits_only)
    with pytest.raises(ValueError, match="limits only"):
        limits_only.with_limits(sigmas=1.0)
    with pytest.raises(ValueError, match="limits only"):
        limits_only.save(tmp_path / "more.rfmap", statistics=True)


BAD_RULES = (
    {"relative": -0.1},
    {"sigmas": np.nan},
    {"prior_weight": np.inf},
    {"core": -1.0},
    {"max_phi_slope": np.nan},
    {"absolute": (0, 0, 0, 0, 0, -1.0)},
)


@pytest.mark.parametrize("rule", BAD_RULES)
def test_a_rule_without_meaning_is_refused(rule):
    with pytest.raises(ValueError, match=next(iter(rule))):
        rf.ModuleMap.build([], **rule)


def test_an_unknown_rule_or_bend_is_refused():
    with pytest.raises(TypeError):
        rf.ModuleMap.build([], sigma=1.0)
    with pytest.raises(ValueError, match="'angle' or 'slope_difference', got 'curvature'"):
        rf.ModuleMap.build([], bend="curvature")


def test_training_refuses_what_has_no_meaning():
    x = np.float32([30, 70, 110])
    modules = np.array([1, 2, 3], np.uint64)
    builder = _core.ModuleMapBuilder("angle")
    with pytest.raises(ValueError, match="hit 3 of 3"):
        builder.add(x, x, x, modules, np.array([[0, 1, 3]], np.uint32))
    with pytest.raises(ValueError, match="hit 1 are not finite"):
        builder.add(x, np.float32([0, np.nan, 0]), x, modules, np.array([[0, 1, 2]], np.uint32))
    with pytest.raises(ValueError, match="overflows"):
        builder.add(x * np.float32(1e30), x, x, modules, np.array([[0, 1, 2]], np.uint32))
    assert builder.n_triplets == 0


# Coding of limits


def code(limits):
    """The decoded limits of triplets between the same modules 1 -> 2 -> (3 + i), given float32 (n, 10, 2)."""
    n = len(limits)
    modules = np.stack([np.full(n, 1), np.full(n, 2), 3 + np.arange(n)], axis=1).astype(np.uint64)
    core = _core.ModuleMap.from_triplets(
        modules, np.ones(n, np.uint64), np.ascontiguousarray(limits, np.float32), "angle"
    )
    return core.triplets()[2], core.doublets()[1]


def assert_only_widens(limits):
    limits = np.sort(np.asarray(limits, np.float32), axis=-1)
    coded, doublets = code(limits)
    given = np.clip(limits, np.float32(-1e30), np.float32(1e30))
    assert (coded[..., 0] <= given[..., 0]).all()
    assert (coded[..., 1] >= given[..., 1]).all()
    inner = given[:, :4]
    np.testing.assert_array_equal(doublets[0], np.stack([inner[..., 0].min(0), inner[..., 1].max(0)], axis=-1))
    # Coding what was coded changes nothing more.
    np.testing.assert_array_equal(code(coded)[0], coded)
    return given, coded


@pytest.mark.parametrize("seed", range(20))
def test_coded_limits_only_widen(seed):
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 1, (30, 10, 1)) * 10.0 ** rng.integers(-6, 4, (1, 10, 1))
    given, coded = assert_only_widens(centre + rng.normal(0, 1, (30, 10, 2)) * 10.0 ** rng.integers(-8, 3, (1, 10, 1)))
    inner, inner_coded = given[:, :4], coded[:, :4]
    span = inner[..., 1].max(0) - inner[..., 0].min(0)
    step = span / 255 * 1.01 + np.abs(inner).max((0, 2)) * 1e-6
    assert ((inner[..., 0] - inner_coded[..., 0]) <= step).all(), "by no more than a 255th of the doublet's range"
    assert ((inner_coded[..., 1] - inner[..., 1]) <= step).all()
    assert (np.abs(coded[:, 8:] - given[:, 8:]) <= np.abs(given[:, 8:]) / 128).all(), "bfloat16 has 8 bits"


finite = st.floats(width=32, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(finite, finite), min_size=10, max_size=10), min_size=1, max_size=4))
def test_coded_limits_only_widen_whatever_they_are(limits):
    assert_only_widens(limits)


@pytest.mark.parametrize("bad", [(1, -1), (np.nan, 1), (0, np.nan)])
@pytest.mark.parametrize("quantity", range(10))
def test_limits_without_meaning_are_refused(bad, quantity):
    limits = np.tile(np.float32([-1, 1]), (1, 10, 1))
    limits[0, quantity] = bad
    name = ("z0", "dphi", "phi_slope", "deta", "z0", "dphi", "phi_slope", "deta", "diff_dzdr", "bend")[quantity]
    with pytest.raises(ValueError, match=rf"limits of {name}: expected low <= high"):
        code(limits)


def test_a_triplet_or_doublet_given_twice_is_refused():
    modules = np.array([[1, 2, 3]] * 2, np.uint64)
    limits = np.tile(np.float32([-1, 1]), (2, 10, 1))
    with pytest.raises(ValueError, match="triplet of modules 1, 2, 3 is given twice"):
        _core.ModuleMap.from_triplets(modules, np.ones(2, np.uint64), limits, "angle")
    with pytest.raises(ValueError, match="doublet of modules 1, 2 is given twice"):
        _core.ModuleMap.from_doublets(
            np.ascontiguousarray(modules[:, :2]), np.ascontiguousarray(limits[:, :4]), "angle"
        )


# Files


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


# True triples


def brute_force_triples(event, selection):
    truth, hits, found = event.truth, event.hits, []
    layer = hits.module_id >> np.uint64(LAYER_SHIFT)
    for i, pid in enumerate(truth.particles.particle_id):
        p = truth.particles
        own = np.flatnonzero((truth.particle_id == pid) & truth.known)
        wanted = p.pt[i] >= selection.min_pt and abs(p.eta[i]) <= selection.max_eta
        wanted = wanted and p.radius[i] <= selection.max_radius and len(own) >= selection.min_hits
        if not wanted or (selection.primary_only and not p.primary[i]):
            continue
        vertex = np.array([p.vx[i], p.vy[i], p.vz[i]], np.float64)
        position = np.stack([hits.x[own], hits.y[own], hits.z[own]], 1).astype(np.float64)
        path = own[np.argsort(((position - vertex) ** 2).sum(1), kind="stable")]
        kept = []
        for k, h in enumerate(path):
            if k == 0 or layer[h] != layer[path[k - 1]]:
                kept.append(int(h))
        found += [tuple(kept[k : k + 3]) for k in range(len(kept) - 2)]
    return found


SELECTIONS = (
    TripleSelection(),
    TripleSelection(min_pt=1.0, max_eta=1.5, min_hits=6),
    TripleSelection(min_pt=0.0, max_radius=1.0, primary_only=True),
)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_true_triples_are_those_of_brute_force(events, selection):
    for event in events[:4]:
        triples = find_true_triples(event, selection)
        assert triples.dtype == np.uint32
        assert sorted(map(tuple, triples.tolist())) == sorted(brute_force_triples(event, selection))
        assert len(triples) > 10


def small_event(layers, distance=None, known=True):
    n = len(layers)
    x = np.float32(10 * (1 + np.arange(n)) if distance is None else distance)
    zero, one = np.zeros(n, np.float32), np.ones(1, np.float32)
    hits = Hits(x, zero, zero, encode_module_id(8, layers, 1), np.arange(n, dtype=np.uint64))
    nought = np.zeros(1, np.float32)
    particles = Particles(np.array([7], np.uint64), nought, nought, nought, one, nought, nought, one, np.ones(1, bool))
    return Event(hits, Truth(np.full(n, 7, np.uint64), np.full(n, known), particles))


def test_of_two_hits_on_one_layer_the_second_is_dropped():
    triples = find_true_triples(small_event([2, 2, 4, 6, 6, 8]), TripleSelection())
    assert triples.tolist() == [[0, 2, 3], [2, 3, 5]]
    backwards = find_true_triples(small_event([2, 4, 6], distance=[30, 20, 10]), TripleSelection())
    assert backwards.tolist() == [[2, 1, 0]]


def test_unknown_truth_teaches_nothing():
    assert find_true_triples(small_event([2, 4, 6], known=False), TripleSelection()).shape == (0, 3)


def test_training_needs_truth(events):
    with pytest.raises(ValueError, match="needs truth"):
        rf.ModuleMap.build([Event(events[0].hits)])


def test_map_and_metric_agree_on_true_edges(events):
    """What a map learns are the true edges of the metric: they part only where a track comes back to a layer."""
    everything = TripleSelection(min_pt=0.0, max_eta=100.0, max_radius=1e9, min_hits=0)
    for event in events:
        expected = set(map(tuple, rf.metrics.find_true_edges(event.truth, event.hits).T.tolist()))
        triples = find_true_triples(event, everything)
        learnt = set(map(tuple, np.concatenate([triples[:, :2], triples[:, 1:]]).tolist()))
        layer = event.hits.module_id >> np.uint64(LAYER_SHIFT)
        returning = returning_particles(event, layer)
        pid = event.truth.particle_id
        alone = {e for e in expected - learnt if pid[e[0]] not in returning}
        assert {e for e in learnt if pid[e[0]] not in returning} <= expected
        # A particle with two kept hits has a true edge but no triple.
        assert all((pid[[a for e in expected for a in e]] == pid[e[0]]).sum() == 2 for e in alone)


def returning_particles(event, layer):
    """Particles that hit a layer, then another, then the first again, on their way out."""
    found = set()
    p = event.truth.particles
    for i, pid in enumerate(p.particle_id):
        own = np.flatnonzero(event.truth.particle_id == pid)
        d = (event.hits.x[own].astype(float) - p.vx[i]) ** 2 + (event.hits.y[own].astype(float) - p.vy[i]) ** 2
        d = d + (event.hits.z[own].astype(float) - p.vz[i]) ** 2
        sequence = layer[own[np.argsort(d, kind="stable")]]
        runs = sequence[np.append(True, sequence[1:] != sequence[:-1])] if len(sequence) else sequence
        if len(np.unique(runs)) < len(runs):
            found.add(pid)
    return found


# Symmetries


def demo_modules():
    modules = rf.simulation.demo_detector().modules
    return modules.module_id, np.asarray(modules.centre, np.float64)


def trackml_modules():
    path = SHARED / "data" / "trackml" / "detectors.csv.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    modules = rf.io.read_detectors(path)
    return modules.module_id, np.asarray(modules.center, np.float64)


@pytest.mark.parametrize("modules", [demo_modules, trackml_modules])
def test_symmetries_map_modules_one_to_one(modules):
    module_id, centres = modules()
    symmetries = find_symmetries(module_id, centres)
    assert symmetries
    at = {int(m): i for i, m in enumerate(module_id)}
    for symmetry in symmetries:
        np.testing.assert_array_equal(np.sort(symmetry.images), np.sort(module_id))
        index = [at[int(m)] for m in symmetry.modules]
        image = [at[int(m)] for m in symmetry.images]
        moved = centres[index] * np.array(symmetry.signs)
        assert np.linalg.norm(moved - centres[image], axis=1).max() <= 3.5
        # Layers go to whole layers: what pools statistics by layer stays meaningful.
        layers = np.stack([symmetry.modules >> np.uint64(LAYER_SHIFT), symmetry.images >> np.uint64(LAYER_SHIFT)])
        assert len(np.unique(layers, axis=1).T) == len(np.unique(layers[0]))


def test_quantities_transform_as_the_signs_say(events):
    hits = events[0].hits
    symmetries = find_symmetries(*demo_modules())
    a, b, c = find_true_triples(events[0], TripleSelection()).T
    quantities = {}
    for symmetry in symmetries:
        moved = symmetry.apply(hits)
        np.testing.assert_array_equal(moved.x, symmetry.signs[0] * hits.x)
        p = graph_construction.space_points(moved.x, moved.y, moved.z, np.float64)
        quantities[symmetry.signs] = graph_construction.triple_quantities("angle", p[a], p[b], p[c])
    p = graph_construction.space_points(hits.x, hits.y, hits.z, np.float64)
    own = graph_construction.triple_quantities("angle", p[a], p[b], p[c])
    for (sx, sy, sz), moved in quantities.items():
        turn = sx * sy  # a rotation keeps angles, one reflection turns them
        signs = np.array([sz, turn, turn, sz] * 2 + [sz, turn])
        np.testing.assert_allclose(moved, own * signs, rtol=1e-9, atol=1e-9)


def test_each_symmetry_teaches_as_an_event_of_its_own(events):
    symmetries = find_symmetries(*demo_modules())
    taught = rf.ModuleMap.build(events[:2], symmetries=symmetries)
    images = [Event(s.apply(e.hits), e.truth, e.name) for e in events[:2] for s in symmetries]
    parts = [rf.ModuleMap.build(events[:2])]
    builder = _core.ModuleMapBuilder("angle")
    for event, image in zip([e for e in events[:2] for _ in symmetries], images, strict=True):
        h = image.hits
        builder.add(h.x, h.y, h.z, h.module_id, find_true_triples(event, TripleSelection()))
    builder.merge(parts[0].statistics)
    assert builder.to_bytes() == taught.statistics.to_bytes()


def test_a_foreign_module_has_no_image(events):
    symmetry = find_symmetries(*demo_modules())[0]
    hits = Hits(*(np.zeros(1, np.float32),) * 3, np.array([5], np.uint64), np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="module 5 is not part of the symmetry"):
        symmetry.apply(hits)


def test_a_lopsided_detector_has_no_symmetry():
    centres = np.array([[30.0, 0, 0], [0, 40.0, 10]])
    assert find_symmetries(np.array([1, 2], np.uint64), centres) == []


# Pruning and coverage


def test_pruned_maps_keep_frequent_triplets_and_their_limits(module_map):
    modules, _, limits = module_map.triplets()
    counts = module_map.occurrences()
    for least in (1, 2, 3, 10):
        pruned = module_map.prune(least)
        keep = counts >= least
        np.testing.assert_array_equal(pruned.triplets()[0], modules[keep])
        wider = pruned.triplets()[2]
        assert (wider[..., 0] <= limits[keep][..., 0]).all()
        assert (wider[..., 1] >= limits[keep][..., 1]).all()
        doublets = {tuple(m): box for m, box in zip(pruned.doublets()[0].tolist(), pruned.doublets()[1], strict=True)}
        for triplet, box, old in zip(pruned.triplets()[0].tolist(), wider, limits[keep], strict=True):
            for pair, at in ((triplet[:2], 0), (triplet[1:], 4)):
                step = (doublets[tuple(pair)][:, 1] - doublets[tuple(pair)][:, 0]) / 255 * 1.001
                assert (np.abs(box[at : at + 4] - old[at : at + 4]) <= step[:, None]).all()
        assert pruned.statistics is None
    assert module_map.prune(2, statistics=True).merge(module_map).n_triplets == module_map.n_triplets


def test_occurrences_are_exact_with_statistics(module_map, records):
    counts = module_map.occurrences()
    assert counts.tolist() == [records[tuple(m)].occurrence for m in module_map.triplets()[0].tolist()]
    bare = rf.ModuleMap(module_map.core)
    assert bare.occurrences().tolist() == [1 << (int(c).bit_length() - 1) for c in counts]
    with pytest.raises(ValueError, match="powers of two as occurrence, got 3"):
        bare.prune(3)
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        bare.prune(0)
    limits = np.tile(np.float32([-1, 1]), (1, 4, 1))
    doublets = rf.ModuleMap(_core.ModuleMap.from_doublets(np.array([[1, 2]], np.uint64), limits, "angle"))
    with pytest.raises(ValueError, match="doublets alone"):
        doublets.prune(2)
    assert doublets.rewrite().core.to_bytes() == doublets.core.to_bytes()


def test_rewriting_changes_no_byte(module_map):
    assert_same(module_map.rewrite(), module_map)


def test_coverage_is_that_of_brute_force(module_map, records):
    layer_of = {int(m): (int(m) >> 56, int(m) >> LAYER_SHIFT & 0xFFF) for m in module_map.modules}
    lost = encode_module_id(1, 2, np.array([4000, 4001]))
    coverage = measure_coverage(module_map, np.concatenate([module_map.modules, lost]))
    assert [(c.volume, c.layer) for c in coverage.layers] == sorted(set(layer_of.values()))
    kept = [tuple(m) for m in module_map.triplets()[0].tolist()]
    for c in coverage.layers:
        here = (c.volume, c.layer)
        counts = [records[t].occurrence for t in kept if any(layer_of[m] == here for m in t)]
        assert c.n_triplets == len(counts)
        assert c.median_occurrence == np.median(counts)
        assert c.rare_share == pytest.approx(counts.count(1) / sum(counts), rel=1e-12)
        assert c.n_modules == sum(layer == here for layer in layer_of.values())
        assert c.n_missing == (2 if here == (1, 2) else 0)
        pairs = module_map.doublets()[0].tolist()
        assert c.n_doublets == sum(any(layer_of[m] == here for m in pair) for pair in pairs)
    assert "layer 1/2: 2 of" in coverage.thin(1.0)[0]
    assert measure_coverage(rf.ModuleMap.build([])).layers == []
    assert coverage.rare_triplets == "triplets seen once"
    frequent = measure_coverage(module_map.prune(4))
    assert frequent.rare_triplets == "triplets seen 4 to 7 times"
    assert frequent.layers[0].n_missing is None
