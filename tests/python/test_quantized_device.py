"""Arrays that are not NumPy's: what is taken and refused without a GPU; with one, the bits of the CPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from fake_device_arrays import CUDA, FakeDeviceArray, FakeInterface
from random_forests import random_document
from rheinfall import _device_arrays
from rheinfall.quantized import DeviceNetwork, Network
from rheinfall.quantized.device import _call, pack
from rheinfall.quantized.fixed_point import parse
from test_quantized_calls import make, reals


def has_device() -> bool:
    try:
        make().to_device()
    except RuntimeError:
        return False
    return True


def test_without_cuda_or_a_device_it_says_so() -> None:
    if has_device():
        pytest.skip("there is a CUDA device")
    net = make()
    for call in (
        net.to_device,
        lambda: DeviceNetwork(net),
        lambda: net(FakeDeviceArray(reals(4))),
        lambda: net.run_into(FakeDeviceArray(reals(4)), FakeDeviceArray(np.empty((4, 2), np.float32))),
        lambda: net(FakeInterface(reals(4))),
    ):
        with pytest.raises(RuntimeError, match=r"built without CUDA; configure it|there is no CUDA device 0"):
            call()
    with pytest.raises(ValueError, match="device: expected the number of a CUDA device, got -1"):
        net.to_device(-1)
    if not rf.build_info()["cuda"]:
        with pytest.raises(RuntimeError, match="DeviceNetwork: this library was built without CUDA"):
            net.to_device()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((4, 5), np.float32), ValueError, r"x: expected shape \(3,\) or \(n, 3\), got \(4, 5\)"),
        (np.zeros((4, 3), np.float16), TypeError, "x: expected integers, float32 or float64"),
        (np.zeros((4, 3), np.complex64), TypeError, "x: expected integers, float32 or float64"),
        (np.zeros((4, 3), bool), TypeError, "x: expected integers, float32 or float64"),
        (np.zeros((4, 6), np.float32)[:, ::2], ValueError, "x: expected a C-contiguous array"),
        (np.zeros((3, 4), np.float32).T, ValueError, "x: expected a C-contiguous array"),
        (np.zeros((), np.float32), ValueError, r"x: expected shape"),
    ],
)
def test_arrays_on_a_device_are_checked(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()(FakeDeviceArray(x))


def test_pairs_on_a_device_are_checked() -> None:
    calls = rf._core.DeviceCalls(make()._core, 0, "best")
    x = reals(4)

    def run(x: Any, out: Any, flags: Any = None) -> None:
        given = None if flags is None else FakeDeviceArray(flags).__dlpack__()
        calls.run(FakeDeviceArray(x).__dlpack__(), FakeDeviceArray(out).__dlpack__(), 1, given)

    with pytest.raises(ValueError, match=r"out: expected shape \(4, 2\), got \(3, 2\)"):
        run(x, np.empty((3, 2), np.float32))
    with pytest.raises(TypeError, match="out: its integers are too narrow"):
        run(x, np.empty((4, 2), np.int8))
    with pytest.raises(ValueError, match="out: shares memory with x"):
        run(x, x.ravel()[:8].reshape(4, 2))
    for flags in (np.zeros(2, np.uint32), np.zeros(1, np.uint64), np.zeros(1, np.float32)):
        with pytest.raises(ValueError, match="flags: expected one integer of 32 bits"):
            run(x, np.empty((4, 2), np.float32), flags)
    with pytest.raises(ValueError, match=r"x: expected an array on CUDA device 0, got one on DLPack's device \(2, 1\)"):
        calls.result_of(FakeDeviceArray(x, (CUDA, 1)).__dlpack__())
    with pytest.raises(ValueError, match=r"x: expected an array on CUDA device 0, got one on DLPack's device \(1, 0\)"):
        calls.result_of(x.__dlpack__())
    with pytest.raises(ValueError, match="kernel: expected best, layers"):
        rf._core.DeviceCalls(make()._core, 0, "fast")


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float32", "float64"])
def test_results_on_a_device_have_the_type_that_they_have_on_the_cpu(dtype: str) -> None:
    net = make()
    calls = rf._core.DeviceCalls(net._core, 0, "best")
    for x in (np.ones((4, 3), dtype), np.ones(3, dtype)):
        y = net(x)
        assert calls.result_of(FakeDeviceArray(x).__dlpack__()) == (y.shape, y.dtype.name)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 14, 16, 18, 31, 32])
@pytest.mark.parametrize("n_in", [1, 3, 57])
@pytest.mark.parametrize("sign", ["", "u"])
def test_packed_events(width: int, n_in: int, sign: str) -> None:
    fixed = parse(f"ap_{sign}fixed<{width},{width}>")
    q = np.random.default_rng(width).integers(fixed.minimum, fixed.maximum + 1, (9, n_in))
    q[0], q[1] = fixed.minimum, fixed.maximum
    packed = pack(fixed, q)
    assert packed.shape == (9, (n_in * width + 31) // 32)
    for event, words in zip(q.tolist(), packed.tolist(), strict=True):
        number = sum(word << (32 * k) for k, word in enumerate(words))
        unpacked = [number >> (width * k) & ((1 << width) - 1) for k in range(n_in)]
        assert unpacked == [value % (1 << width) for value in event]
        assert number < 1 << (n_in * width)
    assert pack(fixed, q[:0]).shape == (0, packed.shape[1])
    for wrong in (fixed.minimum - 1, fixed.maximum + 1):
        with pytest.raises(ValueError, match="q: some integers lie outside the input type"):
            pack(fixed, np.full((1, n_in), wrong))


def test_packed_events_are_checked() -> None:
    net = make()
    q = np.arange(12, dtype=np.int16).reshape(4, 3)
    packed = net.pack(q)
    assert packed.shape == (4, 1)
    assert packed[1, 0] == 0x050403
    with pytest.raises(ValueError, match=r"q: expected shape \(n, 3\), got \(3, 4\)"):
        net.pack(q.T)
    with pytest.raises(TypeError, match="q: expected a NumPy array of integers"):
        net.pack(q.astype(np.float32))
    calls = rf._core.DeviceCalls(net._core, 0, "best")
    out = np.empty((4, 2), np.int32)
    for x, error, message in (
        (packed.astype(np.int64), TypeError, "x: expected packed events as int32 or uint32"),
        (packed[:, 0], ValueError, r"x: expected packed events of shape \(n, 1\)"),
        (np.zeros((4, 2), np.uint32), ValueError, r"x: expected packed events of shape \(n, 1\)"),
        (packed[:3], ValueError, r"out: expected shape \(3, 2\)"),
    ):
        with pytest.raises(error, match=message):
            calls.run(FakeDeviceArray(x).__dlpack__(), FakeDeviceArray(out).__dlpack__(), 1, None, True)
    both = np.zeros(12, np.uint32)  # an array that begins where x ends is no part of it
    for first, error, message in (
        (0, ValueError, "shares memory"),
        (3, ValueError, "shares"),
        (4, RuntimeError, "CUDA"),
    ):
        if error is RuntimeError and has_device():
            continue
        x, out = both[:4, None], both[first : first + 8].view(np.int32).reshape(4, 2)
        with pytest.raises(error, match=message):
            calls.run(FakeDeviceArray(x).__dlpack__(), FakeDeviceArray(out).__dlpack__(), 1, None, True)


def test_arrays_in_different_places_are_refused() -> None:
    net, x = make(), reals(4)
    out = np.empty((4, 2), np.float32)
    with pytest.raises(ValueError, match="x and out lie in different places"):
        net.run_into(FakeDeviceArray(x), out)
    with pytest.raises(ValueError, match="x and out lie in different places"):
        net.run_into(x, FakeDeviceArray(out))
    with pytest.raises(ValueError, match="x and out lie in different places"):
        net.run_into(FakeDeviceArray(x), FakeDeviceArray(out, (CUDA, 1)))
    with pytest.raises(TypeError, match="expected an array in host memory or on a CUDA device"):
        net(FakeDeviceArray(x, (10, 0)))  # ROCm
    with pytest.raises(TypeError, match="x: expected a NumPy array, got list"):
        net([1.0, 2.0, 3.0])


def test_calls_of_a_network_wait_and_refuse_what_the_cpu_refuses() -> None:
    net, called = make(), []

    class Calls:
        def run_and_wait(self, x: Any, out: Any, stream: int) -> None:
            called.append(stream)
            raise ValueError("x: some values are NaN or infinite")

    net._devices[0, "best"] = SimpleNamespace(_calls=Calls())  # type: ignore[assignment]
    with pytest.raises(ValueError, match="NaN"):
        net.run_into(FakeDeviceArray(reals(4)), FakeDeviceArray(np.empty((4, 2), np.float32)))
    assert called == [1]


def test_results_are_made_for_two_packages_alone() -> None:
    class Array(FakeDeviceArray):
        __module__ = "jaxlib.xla_extension"

    calls = rf._core.DeviceCalls(make()._core, 0, "best")
    message = (
        r"x: results on a device are made for PyTorch and CuPy; for jaxlib\..*Array give run_into\(x, out\) an array"
    )
    with pytest.raises(TypeError, match=message):
        _call(calls, Array(reals(4)), None)


def test_the_producer_hears_of_the_stream() -> None:
    x = FakeDeviceArray(reals(4))
    with pytest.raises((RuntimeError, TypeError)):
        make()(x)
    assert set(x.streams) == {1}  # CUDA's default stream


def test_the_cuda_array_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = rf._core.DeviceCalls(make()._core, 0, "best")
    ordered: list[tuple[int, int, int]] = []
    monkeypatch.setattr(rf._core, "device_of", lambda name, address: 0)
    monkeypatch.setattr(rf._core, "order_after", lambda *streams: ordered.append(streams))

    def result(x: Any, stream: int = 1) -> Any:
        return calls.result_of(_device_arrays.capsule(x, "x", stream))

    x = np.ones((4, 3), np.int16)
    assert result(FakeInterface(x)) == ((4, 2), "int64")
    assert result(FakeInterface(x[:0])) == ((0, 2), "int64")
    assert result(FakeInterface(x[0])) == ((2,), "int64")
    assert result(FakeInterface(x, strides=(6, 2))) == ((4, 2), "int64")
    assert result(FakeInterface(x, stream=7), stream=7) == ((4, 2), "int64")
    assert result(FakeInterface(x[:0], strides=(5, 3))) == ((0, 2), "int64")  # of no elements they say nothing
    assert result(FakeInterface(x[:1], strides=(1, 2))) == ((1, 2), "int64")
    assert ordered == []
    assert result(FakeInterface(x, stream=7), stream=9) == ((4, 2), "int64")
    assert ordered == [(9, 7, 0)]
    assert _device_arrays.stream_of(FakeInterface(x, stream=7)) == 7
    assert _device_arrays.stream_of(FakeInterface(x)) == 1
    for changed, error, message in (
        ({"strides": (2, 8)}, ValueError, "x: expected a C-contiguous array"),
        ({"strides": (6, 1)}, ValueError, "x: expected a C-contiguous array"),
        ({"strides": (6,)}, ValueError, "x: expected strides of 2 axes, got 1"),
        ({"strides": (6, 2, 2)}, ValueError, "x: expected strides of 2 axes, got 3"),
        ({"mask": x}, TypeError, "x: expected an array without a mask"),
        ({"typestr": "<c32"}, TypeError, "x: expected elements of 1, 2, 4, 8 or 16 bytes, got <c32"),
        ({"typestr": "<i3"}, TypeError, "x: expected the type of its elements, got '<i3'"),
        ({"typestr": ">i2"}, TypeError, "x: expected integers or floats in the byte order"),
        ({"typestr": "<c16"}, TypeError, "x: expected integers, float32 or float64"),
        ({"typestr": "|b1"}, TypeError, "x: expected integers, float32 or float64"),
    ):
        with pytest.raises(error, match=message):
            result(FakeInterface(x, **changed))
    with pytest.raises(ValueError, match="out: expected an array that may be written"):
        _device_arrays.capsule(FakeInterface(x, data=(x.ctypes.data, True)), "out", 1, writable=True)
    with pytest.raises(TypeError, match="x: expected an array on a CUDA device, got one on DLPack's device"):
        _device_arrays.capsule(x, "x", 1)
    with pytest.raises(TypeError, match="x: expected an array with DLPack or CUDA's array interface, got list"):
        _device_arrays.capsule([1], "x", 1)


def test_arrays_at_an_address_are_checked() -> None:
    x = np.zeros((4, 3), np.int16)

    def array(strides: tuple[int, ...] = (3, 1), kind: str = "i", n_bytes: int = 2) -> Any:
        return rf._core.array_at(x.ctypes.data, 0, x.shape, strides, kind, n_bytes, x)

    assert rf._core.DeviceCalls(make()._core, 0, "best").result_of(array()) == ((4, 2), "int64")
    for strides in ((), (1,), (12, 3, 1)):
        with pytest.raises(ValueError, match=f"array: expected strides of 2 axes, got {len(strides)}"):
            array(strides)
    for n_bytes in (0, 3, 5, 12, 32, 34, 1 << 32):
        with pytest.raises(ValueError, match=f"array: expected elements of 1, 2, 4, 8 or 16 bytes, got {n_bytes}"):
            array(kind="c", n_bytes=n_bytes)
    with pytest.raises(ValueError, match="array: expected a kind of i, u, f, b or c, got V"):
        array(kind="V")


def test_streams_by_handle_and_by_object() -> None:
    class WithPointer:
        ptr = 0

    class WithProtocol:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, 5

    x = FakeDeviceArray(reals(1))
    assert [_device_arrays.stream_of(x, s) for s in (None, 0, 2, WithPointer(), WithProtocol())] == [1, 1, 2, 1, 5]
    for wrong in (-1, True, "1", 1.0):
        with pytest.raises(TypeError, match="stream: expected a handle"):
            _device_arrays.stream_of(x, wrong)


def test_torch_elsewhere_is_refused_by_name() -> None:
    torch = pytest.importorskip("torch")
    calls = rf._core.DeviceCalls(make()._core, 0, "best")
    for place, message in (
        ("cpu", r"x: expected an array on a CUDA device, got one on DLPack's device \(1, 0\)"),
        ("meta", "x: Tensor refuses DLPack: "),
    ):
        x = torch.zeros(4, 3, device=place)
        for call in (_device_arrays.stream_of, lambda x: _call(calls, x, None)):
            with pytest.raises(TypeError, match=message):
                call(x)
        hits = [torch.zeros(4, device=place)] * 4
        with pytest.raises(TypeError, match="hits." + message):
            rf.DeviceHits(*hits)
        assert not _device_arrays.on_cuda(x)
    with pytest.raises(TypeError, match="x: Tensor refuses DLPack: "):
        make()(torch.zeros(4, 3, device="meta"))
    with pytest.raises(TypeError, match=r"hits\.x: expected a 1-D float32 array, got Tensor"):
        rf.Hits(*hits, hits[0])


def test_results_and_streams_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(_device_arrays, "place", lambda array, name: (CUDA, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=9))
    x = torch.zeros(2, 3, requires_grad=True)
    assert _device_arrays.stream_of(x) == 9
    for dtype in ("int64", "uint64", "uint8", "float32", "float64"):
        result = _device_arrays.empty_like(x, (4, 2), dtype, "")
        assert (result.shape, result.dtype, result.requires_grad) == ((4, 2), getattr(torch, dtype), False)


def test_results_and_streams_of_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of CuPy, and with which device the current one."""
    current: list[int] = []

    class Device:
        def __enter__(self) -> None:
            current.append(1)

        def __exit__(self, *_: object) -> None:
            current.pop()

    class Array:
        __module__ = "cupy"
        device = Device()

        def __dlpack_device__(self) -> tuple[int, int]:
            return CUDA, 0

    monkeypatch.setitem(
        sys.modules,
        "cupy",
        SimpleNamespace(
            empty=lambda shape, dtype: (shape, dtype, list(current)),
            cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=6 + len(current))),
        ),
    )
    assert _device_arrays.stream_of(Array()) == 7
    assert _device_arrays.empty_like(Array(), (4, 2), "int64", "") == ((4, 2), "int64", [1])
    assert current == []


