"""C++ of the layers that look values up: table activations and the forms of softmax."""

from __future__ import annotations

from collections.abc import Callable

from rheinfall.quantized.emit_body import Body, Integer, literal
from rheinfall.quantized.emit_elementwise import Writer
from rheinfall.quantized.emit_values import lane_bits, tensor
from rheinfall.quantized.fixed_point import FixedType, convert, parse


def write_table(w: Writer) -> None:
    """table[index(x)], or x times a value where `otherwise` says so; entries are converted when they are written."""
    table, x, index = tensor(w.layer["table"]), w.inputs[0], w.layer["index"]
    otherwise = w.layer.get("otherwise")
    entries, fraction = table.data, table.fraction
    if otherwise is not None and "negative_multiply" in otherwise:
        factor = tensor(otherwise["negative_multiply"])
        entries, fraction = [q * factor.data[0] for q in entries], fraction + factor.fraction
    stored = w.body.array("table", [convert(q, fraction, w.result) for q in entries])
    with w.body.loop("i", w.size):
        value = w.body.let(w.x())
        if "bits" in index:
            place = top_bits(w.body, value, x.type, index["bits"])
        else:
            moved = w.body.multiply(value, literal(index.get("multiply", 1)))
            shift = index.get("shift", 0)
            moved = w.body.scale_up(moved, max(-shift, 0))
            whole = truncate(w.body, moved, max(shift, 0))
            place = clamp_index(w.body, w.body.add(whole, literal(index.get("offset", 0))), len(entries))
        entry = stored[place]
        if otherwise is not None:
            factor = tensor(otherwise["multiply"])
            product = w.body.multiply(value, literal(factor.data[0]))
            direct = w.body.let(w.body.convert(product, x.fraction + factor.fraction, w.result))
            relation = ">=" if otherwise["when"] == "nonnegative" else ">"
            entry = w.body.select(f"{value.code} {relation} 0", direct, entry)
        w.store_integer(entry)


def top_bits(body: Body, x: Integer, stored: FixedType, bits: int) -> str:
    """The top `bits` of the bits of x, as an index."""
    lanes = 32 if stored.width <= 32 else 64
    name = body.name("k")
    code = f"({x.lane(lanes)} >> {stored.width - bits}) & {(1 << bits) - 1:#x}u"
    body.line(f"const int {name} = static_cast<int>({code});")
    return name


def truncate(body: Body, x: Integer, shift: int) -> Integer:
    """x / 2**shift cut off towards zero."""
    return body.let(body.round_shift(x, shift, "TRN_ZERO"))


def clamp_index(body: Body, index: Integer, n: int) -> str:
    """The index held in [0, n - 1]."""
    held = body.minimum(body.maximum(body.let(index), 0), n - 1)
    name = body.name("k")
    body.line(f"const int {name} = static_cast<int>({held.code});")
    return name


