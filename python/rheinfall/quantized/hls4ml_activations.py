"""hls4ml's activations: ReLU and its relatives, tables, softmax, binary and ternary tanh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rheinfall.quantized import fixed_point, hls4ml_tables
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType
from rheinfall.quantized.hls4ml_lowering import Call, Value, fixed, plain, tensor
from rheinfall.quantized.hls4ml_resolve import Config, CppType

# function: the float function, and the span of its table's argument
_TABLES: dict[str, tuple[Callable[[float], float], int]] = {
    "sigmoid": (hls4ml_tables.sigmoid, 8),
    "tanh": (hls4ml_tables.tanh, 4),
    "softplus": (hls4ml_tables.softplus, 8),
    "softsign": (hls4ml_tables.softsign, 8),
}
_SELU_LAMBDA = fixed(16, 1, is_signed=False)
_DEFAULT_TABLE = fixed(18, 8)  # nnet::activ_config::table_t


def lower_linear(call: Call) -> None:
    """nnet::linear: a conversion."""
    x = call.sized_input(call.config.size("n_in"))
    call.finish(call.emit("quantize", [x], call.result_type(), x.shape))


def lower_relu(call: Call) -> None:
    """relu, relu6, relu1 and relu_max<..., MAX, ...>."""
    x = call.sized_input(call.config.size("n_in"))
    maximum: int | None = {"relu6": 6, "relu1": 1}.get(call.function)
    if call.function == "relu_max":
        args = call.call.function.args or ()
        if len(args) != 4:
            raise ModelError("expected four template arguments")
        maximum = call.project.integer(args[2])
    if maximum is not None:
        maximum = _reachable(maximum, x)
    call.finish(call.emit("relu", [x], call.result_type(), x.shape, maximum=maximum))


def _reachable(maximum: int, x: Value) -> int | None:
    type_ = x.type.fixed
    if maximum < 0:
        raise ModelError(f"a maximum of {maximum}: expected 0 or more")
    if type_.fraction < 0:
        raise ModelError(f"a maximum of {maximum} on an input without its last {-type_.fraction} bits")
    return maximum if maximum << type_.fraction <= type_.maximum else None


def lower_table(call: Call) -> None:
    """sigmoid, tanh, softplus, softsign: an index, clamped, into a table."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    function, span = _TABLES[call.function]
    size, type_ = config.size("table_size"), config.type("table_t")
    entries = hls4ml_tables.activation_table(function, size, float(span), type_)
    if call.function == "tanh":
        rounded = hls4ml_tables.activation_table(hls4ml_tables.rounded_tanh, size, float(span), type_)
        unsure = sum(a != b for a, b in zip(entries, rounded, strict=True))
        if unsure:
            call.trap(f"{unsure} entries of its table hang on the last bit of libm's tanh; they are fdlibm's")
    index = _index(x, size, 2 * span, size // 2)
    call.finish(
        call.emit("table", [x], call.result_type(), x.shape, index=index, table=tensor(type_.fixed, (size,), entries))
    )


def _index(x: Value, multiply: int, divide: int, offset: int) -> dict[str, int]:
    """trunc(x·multiply / divide) + offset, `divide` a power of two, on stored integers."""
    shift = x.type.fixed.fraction + divide.bit_length() - 1
    return {"multiply": multiply << max(-shift, 0), "shift": max(shift, 0), "offset": offset}


def lower_elu(call: Call) -> None:
    """elu and selu: x (times a constant) where x >= 0, a table below."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    size, type_ = config.size("table_size"), config.type("table_t")
    function = hls4ml_tables.selu if call.function == "selu" else hls4ml_tables.elu
    entries = hls4ml_tables.activation_table(function, size, 8.0, type_)
    otherwise: dict[str, Any] = {"when": "nonnegative"}
    index = 1
    if call.function == "selu":
        factor = x.type if call.is_stream else _SELU_LAMBDA  # a stream converts lambda to its own type
        stored = fixed_point.convert_real(1.0507009873554805, factor.fixed)
        otherwise["multiply"] = tensor(factor.fixed, (1,), [stored])
        if call.is_stream:
            call.trap(
                f"its constant 1.0507 is {stored / 2.0**factor.fixed.fraction:g}, in its input's type {factor.fixed}"
            )
    else:
        otherwise["multiply"] = tensor(FixedType(1, 1, False), (1,), [1])
        if len(call.call.arguments) == 3:
            alpha, index = _parameter_type(call, x), 2
            stored = call.literal(1, alpha)
        else:
            alpha, stored = fixed(1, is_signed=False), 1
        otherwise["negative_multiply"] = tensor(alpha.fixed, (1,), [stored])
    fields: dict[str, Any] = {
        "index": _index(x, -size, 8, 0),
        "table": tensor(type_.fixed, (size,), entries),
        "otherwise": otherwise,
    }
    call.finish(call.emit("table", [x], call.result_type(index), x.shape, **fields), index)


def _parameter_type(call: Call, x: Value) -> CppType:
    """The type of the number that is passed: the second of four template arguments; before 1.0 the input's."""
    return call.type_argument(1) if len(call.call.function.args or ()) == 4 else x.type


def lower_parametrized(call: Call) -> None:
    """leaky_relu and thresholded_relu: a number is passed; prelu: constants."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    result, type_ = call.result_type(2), _parameter_type(call, x)
    if call.function == "prelu":
        alpha = call.weights(1, config.size("n_in"))
        field: dict[str, Any] = {"alpha": tensor(alpha.type.fixed, x.shape, alpha.data)}
        call.finish(call.emit("leaky_relu", [x], result, x.shape, **field), 2)
        return
    name = "alpha" if call.function == "leaky_relu" else "theta"
    parameter: dict[str, Any] = {name: tensor(type_.fixed, (1,), [call.literal(1, type_)])}
    call.finish(call.emit(call.function, [x], result, x.shape, **parameter), 2)


def lower_hard(call: Call) -> None:
    """hard_sigmoid and hard_tanh."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    (slope_type, slope), (shift_type, shift) = config.constant("slope"), config.constant("shift")
    fields: dict[str, Any] = {
        "slope": tensor(slope_type.fixed, (1,), [slope]),
        "shift": tensor(shift_type.fixed, (1,), [shift]),
    }
    call.finish(call.emit(call.function, [x], call.result_type(), x.shape, **fields))


def lower_binary_tanh(call: Call) -> None:
    """binary_tanh: 1 where x >= 0, else -1, which ap_uint<1> holds as 0."""
    x = call.sized_input(call.config.size("n_in"))
    result = call.result_type()
    low = 0 if result.is_bit else fixed_point.convert(-1, 0, result.fixed)
    values = [low, fixed_point.convert(1, 0, result.fixed)]
    thresholds = tensor(FixedType(1, 1, False), (1, 1), [0])
    call.finish(call.emit("threshold", [x], result, x.shape, thresholds=thresholds, values=values))


def lower_ternary_tanh(call: Call) -> None:
    """ternary_tanh: 2x in the input's own type (a stream: x), then 1 above 1, -1 up to -1, 0 between."""
    x = call.sized_input(call.config.size("n_in"))
    result, source = call.result_type(), x.type.fixed
    if not call.is_stream:
        n = x.shape[-1]
        twice = tensor(FixedType(3, 3), (n,), [2] * n), tensor(FixedType(1, 1), (n,), [0] * n)
        x = call.emit("affine", [x], x.type, x.shape, "_doubled", scale=twice[0], bias=twice[1])
        if source.overflow == "WRAP":
            call.trap(f"it doubles its input in the input's type {source}, which wraps")
    one = 1 << max(source.fraction, 0)
    bounds = FixedType(max(source.fraction, 0) + 3, 3)
    thresholds = tensor(bounds, (1, 2), [-one + 1, one + 1])
    values = [fixed_point.convert(v, 0, result.fixed) for v in (-1, 0, 1)]
    call.finish(call.emit("threshold", [x], result, x.shape, thresholds=thresholds, values=values))


def lower_unary_lut(call: Call) -> None:
    """unary_lut: all bits of x index a table that comes with the project."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    size = config.size("table_size")
    if size != 1 << x.type.fixed.width:
        raise ModelError(f"a table of {size} entries for the {x.type.fixed.width} bits of its input")
    table = call.weights(2, size)
    fields: dict[str, Any] = {
        "index": {"bits": x.type.fixed.width},
        "table": tensor(table.type.fixed, (size,), table.data),
    }
    call.finish(call.emit("table", [x], call.result_type(), x.shape, **fields))


# -- softmax


def lower_softmax(call: Call) -> None:
    """softmax and softmax_multidim, in all four implementations."""
    config = call.config
    x = call.sized_input(config.size("n_in"))
    n_slice = config.size("n_slice" if config.has("n_slice") else "n_in")
    n_inner = config.size("n_inner") if config.has("n_inner") else 1
    shape = x.shape
    pack = call.type_argument(0).pack
    if pack is not None and pack != n_slice:
        call.trap(f"its stream brings {pack} values at once: the softmax is over these, not over {n_slice}")
        n_slice = pack
    if n_inner > 1 and call.function != "softmax_multidim":
        raise ModelError("softmax over an axis that is not the last, in a stream")
    if call.function != "softmax_multidim" and not call.is_stream and n_slice != x.size:
        raise ModelError(f"softmax over {n_slice} of {x.size} inputs")
    if x.size % (n_slice * n_inner):
        raise ModelError(f"{x.size} inputs in slices of {n_slice}, {n_inner} inside each other")
    n_outer = x.size // (n_slice * n_inner)
    result = call.result_type()
    if n_inner > 1:
        x = call.lowering.reshape(x, (n_outer, n_slice, n_inner))
        moved = (n_outer, n_inner, n_slice)
        y = _softmax(
            call, config, replace(call.emit("transpose", [x], plain(x.type), moved, "_in", perm=[0, 2, 1]), type=x.type)
        )
        y = call.emit("transpose", [y], plain(result), (n_outer, n_slice, n_inner), "_out", perm=[0, 2, 1])
        y = replace(y, type=result)
    else:
        x = x if shape[-1] == n_slice else call.lowering.reshape(x, (n_outer, n_slice))
        y = _softmax(call, config, x)
    call.finish(call.lowering.reshape(y, shape))


def _softmax(call: Call, config: Config, x: Value) -> Value:
    implementation, result = config.choice("implementation", "stable"), call.result_type()
    if implementation == "argmax":
        call.trap("softmax is an argmax: its result is one-hot")
        return call.emit("argmax", [x], result, x.shape)
    if implementation == "legacy":
        return _softmax_legacy(call, config, x)
    if implementation not in ("latency", "stable"):
        raise ModelError(f"softmax implementation {implementation!r}")
    exp_type, inv_type = config.type("exp_table_t"), config.type("inv_table_t")
    n_exp, n_inv = config.size("exp_table_size"), config.size("inv_table_size")
    inv_input = config.type("inv_inp_t") if config.has("inv_inp_t") else exp_type
    accum = config.type("accum_t") if config.has("accum_t") else exp_type
    scale = float(config.value("exp_scale")) if config.has("exp_scale") else 1.0
    is_stable = implementation == "stable"
    index_type = config.type("inp_norm_t") if is_stable else x.type
    exp_entries = hls4ml_tables.exp_table(n_exp, index_type.fixed, scale, exp_type, negative=is_stable)
    inv_entries = hls4ml_tables.inv_table(n_inv, inv_input.fixed, inv_type)
    unused = index_type.fixed.width - (n_exp.bit_length() - 1)
    if unused > 0:
        call.trap(
            f"its exp table of {n_exp} entries drops the last {unused} of the index's {index_type.fixed.width} bits"
        )
    if is_stable and index_type.fixed.overflow == "WRAP":
        call.trap(f"the distance from the maximum wraps beyond {index_type.fixed}")
    fields: dict[str, Any] = {
        "implementation": implementation,
        "exp_table": tensor(exp_type.fixed, (n_exp,), exp_entries),
        "inv_table": tensor(inv_type.fixed, (n_inv,), inv_entries),
        "accum": str(accum.fixed),
        "inv_input": str(inv_input.fixed),
        "norm": str(index_type.fixed) if is_stable else None,
    }
    return call.emit("softmax", [x], result, x.shape, **fields)


def _softmax_legacy(call: Call, config: Config, x: Value) -> Value:
    type_: CppType = config.type("table_t") if "table_t" in config.struct.types else _DEFAULT_TABLE
    if fixed_point.convert(1, 0, type_.fixed) != 1 << max(type_.fixed.fraction, 0):
        raise ModelError(f"legacy softmax with a table of {type_.fixed}, which does not hold 1")
    n_exp, n_inv = config.size("exp_table_size"), config.size("inv_table_size")
    if call.is_stream:
        n_exp = n_inv = config.integer("table_size", 1024)  # nnet::activ_config::table_size
    fields: dict[str, Any] = {
        "implementation": "legacy",
        "exp_table": tensor(type_.fixed, (n_exp,), hls4ml_tables.legacy_exp_table(n_exp, type_)),
        "inv_table": tensor(type_.fixed, (n_inv,), hls4ml_tables.legacy_inv_table(n_inv, type_)),
        "accum": str(type_.fixed),
        "inv_input": str(plain(type_).fixed),
    }
    return call.emit("softmax", [x], call.result_type(), x.shape, **fields)