def test_forests_take_arrays_in_host_memory_alone() -> None:
    forest = rf.quantized.Forest(random_document(1))
    x = np.zeros((4, forest.n_features), np.float32)
    with pytest.raises(TypeError, match="x: forests run on the CPU alone"):
        forest(FakeDeviceArray(x))
    torch = pytest.importorskip("torch")
    assert np.array_equal(forest(torch.from_numpy(x)), forest(x))


def test_torch_on_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    net = make()
    x = reals(7)
    expected = net(x)
    assert np.array_equal(net(torch.from_numpy(x)), expected)
    assert np.array_equal(net(torch.from_numpy(x[0])), expected[0])
    out = torch.empty(7, 2)
    assert net.run_into(torch.from_numpy(x), out) is out
    assert np.array_equal(out.numpy(), expected)
    other = torch.empty(7, 2)
    assert net.run_into(x, other) is other
    assert np.array_equal(other.numpy(), expected)
    q = torch.arange(12, dtype=torch.int16).reshape(4, 3)
    assert np.array_equal(net.run_integers(q), net.run_integers(q.numpy()))
    with pytest.raises(TypeError, match="x: expected integers, got float32"):
        net.run_integers(torch.from_numpy(x))
    with pytest.raises(ValueError, match="x: expected a C-contiguous"):
        net(torch.zeros(3, 4).T)
    with pytest.raises(TypeError, match="x: Tensor refuses DLPack"):
        net(torch.zeros(4, 3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"x: Tensor refuses DLPack: Can't export tensors that require gradient"):
        net(torch.zeros(4, 3, requires_grad=True))
    with pytest.raises(ValueError, match="x: some values are NaN"):
        net(torch.full((4, 3), float("nan")))


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["best", "layers"])
def test_torch_on_a_gpu(kernel: str) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or not has_device():
        pytest.skip("no CUDA device, or PyTorch or this library without CUDA")
    net: Network = make()
    device = net.to_device(kernel=kernel)
    for n in (1, 5, 5000):
        for dtype in (np.float32, np.float64):
            x = reals(n).astype(dtype)
            on_device = torch.from_numpy(x).cuda()
            y = net(on_device)
            assert y.is_cuda
            assert np.array_equal(y.cpu().numpy(), net(x))
            assert np.array_equal(device(on_device).cpu().numpy(), net(x))
        q = np.random.default_rng(n).integers(-128, 128, (n, 3)).astype(np.int32)
        x_q, out = torch.from_numpy(q).cuda(), torch.empty(n, 2, dtype=torch.int32, device="cuda")
        device.run_into(x_q, out)  # uploads come first, then the capture
        packed = torch.from_numpy(net.pack(q).view(np.int32)).cuda()
        assert np.array_equal(device.run_into(packed, out, packed=True).cpu().numpy(), net.run_integers(q))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            device.run_into(x_q, out)
        out.zero_()
        graph.replay()
        assert np.array_equal(out.cpu().numpy(), net.run_integers(q))
    with pytest.raises(ValueError, match="NaN"):
        net(torch.full((4, 3), float("nan"), device="cuda"))
    stream, flags = torch.cuda.Stream(), torch.zeros(1, dtype=torch.int32, device="cuda")
    x, out = torch.full((4, 3), float("inf"), device="cuda"), torch.empty(4, 2, device="cuda")
    device.run_into(x, out, stream=stream, flags=flags)
    stream.synchronize()
    assert flags.item() & 2
