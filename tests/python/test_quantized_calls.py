"""The calls that are written in C: what they take and refuse, what they hold; bound ones give the same bits."""

from __future__ import annotations

import array
import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.quantized.network import Network

TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


def make(n_in: int = 3, n_out: int = 2, shape: list[int] | None = None, **options: Any) -> Network:
    weight = [(7 * i) % 13 - 6 for i in range(n_in * n_out)]
    layers: list[dict[str, Any]] = [
        {"name": "flat", "op": "reshape", "inputs": ["x"], "result": "ap_fixed<8,4,RND,SAT>", "shape": [n_in]},
        {"name": "fc", "op": "dense", "inputs": ["flat"], "result": "ap_fixed<14,9>", "accum": "ap_fixed<18,9>",
         "weight": {"type": "ap_fixed<5,2>", "shape": [n_in, n_out], "data": weight}},
    ]  # fmt: skip
    inputs = [{"name": "x", "shape": shape or [n_in], "type": "ap_fixed<8,4,RND,SAT>"}]
    head = {"format": "rheinfall.quantized", "version": 1}
    return Network({**head, "inputs": inputs, "layers": layers, "outputs": ["fc"]}, **options)


def reals(n: int, n_in: int = 3, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(0, 4, (n, n_in)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 7, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bound_calls_follow_the_input_and_give_the_same_bits(n: int, dtype: Any) -> None:
    net = make()
    x, out = np.zeros((n, 3), dtype), np.empty((n, 2), dtype)
    run = net.bind(x, out)
    for seed in range(5):
        x[:] = reals(n, seed=seed)
        assert run() is out
        assert np.array_equal(out, net(x))
        assert np.array_equal(net.run_into(x, np.empty_like(out)), out)
        one = np.empty(2, dtype)
        assert net.bind(x[0], one)() is one
        assert np.array_equal(one, out[0])


@pytest.mark.parametrize("n", [1, 5000])
def test_every_integer_type_in_and_out(n: int) -> None:
    net = make()
    q = np.random.default_rng(2).integers(0, 100, (n, 3))
    expected = net.run_integers(q)
    assert expected.dtype == np.int64
    for kind in TYPES:
        x = q.astype(kind) / (16 if kind[0] == "f" else 1)
        x = x.astype(kind)
        for result in ("int16", "int32", "int64", "float32", "float64"):
            out = np.empty((n, 2), result)
            net.bind(x, out)()
            assert np.array_equal(out, expected / 32 if result[0] == "f" else expected)
    for narrow in ("int8", "uint16", "uint64"):
        with pytest.raises(TypeError, match=r"out: .*too narrow"):
            net.bind(q, np.empty((n, 2), narrow))
        with pytest.raises(TypeError, match=r"out: .*too narrow"):
            net.run_into(q, np.empty((n, 2), narrow))


def test_no_event() -> None:
    net = make()
    x, out = np.empty((0, 3), np.float32), np.empty((0, 2), np.float32)
    assert net(x).shape == (0, 2)
    assert net.bind(x, out)() is out


def test_an_event_has_the_shape_of_the_input_or_is_flat() -> None:
    net = make(8, 2, [2, 4])
    x = reals(6, 8)
    expected = net(x)
    assert np.array_equal(net(x.reshape(6, 2, 4)), expected)
    assert np.array_equal(net(x[0].reshape(2, 4)), expected[0])
    assert np.array_equal(net(x[0]), expected[0])
    for bad in [(6, 4, 2), (4, 2), (7,), (6, 7), (6, 2, 4, 1), (1, 6, 2, 4), ()]:
        with pytest.raises(ValueError, match="x: expected shape"):
            net(np.zeros(bad, np.float32))


def refused() -> list[tuple[str, Any, Any, type[Exception], str]]:
    x, out = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32)
    fixed = out.copy()
    fixed.flags.writeable = False
    shifted = np.zeros(50, np.uint8)[1:49].view(np.float32).reshape(4, 3)
    big = ">f4" if sys.byteorder == "little" else "<f4"
    return [
        ("strided x", np.zeros((8, 3), np.float32)[::2], out, ValueError, "x: .*C-contiguous"),
        ("Fortran x", np.zeros((4, 3), np.float32, order="F"), out, ValueError, "x: .*C-contiguous"),
        ("unaligned x", shifted, out, ValueError, "x: .*aligned"),
        ("strided out", x, np.zeros((4, 4), np.float32)[:, ::2], ValueError, "out: .*C-contiguous"),
        ("read-only out", x, fixed, ValueError, "out: .*read-only"),
        ("float16", x.astype(np.float16), out, TypeError, "x: expected float32, float64 or integers"),
        ("complex", x.astype(complex), out, TypeError, "x: expected float32, float64 or integers"),
        ("bool", x.astype(bool), out, TypeError, "x: expected float32, float64 or integers"),
        ("objects", x.astype(object), out, TypeError, "x: expected"),
        ("other byte order", x.astype(big), out, TypeError, "x: expected .*byte order"),
        ("wrong dtype of out", x, np.zeros((4, 2), np.float16), TypeError, "out: expected"),
        ("shape of x", x[:, :2].copy(), out, ValueError, r"x: expected shape \(3,\) or \(n, 3\), got \(4, 2\)"),
        ("shape of out", x, np.zeros((3, 2), np.float32), ValueError, r"out: expected shape \(4, 2\), got \(3, 2\)"),
        ("one event of out", x, np.zeros(2, np.float32), ValueError, r"out: expected shape \(4, 2\)"),
        ("same memory", x, x.reshape(-1)[:8].reshape(4, 2), ValueError, "out: shares memory with x"),
        ("no array", [[0.0] * 3], out, TypeError, "x: expected .*list"),
        ("None", x, None, TypeError, "out: expected .*None"),
    ]


@pytest.mark.parametrize("what, x, out, error, message", refused(), ids=[case[0] for case in refused()])
def test_what_does_not_fit_is_refused(what: str, x: Any, out: Any, error: type[Exception], message: str) -> None:
    net = make()
    for call in (net.bind, net.run_into):
        with pytest.raises(error, match=message):
            call(x, out)
    if "out" not in message:
        with pytest.raises(error, match=message):
            net(x)


def test_wrong_calls() -> None:
    net, x, out = make(), np.zeros(3, np.float32), np.zeros(2, np.float32)
    assert net.bind(x, out=out)() is out
    assert net.bind(out=out, x=x)() is out
    assert net.run_into(x, out=out) is out
    run: Any = net.bind(x, out)
    anything: Any = net
    for call in (anything, lambda: anything(x, out), lambda: anything(x=x), lambda: anything.bind(x),
                 lambda: anything.bind(x, out, x), lambda: anything.bind(x, x=out), lambda: anything.bind(x, y=out),
                 lambda: anything.run_into(x), lambda: run(x), lambda: run(x=x), lambda: type(run)(),
                 lambda: Network.__mro__[1](3)):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="expected integers, got float32"):
        net.run_integers(x)
    with pytest.raises(RuntimeError, match="not initialised"):
        Network.__new__(Network)(x)


