"""Foreign module maps: text and ROOT files written here, their signs, and errors that name the place."""

from __future__ import annotations

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import _core
from rheinfall.tracking.module_map_convention import CONVENTIONS, outward
from rheinfall.tracking.module_map_text import COLUMNS, text_convention

TYPO = "left out"
NUMBERS = np.arange(20, dtype=np.float64).reshape(10, 2) - 9.25  # low, high of the ten quantities, all different


def line(modules=(11, 22, 33), occurrence=9, limits=NUMBERS):
    return " ".join(map(str, (*modules, occurrence, *np.asarray(limits)[:, ::-1].ravel())))


@pytest.fixture
def text(tmp_path):
    def write(*lines):
        path = tmp_path / "map.triplets.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture(scope="module", params=["angle", "slope_difference"])
def module_map(request):
    return rf.ModuleMap.build(rf.simulation.simulate(4, seed=9), bend=request.param)


def test_there_are_24_columns_in_acorns_order():
    assert len(COLUMNS) == 24
    assert COLUMNS[:6] == ("module1", "module2", "module3", "occurrence", "z0max_12", "z0min_12")
    assert COLUMNS[10:13] == ("detamax_12", "detamin_12", "z0max_23")
    assert COLUMNS[20:] == ("diff_dzdr_max", "diff_dzdr_min", "diff_dydx_max", "diff_dydx_min")


def test_text_comes_back_as_written(module_map, tmp_path):
    module_map.to_text(tmp_path / "map.txt")
    again = rf.ModuleMap.from_text(tmp_path / "map.txt", convention=text_convention(module_map))
    assert again.bend == module_map.bend
    mine, theirs = ((*m.triplets(), *m.doublets()) for m in (again, module_map))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def expected_limits(convention):
    """By hand: what the file's columns mean in our signs."""
    limits = NUMBERS.copy()
    if convention in ("acorn", "modulemapgraph-2024"):
        for q in (3, 7):  # eta1 - eta2 within [a, b] is eta2 - eta1 within [-b, -a]
            limits[q] = -NUMBERS[q, 1], -NUMBERS[q, 0]
    if convention in ("acorn", "modulemapgraph-2024", "modulemapgraph-deta21"):
        limits[9] = -1e30, 1e30
    return limits


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_signs_of_each_convention(text, convention):
    path = text("# a comment", "", line())
    if CONVENTIONS[convention].bend is None:
        with pytest.warns(UserWarning, match=TYPO):
            module_map = rf.ModuleMap.from_text(path, convention=convention)
    else:
        module_map = rf.ModuleMap.from_text(path, convention=convention)
    modules, occurrence, limits = module_map.triplets()
    assert modules.tolist() == [[11, 22, 33]]
    assert occurrence.tolist() == [3]
    expected = expected_limits(convention)
    np.testing.assert_array_equal(limits[0, :8], expected[:8])
    assert (limits[0, 8:, 0] <= expected[8:, 0]).all()
    assert (limits[0, 8:, 1] >= expected[8:, 1]).all()
    np.testing.assert_allclose(limits[0, 8:], expected[8:], rtol=1 / 128)
    assert module_map.bend == ("angle" if convention == "rheinfall-angle" else "slope_difference")


def test_an_unknown_convention_is_refused(text):
    with pytest.raises(ValueError, match=r"convention: expected one of rheinfall, .*acorn.*, got 'exatrkx'"):
        rf.ModuleMap.from_text(text(line()), convention="exatrkx")


def test_limits_are_rounded_outward():
    limits = np.array([[0.1, 0.1], [-0.1, 0.7], [-3e38, np.inf]])
    rounded = outward(limits)
    assert rounded.dtype == np.float32
    assert (rounded[:2, 0].astype(np.float64) <= limits[:2, 0]).all()
    assert (rounded[:2, 1].astype(np.float64) >= limits[:2, 1]).all()
    assert (np.abs(rounded[:2] - limits[:2]) < 1e-7).all()
    assert rounded[2].tolist() == [np.float32(-1e30), np.float32(1e30)]


def changed(column, word):
    words = line().split()
    words[column] = word
    return " ".join(words)


@pytest.mark.parametrize(
    "bad, message",
    [
        (line() + " 1", r"line 3: expected 24 columns, got 25"),
        ("1 2 3", r"line 3: expected 24 columns, got 3"),
        (changed(1, "-4"), r"line 3, column 2 \(module2\): expected an integer >= 0, got '-4'"),
        (changed(2, "1e3"), r"line 3, column 3 \(module3\): expected an integer"),
        (changed(0, str(2**64)), r"line 3, column 1 \(module1\): expected an integer"),
        (changed(3, "many"), r"line 3, column 4 \(occurrence\): expected an integer"),
        (changed(4, "x"), r"line 3, column 5 \(z0max_12\): expected a number, got 'x'"),
        (changed(23, "nan"), r"line 3, column 24 \(diff_dydx_min\): expected a number, got 'nan'"),
        (changed(22, "-99"), r"line 3, column 23 \(diff_dydx_max\): expected max >= min"),
    ],
)
def test_bad_lines_are_named(text, bad, message):
    path = text(line(), "", bad)
    with pytest.raises(ValueError, match=message) as error:
        rf.ModuleMap.from_text(path, convention="rheinfall")
    assert str(error.value).startswith(f"{path}: ")


