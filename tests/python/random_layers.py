"""One maker per operation of docs/quantized_format.md: a random valid layer on given values, or None if none fits.

A maker returns the fields beside `name`, `op` and `result`, the shape of the result, and about what (fraction, width)
its exact values have, from which the result's type is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from random_types import (
    MAX_BITS,
    Draw,
    Named,
    divisor,
    fits,
    near_type,
    of,
    product,
    random_integer,
    random_shape,
    random_type,
    spelled,
    sum_bits,
    tensor,
    times,
)
from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, FixedType

Made = tuple[dict[str, Any], tuple[int, ...], tuple[int, int]]
Maker = Callable[[Draw, list[Named]], "Made | None"]

MAX_SIZE = 160


def fitting_type(rng: Draw, accept: Callable[[FixedType], bool], max_width: int = 64) -> FixedType | None:
    """A random type that `accept` takes; None if a few dozen were refused."""
    for _ in range(40):
        fixed = random_type(rng, max_width) if rng.random() < 0.7 else random_type(rng, 8)
        if accept(fixed):
            return fixed
    return None


def as_made(x: Named, fields: dict[str, Any], shape: Sequence[int]) -> Made:
    return {"inputs": [x.name], **fields}, tuple(shape), (x.type.fraction, x.type.width)


def make_constant(rng: Draw, values: list[Named]) -> Made:
    shape, fixed = random_shape(rng, rng.randint(1, 24)), random_type(rng)
    return {"inputs": [], "value": tensor(rng, shape, fixed)}, shape, (fixed.fraction, fixed.width)


def make_quantize(rng: Draw, values: list[Named]) -> Made:
    return as_made(values[0], {}, values[0].shape)


def make_reshape(rng: Draw, values: list[Named]) -> Made:
    shape = random_shape(rng, values[0].size)
    return as_made(values[0], {"shape": list(shape)}, shape)


def make_transpose(rng: Draw, values: list[Named]) -> Made:
    x = values[0]
    perm = list(range(len(x.shape)))
    rng.shuffle(perm)
    return as_made(x, {"perm": perm}, [x.shape[axis] for axis in perm])


def make_concatenate(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    axis = rng.randrange(len(x.shape))

    def agrees(other: Named) -> bool:
        return len(other.shape) == len(x.shape) and all(
            i == axis or a == b for i, (a, b) in enumerate(zip(x.shape, other.shape, strict=True))
        )

    others = [rng.choice([value for value in values if agrees(value)]) for _ in range(rng.randint(0, 2))]
    parts = [x, *others]
    rng.shuffle(parts)
    shape = list(x.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    made = as_made(x, {"axis": axis}, shape)
    made[0]["inputs"] = [part.name for part in parts]
    return made if product(shape) <= MAX_SIZE else None


def make_gather(rng: Draw, values: list[Named]) -> Made:
    x = values[0]
    shape = random_shape(rng, rng.randint(1, 32))
    index = [rng.randrange(-1, x.size) for _ in range(product(shape))]
    return as_made(x, {"index": index, "shape": list(shape)}, shape)


def accumulator(rng: Draw, product_of: tuple[int, int], terms: int) -> FixedType:
    """Wide enough for the exact sum, a little too narrow, or anything."""
    width, fraction = product_of
    kind = rng.random()
    if kind < 0.45:
        exact = min(width - 2 + terms.bit_length() + rng.choice((-2, -1, 0, 1, 5)), max(32, rng.max_width))
        modes = (rng.choice(ROUNDINGS), rng.choice(("WRAP", "SAT"))) if rng.random() < 0.4 else ("TRN", "WRAP")
        return FixedType(max(exact, 1), min(max(exact - fraction, -128), 192), True, *modes)
    if kind < 0.8:
        return near_type(rng, fraction, width)
    return random_type(rng)


def weights(rng: Draw, shape: Sequence[int], fixed: FixedType) -> dict[str, Any]:
    return tensor(rng, shape, fixed, rng.choice((0.0, 0.0, 0.3, 0.9)))


def weight_type(rng: Draw, x: FixedType) -> FixedType | None:
    narrow = rng.choice((2, 4, 8, 16, 64))
    return fitting_type(rng, lambda w: times(x, w)[0] <= MAX_BITS, narrow)


def with_bias(rng: Draw, fields: dict[str, Any], n: int) -> dict[str, Any]:
    if rng.random() < 0.6:
        fields["bias"] = tensor(rng, (n,), random_type(rng))
    return fields


def make_dense(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    w = weight_type(rng, x.type)
    if w is None:
        return None
    n_in, n_out = x.shape[-1], rng.choice((1, 2, 3, 5, 8, 15, 16, 17, 33, 65))
    accum = accumulator(rng, times(x.type, w), n_in)
    fields = with_bias(rng, {"weight": weights(rng, (n_in, n_out), w), "accum": spelled(rng, accum)}, n_out)
    if rng.random() < 0.25:
        order = list(range(n_in))
        rng.shuffle(order)
        fields["order"] = order
    shape = (*x.shape[:-1], n_out)
    if product(shape) > MAX_SIZE:
        return None
    return {"inputs": [x.name], **fields}, shape, (accum.fraction, accum.width)


def window(rng: Draw, sizes: Sequence[int], dilate: bool) -> tuple[dict[str, list[int]], list[int], list[int]]:
    """Fields strides, padding, dilations of a window on these spatial sizes; its kernel; the sizes of the result."""
    kernel, strides, dilations, padding, out = [], [], [], [], []
    for n in sizes:
        k = rng.randint(1, min(3, n))
        dilation = rng.choice((1, 1, 2)) if dilate else 1
        if (k - 1) * dilation + 1 > n:
            dilation = 1
        before, after = rng.choice(((0, 0), (0, 0), (rng.randrange(k), rng.randrange(k))))
        stride = rng.choice((1, 1, 2, 3))
        kernel.append(k)
        strides.append(stride)
        dilations.append(dilation)
        padding += [before, after]
        out.append((n + before + after - (k - 1) * dilation - 1) // stride + 1)
    fields = {"strides": strides, "padding": padding, "dilations": dilations}
    trivial = {"strides": 1, "padding": 0, "dilations": 1}
    optional = [key for key, value in fields.items() if all(v == trivial[key] for v in value)]
    for key in optional:
        if rng.random() < 0.5 or (key == "dilations" and not dilate):
            del fields[key]
    return fields, kernel, out


def make_conv(dimensions: int) -> Maker:
    def make(rng: Draw, values: list[Named]) -> Made | None:
        x = next((value for value in values if len(value.shape) == dimensions + 1), None)
        w = None if x is None else weight_type(rng, x.type)
        if x is None or w is None:
            return None
        moving, kernel, out = window(rng, x.shape[:-1], dilate=True)
        groups = divisor(rng, x.shape[-1]) if rng.random() < 0.4 else 1
        c_in, c_out = x.shape[-1] // groups, groups * rng.choice((1, 2, 3, 3, 17))
        shape = (*out, c_out)
        if product(shape) > MAX_SIZE:
            return None
        accum = accumulator(rng, times(x.type, w), product(kernel) * c_in)
        fields = {"weight": weights(rng, (*kernel, c_in, c_out), w), "accum": spelled(rng, accum), **moving}
        if groups > 1 or rng.random() < 0.3:
            fields["groups"] = groups
        return {"inputs": [x.name], **with_bias(rng, fields, c_out)}, shape, (accum.fraction, accum.width)

    return make


def make_pool(rng: Draw, values: list[Named]) -> Made | None:
    x = next((value for value in values if len(value.shape) in (2, 3)), None)
    if x is None:
        return None
    accum = fitting_type(rng, lambda a: fits(of(x.type), of(a)))
    if rng.random() < 0.6 or accum is None:
        accum = near_type(rng, x.type.fraction, x.type.width + 2)
        if not fits(of(x.type), of(accum)):
            return None
    moving, kernel, out = window(rng, x.shape[:-1], dilate=False)
    moving.setdefault("strides", [1] * len(kernel))
    fields = {"kind": rng.choice(("max", "average")), "kernel": kernel, "accum": spelled(rng, accum), **moving}
    if rng.random() < 0.4:
        fields["count_padding"] = rng.random() < 0.5
    return as_made(x, fields, (*out, x.shape[-1]))


def make_affine(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    scale = fitting_type(rng, lambda s: times(x.type, s)[0] <= MAX_BITS, rng.choice((8, 18, 64)))
    if scale is None:
        return None
    bias = fitting_type(rng, lambda b: fits(times(x.type, scale), of(b)))
    if bias is None:
        return None
    shape = x.shape[-1:] if rng.random() < 0.6 else x.shape
    fields = {"scale": tensor(rng, shape, scale), "bias": tensor(rng, shape, bias)}
    width, fraction = times(x.type, scale)
    return {"inputs": [x.name], **fields}, x.shape, (fraction, min(width, 64))


def make_relu(rng: Draw, values: list[Named]) -> Made:
    x = values[0]
    fields = {}
    if rng.random() < 0.4:
        limit = rng.randint(0, min(x.type.maximum, 2**52))
        exact = float(limit) * 2.0**-x.type.fraction
        fields["maximum"] = int(exact) if exact.is_integer() and exact < 2**50 and rng.random() < 0.5 else exact
    return as_made(x, fields, x.shape)


def make_leaky_relu(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    alpha = fitting_type(rng, lambda a: fits(times(x.type, a), of(x.type)), rng.choice((8, 16, 40)))
    if alpha is None:
        return None
    shape = rng.choice(((1,), x.shape[-1:], x.shape))
    return as_made(x, {"alpha": tensor(rng, shape, alpha)}, x.shape)


def make_thresholded_relu(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    theta = fitting_type(rng, lambda t: fits(of(x.type), of(t)))
    return None if theta is None else as_made(x, {"theta": tensor(rng, (1,), theta)}, x.shape)


def make_hard(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    reach = x.type.width - x.type.fraction  # a slope of about 2**-reach lets all of x count
    slope: FixedType | None = FixedType(5, min(max(5 - (reach + 3), -128), 192), rng.random() < 0.7)
    if rng.random() < 0.3 or slope is None or not fits(times(x.type, slope), (3, 0)):
        slope = fitting_type(rng, lambda s: fits(times(x.type, s), (3, 0)), 20)
    shift = None if slope is None else fitting_type(rng, lambda b: fits(times(x.type, slope), of(b), (3, 0)), 20)
    if slope is None or shift is None:
        return None
    fields = {"slope": tensor(rng, (1,), slope), "shift": tensor(rng, (1,), shift)}
    return {"inputs": [x.name], **fields}, x.shape, (rng.randint(2, 10), rng.randint(3, 12))


def make_threshold(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    fixed = x.type if rng.random() < 0.6 else fitting_type(rng, lambda t: fits(of(x.type), of(t)))
    if fixed is None:
        return None
    rows, k = rng.choice((1, x.shape[-1])), rng.choice((1, 2, 3, 7, 15))
    data: list[int] = []
    for _ in range(rows):
        data += sorted(random_integer(rng, fixed) for _ in range(k))
    result = random_type(rng)
    thresholds = {"type": spelled(rng, fixed), "shape": [rows, k], "data": data}
    fields = {"thresholds": thresholds, "values": [random_integer(rng, result) for _ in range(k + 1)]}
    return {"inputs": [x.name], **fields, "result": spelled(rng, result)}, x.shape, (result.fraction, result.width)


def make_table(rng: Draw, values: list[Named]) -> Made | None:
    x, entry = values[0], random_type(rng, rng.choice((18, 64)))
    if rng.random() < 0.5:
        bits = rng.randint(1, min(x.type.width, 6))
        n, index = 1 << bits, {"bits": bits}
    else:
        n = rng.choice((1, 2, 7, 16, 50))
        shift = max(0, x.type.width - rng.randint(0, 6)) if rng.random() < 0.8 else rng.randint(0, 90)
        index = {"multiply": rng.choice((1, n, -n, 3)), "shift": shift, "offset": rng.choice((0, n // 2, -3, n + 4))}
    fields = {"index": index, "table": tensor(rng, (n,), entry)}
    if rng.random() < 0.4:
        slope = fitting_type(rng, lambda s: fits(times(x.type, s), of(entry)), 24)
        if slope is None:
            return None
        fields["otherwise"] = {"when": rng.choice(("nonnegative", "positive")), "multiply": tensor(rng, (1,), slope)}
        factor = fitting_type(rng, lambda f: fits(times(x.type, slope), times(entry, f)), 24)
        if factor is not None and rng.random() < 0.5:
            fields["otherwise"]["negative_multiply"] = tensor(rng, (1,), factor)
    return {"inputs": [x.name], **fields}, x.shape, (entry.fraction, entry.width)


def make_softmax(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    kind = rng.choice(("latency", "stable", "legacy"))
    accum, inv_input, norm = near_type(rng, rng.randint(0, 12), rng.randint(4, 40)), random_type(rng), random_type(rng)
    if rng.random() < 0.5:  # as hls4ml chooses them
        accum, inv_input, norm = FixedType(18, 8), FixedType(18, 8), FixedType(10, 5, True, "RND", "SAT")
    if kind == "legacy":
        if not (-20 <= x.type.fraction <= 60 and x.type.width <= 50 and -20 <= accum.fraction <= 60):
            return None
        n_exp, n_inv = rng.choice((4, 16, 30, 64)), rng.choice((4, 16, 50))
    else:
        read = norm if kind == "stable" else x.type
        n_exp, n_inv = (1 << rng.randint(1, min(t.width, 6)) for t in (read, inv_input))
    entry = near_type(rng, accum.fraction, 16)
    fields = {
        "implementation": kind,
        "exp_table": tensor(rng, (n_exp,), entry),
        "inv_table": tensor(rng, (n_inv,), near_type(rng, 10, 16)),
        "accum": spelled(rng, accum),
        "inv_input": spelled(rng, inv_input),
    }
    if kind == "stable":
        fields["norm"] = spelled(rng, norm)
    if rng.random() < 0.3:
        fields["axis_size"] = divisor(rng, x.shape[-1])
    width, fraction = (16, 10) if kind == "legacy" else (accum.width + 16, accum.fraction + 10)
    return {"inputs": [x.name], **fields}, x.shape, (fraction, min(width, 64))


def make_argmax(rng: Draw, values: list[Named]) -> Made:
    return {"inputs": [values[0].name]}, values[0].shape, (0, 3)


def make_binary(multiply: bool) -> Maker:
    def make(rng: Draw, values: list[Named]) -> Made | None:
        x = values[0]
        partners = [y for y in values if max(x.size, y.size) % min(x.size, y.size) == 0]
        rng.shuffle(partners)
        for y in partners:
            exact = times(x.type, y.type) if multiply else (sum_bits(of(x.type), of(y.type)), 0)
            if exact[0] > MAX_BITS:
                continue
            first, second = rng.choice(((x, y), (y, x)))
            shape = first.shape if first.size >= second.size else second.shape
            fraction = x.type.fraction + y.type.fraction if multiply else max(x.type.fraction, y.type.fraction)
            return {"inputs": [first.name, second.name]}, shape, (fraction, min(exact[0], 64))
        return None

    return make


def make_dot(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    partners = [y for y in values if y.size == x.size and times(x.type, y.type)[0] <= MAX_BITS]
    if not partners:
        return None
    y = rng.choice(partners)
    accum = accumulator(rng, times(x.type, y.type), x.size)
    return {"inputs": [x.name, y.name], "accum": spelled(rng, accum)}, (1,), (accum.fraction, accum.width)


def make_sum_of_squares(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    if times(x.type, x.type)[0] > MAX_BITS:
        return None
    accum = accumulator(rng, times(x.type, x.type), x.size)
    return {"inputs": [x.name], "accum": spelled(rng, accum)}, (1,), (accum.fraction, accum.width)


def make_sum(rng: Draw, values: list[Named]) -> Made | None:
    x = values[0]
    accum = near_type(rng, x.type.fraction, min(x.type.width + 3, 64))
    if not fits(of(x.type), of(accum)):
        return None
    return {"inputs": [x.name], "accum": spelled(rng, accum)}, (1,), (accum.fraction, accum.width)


def make_shift(rng: Draw, values: list[Named]) -> Made:
    x = values[0]
    n = rng.choice((1, x.size))
    reach = x.type.width + 2 if rng.random() < 0.3 else 3
    return as_made(x, {"shift": [rng.randint(-reach, reach) for _ in range(n)]}, x.shape)


def make_rescale(rng: Draw, values: list[Named]) -> Made:
    x = values[0]
    bits = rng.choice((1, 4, 16, min(62, MAX_BITS - x.type.width)))
    n = rng.choice((1, x.shape[-1]))
    size = x.type.width if rng.random() < 0.7 else rng.randint(1, 64)
    result = FixedType(size, rng.randint(0, size), rng.random() < 0.7, "TRN", rng.choice(OVERFLOWS))
    fields: dict[str, Any] = {
        "multiplier": [rng.randint(-(1 << bits), 1 << bits) for _ in range(n)],
        "addend": [rng.randint(-(1 << bits), 1 << bits) for _ in range(n)],
        "divisor": [rng.choice((1, 2, 3, 4, rng.randint(1, 1 << bits))) for _ in range(n)],
        "round": rng.choice((*ROUNDINGS, "CEIL", "UP")),
    }
    for _ in range(rng.choice((0, 0, 1))):
        low, high = sorted((random_integer(rng, result), random_integer(rng, result)))
        fields.update(rng.choice(({"minimum": low}, {"maximum": high}, {"minimum": low, "maximum": high})))
    made = as_made(x, fields, x.shape)
    made[0]["result"] = spelled(rng, result)
    return made


MAKERS: dict[str, Maker] = {
    "constant": make_constant,
    "quantize": make_quantize,
    "reshape": make_reshape,
    "transpose": make_transpose,
    "concatenate": make_concatenate,
    "gather": make_gather,
    "dense": make_dense,
    "conv1d": make_conv(1),
    "conv2d": make_conv(2),
    "pool": make_pool,
    "affine": make_affine,
    "relu": make_relu,
    "leaky_relu": make_leaky_relu,
    "thresholded_relu": make_thresholded_relu,
    "hard_sigmoid": make_hard,
    "hard_tanh": make_hard,
    "threshold": make_threshold,
    "table": make_table,
    "softmax": make_softmax,
    "argmax": make_argmax,
    **{op: make_binary(False) for op in ("add", "subtract", "maximum", "minimum", "average")},
    "multiply": make_binary(True),
    "dot": make_dot,
    "sum_of_squares": make_sum_of_squares,
    "sum": make_sum,
    "shift": make_shift,
    "rescale": make_rescale,
}
