"""Files of tensors: what PyTorch and NumPy write is read as it is, and a hostile file is an error that names it."""

import io
import json
import os
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from rheinfall.gnn import mlp_layout, tensor_files
from rheinfall.gnn.tensor_files import read_tensors


def written(tmp_path, data):
    path = tmp_path / "weights"
    path.write_bytes(data)
    return path


def refused(tmp_path, data, message):
    with pytest.raises(ValueError, match=rf"(?s)^{tmp_path}/weights: .*{message}"):
        read_tensors(written(tmp_path, data))


def safetensors(tensors, change=lambda header: None, pad=b""):
    """The bytes of a safetensors file; values are (dtype, array)."""
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for key, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[key] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body + pad


def archive(entries, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as z:
        for name, data in entries.items():
            z.writestr(name, data)
    return stream.getvalue()


def torch_file(content_pickle, storages=None, **more):
    entries = {"archive/data.pkl": content_pickle, "archive/byteorder": b"little", **more}
    for key, data in (storages or {}).items():
        entries[f"archive/data/{key}"] = data
    return archive(entries)


def text_pickle(*opcodes):
    return b"\x80\x02" + b"".join(opcodes) + b"."


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n):
    return b"J" + struct.pack("<i", n)


def named(name):
    module, _, last = name.rpartition(".")
    return b"c" + f"{module}\n{last}\n".encode()


def group(*items):
    return b"(" + b"".join(items) + b"t"


def storage(kind="FloatStorage", key="0", n=6):
    return group(text("storage"), named(f"torch.{kind}"), text(key), text("cpu"), number(n)) + b"Q"


def tensor(offset=0, size=(2, 3), stride=(3, 1), held=None):
    """The opcodes of a tensor in a storage."""
    numbers = [group(*(number(n) for n in values)) for values in (size, stride)]
    arguments = group(held or storage(), number(offset), *numbers, b"\x89", named("collections.OrderedDict") + b")R")
    return named("torch._utils._rebuild_tensor_v2") + arguments + b"R"


def state(value, key="a"):
    return text_pickle(b"}", b"(", text(key), value, b"u")


SIX = np.arange(6, dtype="<f4").tobytes()


def test_what_torch_writes_is_read_as_it_is(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    base = torch.randn(4, 6)
    tensors = OrderedDict(
        a=base, b=base.T, c=base[1:3, ::2], d=base.half(), e=base.bfloat16(), f=torch.tensor(7), g=torch.zeros(0, 3),
        h=torch.nn.Parameter(base), i=base.double(), j=torch.randn(2, 3, 4), k=torch.tensor([True, False]),
    )  # fmt: skip
    path = tmp_path / "weights.pt"
    checkpoint = {"epoch": 3, "lr": 0.5, "state_dict": tensors, "log": [1, None]}
    for content, under in ((tensors, ()), (checkpoint, ("state_dict",))):
        torch.save(content, path)
        got = read_tensors(path, under)
        assert list(got) == list(tensors)
        for key, value in tensors.items():
            expected = (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
            assert got[key].dtype == expected.dtype
            np.testing.assert_array_equal(got[key], expected)
    with pytest.raises(
        ValueError, match=r"weights.pt: .epoch.: expected a tensor, got a int; is .* \"under\" .state_dict"
    ):
        read_tensors(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match=r"weights.pt: holds 'torch.nn.modules.linear.Linear': expected tensors in"):
        read_tensors(path)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"weights.pt: the format of torch.save before PyTorch 1.6"):
        read_tensors(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_as_it_is(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {"a.weight": rng.normal(size=(3, 4)).astype(np.float32), "b": np.asfortranarray(rng.normal(size=(2, 5)))}
    arrays |= {"c": np.array(3), "d": np.zeros((0, 2), np.float16), "e": arrays["b"].astype(">f4")}
    save(tmp_path / "weights.npz", **arrays)
    got = read_tensors(tmp_path / "weights.npz")
    assert list(got) == list(arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(got[key], value)


def test_safetensors_are_read_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4)).astype("<f4")
    bits = (x.view("<u4") >> 16).astype("<u2")
    tensors = {"a": ("F32", x), "b": ("BF16", bits), "c": ("F16", x.astype("<f2")), "d": ("I64", np.array(5))}
    got = read_tensors(written(tmp_path, safetensors(tensors)))
    np.testing.assert_array_equal(got["a"], x)
    np.testing.assert_array_equal(got["b"], (bits.astype(np.uint32) << 16).view(np.float32))
    assert got["c"].dtype == np.float16
    assert got["d"] == 5


def header(key, **fields):
    return lambda h: h[key].update(fields)


@pytest.mark.parametrize(
    "change, message",
    [
        (header("a", data_offsets=[0, 28]), "'a': shape: expected 28 bytes"),
        (header("a", data_offsets=[4, 28]), "data_offsets: expected tensors one behind the other"),
        (header("a", data_offsets=[0, 1 << 62]), "'a': data_offsets: expected two within"),
        (header("a", data_offsets=[24, 0]), "'a': data_offsets"),
        (header("a", data_offsets=[-24, 0]), "'a': data_offsets: expected a list of natural"),
        (header("a", shape=[2, 1 << 62]), "'a': shape: expected 24 bytes"),
        (header("a", shape=[2.0, 3]), "'a': shape: expected a list of natural"),
        (header("a", shape=[True, 6]), "'a': shape: expected a list of natural"),
        (header("a", shape=[1] * 9 + [6]), "at most 8 dimensions"),
        (header("a", dtype="F8_E4M3"), "'a': dtype 'F8_E4M3': expected F64"),
        (header("a", extra=1), "'a': expected the fields dtype"),
        (lambda h: h.pop("b"), "expected 48 bytes of tensors, got 24"),
        (lambda h: h.update(c=3), "'c': expected the fields"),
    ],
)
def test_safetensors_with_wrong_headers_are_refused(tmp_path, change, message):
    six = np.arange(6, dtype="<f4").reshape(2, 3)
    refused(tmp_path, safetensors({"a": ("F32", six), "b": ("F32", six)}, change), message)


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", bytes(8), struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 2) + b"[]", b"PK\x03\x04",
     struct.pack("<Q", 100_000) + b"[" * 100_000, struct.pack("<Q", 21) + b'{"a": {}, "a": {}}   ',
     struct.pack("<Q", 10_010) + b'{"a": 1' + b"0" * 10_002 + b"}"],
)  # fmt: skip
def test_what_is_no_file_of_tensors_is_refused(tmp_path, data):
    refused(tmp_path, data, "")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights: no such file"):
        read_tensors(tmp_path / "weights")