def write_softmax(w: Writer) -> None:
    """Slice after slice of the last axis."""
    n = w.layer.get("axis_size") or w.shape[-1]
    kinds = {"latency": _write_latency, "stable": _write_stable, "legacy": _write_legacy}
    write = kinds[w.layer["implementation"]]
    with w.body.loop("r", w.size // n):
        write(w, n)


def _write_latency(w: Writer, n: int) -> None:
    x = w.inputs[0]
    _write_exponentials(w, n, lambda: w.x(f"r * {n} + j"), x.type)


def _write_stable(w: Writer, n: int) -> None:
    x, norm = w.inputs[0], parse(w.layer["norm"])
    w.body.line(f"{x.ctype} m = {w.x(f'r * {n}').code};")
    with w.body.loop("j", n):
        element = w.x(f"r * {n} + j").code
        w.body.line(f"m = {element} > m ? {element} : m;")
    largest = Integer("m", x.lo, x.hi, w.x().bits)

    def argument() -> Integer:
        difference = w.body.subtract(largest, w.x(f"r * {n} + j"))
        return w.body.convert(Integer(difference.code, 0, x.hi - x.lo, difference.bits), x.fraction, norm)

    _write_exponentials(w, n, argument, norm)


def _write_exponentials(w: Writer, n: int, argument: Callable[[], Integer], stored: FixedType) -> None:
    """Exponentials of the top bits of each argument (of type `stored`), times the inverse of their sum."""
    accum, inv_input, inverse = parse(w.layer["accum"]), parse(w.layer["inv_input"]), tensor(w.layer["inv_table"])
    table = w.body.array("exp_table", tensor(w.layer["exp_table"]).to(accum))
    inv_table = w.body.array("inv_table", inverse.data)
    n_exp, n_inv = len(w.layer["exp_table"]["data"]), len(inverse.data)
    w.body.line(f"i{table['0'].bits} e[{n}];")
    with w.body.loop("j", n):
        place = top_bits(w.body, w.body.let(argument()), stored, n_exp.bit_length() - 1)
        w.body.line(f"e[j] = {table[place].code};")
    terms = [Integer(f"e[{j}]", table.lo, table.hi, table["0"].bits) for j in range(n)]
    total = w.body.let(w.body.convert(_tree_sum(w.body, terms, accum), accum.fraction, inv_input))
    factor = w.body.let(inv_table[top_bits(w.body, total, inv_input, n_inv.bit_length() - 1)])
    with w.body.loop("j", n):
        exponential = Integer("e[j]", table.lo, table.hi, table["0"].bits)
        w.store(w.body.multiply(exponential, factor), accum.fraction + inverse.fraction, f"r * {n} + j")


def _tree_sum(body: Body, terms: list[Integer], accum: FixedType) -> Integer:
    """Sum in pairs, split at the largest power of two below the number of terms; each addition → accum."""
    if len(terms) == 1:
        return terms[0]
    split = 1 << ((len(terms) - 1).bit_length() - 1)
    total = body.add(_tree_sum(body, terms[:split], accum), _tree_sum(body, terms[split:], accum))
    return body.let(body.overflow(body.let(total), accum))


def _write_legacy(w: Writer, n: int) -> None:
    """For each i the inverse of Σ_j exp(x_j - x_i), both read from tables over [-8, 8) and [0, 64)."""
    exp_table, inv_table, accum = tensor(w.layer["exp_table"]), tensor(w.layer["inv_table"]), parse(w.layer["accum"])
    x, n_exp, n_inv = w.inputs[0], len(exp_table.data), len(inv_table.data)
    exponentials = w.body.array("exp_table", exp_table.to(accum))
    inverses = w.body.array("inv_table", inv_table.to(w.result))
    sum_ = Integer("a", *accum.range, lane_bits(*accum.range))
    one = literal(convert(1, 0, accum))
    with w.body.loop("i", n):
        w.body.line(f"i{sum_.bits} a = 0;")
        with w.body.loop("j", n):
            difference = w.body.let(w.body.subtract(w.x(f"r * {n} + j"), w.x(f"r * {n} + i")))
            place = _spanned_index(w.body, difference, x.fraction, n_exp, 4, n_exp // 2)
            term = w.body.let(w.body.select("i == j", one, exponentials[place]))
            after = w.body.overflow(w.body.let(w.body.add(sum_, term)), accum)
            w.body.line(f"a = {after.at(sum_.bits)};")
        place = _spanned_index(w.body, sum_, accum.fraction, n_inv, 6, 0)
        w.store_integer(inverses[place], f"r * {n} + i")


def _spanned_index(body: Body, x: Integer, fraction: int, n: int, span_bits: int, offset: int) -> str:
    """clamp(trunc(x·n / 2**span_bits) + offset) for x / 2**fraction."""
    product = body.multiply(x, literal(n))
    shift = fraction + span_bits
    whole = truncate(body, body.let(body.scale_up(product, max(-shift, 0))), max(shift, 0))
    return clamp_index(body, body.add(whole, literal(offset)), n)