@pytest.mark.parametrize("n", [1, 3000])
def test_statuses_are_errors(n: int) -> None:
    net = make()
    x, out = np.zeros((n, 3), np.float32), np.zeros((n, 2), np.float32)
    run = net.bind(x, out)
    for value in (np.nan, np.inf, -np.inf):
        x[:] = 0
        x[n - 1, 1] = value
        for call in (run, lambda: net(x), lambda: net.run_into(x, out)):
            with pytest.raises(ValueError, match=f"NaN or infinite, the first at flat index {3 * n - 2}$"):
                call()
    x[:] = 1
    run()  # an error leaves nothing behind
    assert np.array_equal(out, net(x))
    q = np.zeros((n, 3), np.int16)
    q[n - 1, 2] = 128
    with pytest.raises(ValueError, match="outside the input type"):
        net.bind(q, out)()
    with pytest.raises(ValueError, match="outside the input type"):
        net.run_integers(q)


def test_other_buffers_than_numpy() -> None:
    net = make()
    x, out = array.array("f", [1.0, -2.0, 0.5]), array.array("d", [0.0, 0.0])
    run = net.bind(x, out)
    run()
    assert list(out) == net(np.array(x, np.float64)).tolist()
    with pytest.raises(BufferError):
        x.append(1.0)  # its memory is held
    with pytest.raises(ValueError, match=r"out: .*read-only"):
        net.bind(x, bytes(16))
    memory = memoryview(bytearray(16)).cast("d")
    net.bind(x, memory)()
    assert list(memory) == list(out)