def test_a_pickle_made_by_hand_is_read(tmp_path):
    got = read_tensors(written(tmp_path, torch_file(state(tensor()), {"0": SIX})))
    np.testing.assert_array_equal(got["a"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    "content, message",
    [
        (tensor(offset=1), "up to 6 in a storage of 6"),
        (tensor(offset=-1), "do not fit its storage"),
        (tensor(size=(2, 4)), "a tensor of 8 values"),
        (tensor(stride=(4, 1)), "up to 6 in a storage"),
        (tensor(stride=(-3, 1)), "do not fit its storage"),
        (tensor(size=(6, 6), stride=(0, 0)), "a tensor of 36 values"),
        (tensor(size=(2,)), "do not fit its storage"),
        (tensor(size=(1,) * 9, stride=(1,) * 9), "a tensor of 1 values"),
        (tensor(held=storage("QInt8Storage")), "holds 'torch.QInt8Storage'"),
        (tensor(held=storage(key="../0")), "no entry 'archive/data/../0'"),
        (tensor(held=storage(key="1")), "no entry 'archive/data/1'"),
        (tensor(held=number(3)), "without storage"),
        (named("os.system") + group(text("true")) + b"R", "holds 'os.system'"),
        (named("builtins.eval") + group(text("1")) + b"R", "holds 'builtins.eval'"),
        (named("torch.load") + group(text("x")) + b"R", "holds 'torch.load'"),
        (text("os") + text("system") + b"\x93" + group(text("true")) + b"R", "holds 'os.system'"),
        (named("collections.OrderedDict") + group(number(1)) + b"R", "collections.OrderedDict with 1 arguments"),
        (named("torch.FloatStorage") + b")R", "torch.FloatStorage with 0 arguments"),
        (number(3) + b")R", "expected a _Global"),
        (b"(ios\nsystem\n", "opcode INST"),
        (b"(cos\nsystem\no", "holds 'os.system'"),
        (b"\x82\x01", "opcode EXT1"),
        (b"cos\nsystem\n)\x81", "holds 'os.system'"),
        (b"]" + number(1) + b"b", "sets attributes of what is no dictionary"),
        (b"r\xff\xff\xff\xffj\xff\xff\xff\xfe", "a damaged pickle: KeyError"),
        (b"\x96" + struct.pack("<Q", 1 << 60), ""),
        (b"\x8d" + struct.pack("<Q", 1 << 60), ""),
        (b"}" + group() + number(1) + b"s", "a key that is a tuple"),
        (b"}(" + text("k") + number(1) + text("k") + number(2) + b"u", "key 'k' twice"),
        (b"}(" + text("k") + b"u", "a key without a value"),
        (b"0000", ""),
        (b"t", "a damaged pickle: IndexError"),
        (number(1), "'a': expected a tensor, got a int"),
        (text_pickle(text("x"))[:-1], "'a': expected a tensor, got a str"),
    ],
)  # fmt: skip
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch, content, message):
    def fail(*arguments):
        raise AssertionError("ran")

    monkeypatch.setattr(os, "system", fail)
    refused(tmp_path, torch_file(state(content), {"0": SIX}), message)