def test_a_triplet_given_twice_is_named(text):
    path = text(line(), line())
    with pytest.raises(ValueError, match="triplet of modules 11, 22, 33 is given twice") as error:
        rf.ModuleMap.from_text(path, convention="rheinfall")
    assert str(error.value).startswith(f"{path}: ")


def test_an_empty_file_is_an_empty_map(text):
    assert rf.ModuleMap.from_text(text(), convention="acorn").n_modules == 0


def test_a_map_of_doublets_has_no_text(tmp_path):
    limits = np.tile(np.float32([-1, 1]), (1, 4, 1))
    core = _core.ModuleMap.from_doublets(np.array([[1, 2]], np.uint64), limits, "angle")
    with pytest.raises(ValueError, match="doublets alone"):
        rf.ModuleMap(core).to_text(tmp_path / "map.txt")


# ROOT


@pytest.fixture
def root(tmp_path):
    uproot = pytest.importorskip("uproot")

    def write(trees):
        path = tmp_path / "map.root"
        with uproot.recreate(path) as file:
            for name, columns in trees.items():
                file[name] = columns
        return path

    return write


def branches(n_modules, dtype=np.float32, limits=NUMBERS):
    names = [f"{q}{{}}_{p}" for p in ("12", "23") for q in ("z0", "dphi", "phiSlope", "deta")]
    names = [*names, "diff_dzdr_{}", "diff_dydx_{}"] if n_modules == 3 else names[:4]
    columns = {f"Module{i + 1}": np.array([11 * (i + 1), 5 + i], np.uint64) for i in range(n_modules)}
    for name, (low, high) in zip(names, limits, strict=False):
        columns[name.format("min")] = np.array([low, low - 1], dtype)
        columns[name.format("max")] = np.array([high, high + 1], dtype)
    if n_modules == 3:
        columns["Occurence"] = np.array([9, 1], np.uint32)
    return columns


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("convention", ["rheinfall", "acorn"])
@pytest.mark.filterwarnings(f"ignore:.*{TYPO}")
def test_a_tree_of_triplets(root, convention, dtype):
    path = root({"TreeModuleTriplet": branches(3, dtype)})
    module_map = rf.ModuleMap.from_root(path, convention=convention)
    modules, occurrence, limits = module_map.triplets()
    assert modules.tolist() == [[5, 6, 7], [11, 22, 33]]
    assert occurrence.tolist() == [0, 3]
    np.testing.assert_array_equal(limits[1, :8], expected_limits(convention)[:8])


def test_a_tree_of_doublets(root):
    module_map = rf.ModuleMap.from_root(root({"TreeModuleDoublet": branches(2)}), convention="acorn")
    modules, limits = module_map.doublets()
    assert modules.tolist() == [[5, 6], [11, 22]]
    np.testing.assert_array_equal(limits[1], expected_limits("acorn")[:4])
    assert module_map.n_triplets == 0


def test_bad_root_files_are_named(root, tmp_path):
    def refused(path, message):
        with pytest.raises(ValueError, match=message) as error:
            rf.ModuleMap.from_root(path, convention="rheinfall")
        assert str(error.value).startswith(f"{path}: ")

    refused(tmp_path / "nothing.root", "no such file")
    (tmp_path / "text.root").write_text("not a ROOT file, but long enough for a header of one" * 10)
    refused(tmp_path / "text.root", "cannot be read as a ROOT file")
    refused(root({"Other": {"x": np.zeros(1)}}), "expected a tree TreeModuleTriplet or TreeModuleDoublet, got Other")
    columns = branches(3)
    without = {name: values for name, values in columns.items() if name != "phiSlopemax_23"}
    refused(root({"TreeModuleTriplet": without}), "TreeModuleTriplet: branch phiSlopemax_23 is missing")
    columns["Module2"] = np.array([-1, 2], np.int64)
    refused(root({"TreeModuleTriplet": columns}), r"TreeModuleTriplet\.Module2: expected integers >= 0")
    columns = branches(3)
    columns["detamin_12"] = np.array([-99, 99], np.float32)
    refused(root({"TreeModuleTriplet": columns}), "entry 1: expected detamin_12 <= detamax_12")
    columns = branches(3)
    columns["Module1"][:], columns["Module2"][:], columns["Module3"][:] = 1, 2, 3
    refused(root({"TreeModuleTriplet": columns}), "given twice")
    with pytest.raises(ValueError, match="convention: expected one of"):
        rf.ModuleMap.from_root(tmp_path / "text.root", convention="mine")