def test_a_bound_call_keeps_its_network_and_buffers() -> None:
    net = make()
    x, out = np.ones(3, np.float32), np.zeros(2, np.float32)
    expected, alive = net(x).copy(), [weakref.ref(a) for a in (x, out)]
    run = net.bind(x, out)
    assert run.model is net
    assert run.x is x
    assert run.out is out
    del net, x, out
    gc.collect()
    assert np.array_equal(np.asarray(run()), expected)
    assert all(ref() is not None for ref in alive)
    del run
    gc.collect()
    assert all(ref() is None for ref in alive)


def test_cycles_are_collected() -> None:
    net = make()
    x, out = np.ones(3, np.float32), np.zeros(2, np.float32)
    net.run = net.bind(x, out)  # type: ignore[attr-defined]
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None


def test_references_are_balanced() -> None:
    net = make()
    x, out = np.ones(3, np.float32), np.zeros(2, np.float32)
    run = net.bind(x, out)
    nan = np.full(3, np.nan, np.float32)

    def use() -> None:
        for _ in range(50):
            run()
            net(x)
            net.run_into(x, out)
            net.bind(x, out)
            for bad in (lambda: net(nan), lambda: net.bind(x, x), lambda: net.run_into(x, nan), lambda: net(x[::2])):
                with pytest.raises(ValueError):
                    bad()

    use()
    before = [sys.getrefcount(o) for o in (net, x, out, None, type(net), type(run))]
    use()
    after = [sys.getrefcount(o) for o in (net, x, out, None, type(net), type(run))]
    assert [abs(a - b) < 20 for a, b in zip(after, before, strict=True)] == [True] * len(before)


def test_threads_share_a_network() -> None:
    net = make()
    x = [reals(n, seed=n) for n in (1, 3, 700, 4000)]
    expected = [net(a) for a in x]
    wrong: list[int] = []

    def work(i: int) -> None:
        out = np.empty_like(expected[i])
        run = net.bind(x[i], out)
        for _ in range(30):
            out[:] = 0
            run()
            if not (np.array_equal(out, expected[i]) and np.array_equal(net(x[i]), expected[i])):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(x)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_subclass_may_have_its_own_call() -> None:
    class Doubled(Network):
        def __call__(self, x: Any, /) -> Any:
            return 2 * super().__call__(x)

    net = make()
    x = reals(1)[0]
    assert np.array_equal(Doubled(net.document)(x), 2 * net(x))


def test_the_result_depends_on_no_number_of_threads() -> None:
    net, x, before = make(), reals(9000), rf.get_num_threads()
    results = []
    try:
        for n in (1, 2, 8):
            rf.set_num_threads(n)
            results.append(net(x))
    finally:
        rf.set_num_threads(before)
    assert all(np.array_equal(results[0], result) for result in results)


def test_forests_are_bound_too() -> None:
    from random_forests import random_document, random_events
    from rheinfall.quantized import Forest

    for n_classes, input_type, score in ((1, "ap_fixed<18,8>", "ap_fixed<18,8>"), (3, "float32", "float32")):
        document = random_document(3, n_classes=n_classes, input_type=input_type, score_type=score)
        forest = Forest(document)
        x = random_events(document, 700, 4).astype(np.float32)
        expected = forest(x)
        out = np.empty_like(expected)
        assert forest.bind(x, out)() is out
        assert np.array_equal(out, expected)
        out[:] = 0
        assert np.array_equal(forest.run_into(x, out), expected)
        one = np.empty(n_classes, np.float32)
        assert np.array_equal(forest.bind(x[5], one)(), expected[5].reshape(-1))
        with pytest.raises(ValueError, match="out: expected shape"):
            forest.bind(x, np.empty((699, n_classes), np.float32))


def test_a_result_is_filled_again_only_when_nothing_holds_it() -> None:
    net = make()
    x = reals(40)
    expected = net(x)
    kept = [net(e) for e in x]
    assert len({id(y) for y in kept}) == len(kept)
    assert np.array_equal(kept, expected)
    view = net(x[0])[1:]
    weak = weakref.ref(held := net(x[1]))
    buffer: Any = net(x[2])
    memory = memoryview(buffer)
    frozen = net(x[3])
    frozen.flags.writeable = False
    retyped: Any = net(x[4])
    retyped.dtype = np.int32
    held_id = id(held)
    del held, frozen, retyped, buffer
    for e in x[5:]:
        y = net(e)
        assert id(y) != held_id or weak() is None
        assert y.dtype == np.float32
        assert y.shape == (2,)
        assert y.flags.writeable
    assert np.array_equal(view, expected[0, 1:])
    assert np.array_equal(memory, expected[2])