def test_archives_that_torch_does_not_write_are_refused(tmp_path):
    good = {"archive/data.pkl": state(tensor()), "archive/data/0": SIX}
    refused(tmp_path, archive(good, zipfile.ZIP_DEFLATED), "expected entries that are not compressed")
    refused(tmp_path, archive({**good, "archive/byteorder": b"big"}), "byteorder: expected little")
    refused(tmp_path, archive({**good, "other/data.pkl": b""}), "expected one data.pkl, got 2")
    refused(tmp_path, archive({**good, "archive/data.pkl": b"\x80\x02]."}), "expected a dictionary of tensors, got a l")
    refused(tmp_path, archive({**good, "archive/data.pkl": state(tensor())[:-1]}), "")
    refused(tmp_path, archive({**good, "archive/data/0": SIX[:-1]}), "")
    two = text_pickle(b"}(", text("a"), tensor(), text("b"), tensor(held=storage("LongStorage")), b"u")
    refused(tmp_path, archive({**good, "archive/data.pkl": two}), "storage '0' has two types")


def npz_of(array_bytes, name="a.npy"):
    return archive({name: array_bytes})


def test_arrays_that_are_no_numbers_or_too_large_are_refused(tmp_path, monkeypatch):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    refused(tmp_path, npz_of(stream.getvalue()), "'a': expected numbers")
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    good = stream.getvalue()
    assert read_tensors(written(tmp_path, npz_of(good)))["a"].shape == (3,)
    refused(tmp_path, npz_of(good[:-1]), "'a': expected numbers")
    refused(tmp_path, npz_of(good.replace(b"(3,)", b"(9,)")), "'a': expected numbers")
    refused(tmp_path, npz_of(good.replace(b"'<f8'", b"'<U8'")), "'a': expected numbers")
    refused(tmp_path, npz_of(good.replace(b"(3,)", b"3+3,")), "")
    refused(tmp_path, npz_of(b"abc"), "")
    refused(tmp_path, npz_of(good, "a.txt"), "expected .npy entries")
    monkeypatch.setattr(tensor_files, "LARGEST", 140)
    refused(tmp_path, npz_of(good), "expected at most 140 bytes of tensors, got 152")


def npy_with_header(header):
    text_ = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text_)) + text_


@pytest.mark.parametrize("header", ["(" * 3000, "-" * 9000 + "1"], ids=["brackets", "signs"])
def test_a_header_that_numpy_cannot_parse_is_refused(tmp_path, header):
    refused(tmp_path, npz_of(npy_with_header(header)), "npy header")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_compressions_of_unknown_cost_are_refused(tmp_path, method):
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    refused(tmp_path, archive({"a.npy": stream.getvalue()}, method), "stored or deflated")


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "weights.npz"
    with path.open("wb") as file:
        file.truncate(2 * tensor_files.LARGEST + 1)
    with pytest.raises(ValueError, match=r"weights.npz: expected a file of at most"):
        read_tensors(path)


def test_views_of_one_storage_count_each(tmp_path, monkeypatch):
    monkeypatch.setattr(mlp_layout, "LARGEST", 20)
    value = np.zeros(3, np.float32)
    tensors = mlp_layout.Tensors({"a": value, "b": value}, "weights.pt")
    assert tensors.take("a", 3) is value
    with pytest.raises(ValueError, match=r"weights.pt: b: expected at most 20 bytes of tensors"):
        tensors.take("b", 3)


def samples():
    x = np.arange(12, dtype="<f4").reshape(3, 4)
    stream = io.BytesIO()
    np.savez(stream, a=x, b=x.T)
    compressed = io.BytesIO()
    np.savez_compressed(compressed, a=x)
    return {
        "torch": torch_file(state(tensor()), {"0": SIX}),
        "npz": stream.getvalue(),
        "compressed": compressed.getvalue(),
        "safetensors": safetensors({"a": ("F32", x), "b": ("BF16", x.astype("<u2"))}),
    }


@pytest.mark.parametrize("kind", samples())
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path, kind):
    data = samples()[kind]
    for n in range(len(data)):
        refused(tmp_path, data[:n], "")


@pytest.mark.parametrize("kind", samples())
def test_mutants_are_refused_by_name_or_read(tmp_path, kind):
    data, rng, n_read = samples()[kind], np.random.default_rng(0), 0
    for _ in range(500):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            mutant[rng.integers(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
        try:
            read_tensors(written(tmp_path, bytes(mutant)))
            n_read += 1
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path}/weights: ")  # noqa: PT017
    assert n_read < 500
