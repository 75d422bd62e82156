"""Which function of nnet_utils is read by what, and which is refused for what reason."""

from __future__ import annotations

from collections.abc import Callable

from rheinfall.quantized import hls4ml_activations as activations
from rheinfall.quantized import hls4ml_dense as dense
from rheinfall.quantized import hls4ml_shapes as shapes
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.hls4ml_cpp import LayerCall, Variable
from rheinfall.quantized.hls4ml_lowering import Call, Lowering
from rheinfall.quantized.hls4ml_resolve import Project

FUNCTIONS: dict[str, Callable[[Call], None]] = {
    "dense": dense.lower_dense,
    **{
        f"{kind}conv_{n}d_cl": dense.lower_conv for kind in ("", "pointwise_", "depthwise_") for n in (1, 2)
    },
    "normalize": dense.lower_normalize,
    "normalize_binary_tanh": dense.lower_quantized_tanh,
    "normalize_ternary_tanh": dense.lower_quantized_tanh,
    "dot1d": dense.lower_dot,
    "linear": activations.lower_linear,
    **dict.fromkeys(("relu", "relu6", "relu1", "relu_max"), activations.lower_relu),
    **dict.fromkeys(("sigmoid", "tanh", "softplus", "softsign"), activations.lower_table),
    **dict.fromkeys(("elu", "selu"), activations.lower_elu),
    **dict.fromkeys(("leaky_relu", "thresholded_relu", "prelu"), activations.lower_parametrized),
    **dict.fromkeys(("hard_sigmoid", "hard_tanh"), activations.lower_hard),
    "binary_tanh": activations.lower_binary_tanh,
    "ternary_tanh": activations.lower_ternary_tanh,
    "unary_lut": activations.lower_unary_lut,
    **dict.fromkeys(("softmax", "softmax_multidim"), activations.lower_softmax),
    **dict.fromkeys(("add", "subtract", "multiply", "average", "maximum", "minimum"), shapes.lower_merge),
    **dict.fromkeys(("concatenate1d", "concatenate2d", "concatenate3d"), shapes.lower_concatenate),
    **{f"{kind}pooling{n}d_cl": shapes.lower_pool for kind in ("", "global_") for n in (1, 2)},
    **{f"zeropad{n}d_cl": shapes.lower_padding for n in (1, 2)},
    **{f"cropping{n}d_cl": shapes.lower_cropping for n in (1, 2)},
    "resize_nearest": shapes.lower_resize,
    "transpose": shapes.lower_transpose,
    **dict.fromkeys(("clone_stream", "repack_stream"), shapes.lower_copy),
}  # fmt: skip

_REASONS = {
    "embedding": "an embedding is a gather by the value of its input, which the network format does not have",
    "einsum": "an einsum of two inputs is not read",
    "layernormalize": "its mean and variance hang on the event; the network format does not have it",
    "gru": "a recurrent layer is not read",
    "lstm": "a recurrent layer is not read",
    "garnet": "a GarNet layer is not read",
}


def lower(project: Project) -> Lowering:
    """Lower the top function of a project.

    Raises:
        ModelError: file and line, node and function, and the reason.
    """
    lowering = Lowering(project)
    function = project.function
    for variable in function.parameters:
        lowering.variables[variable.name] = variable
    for statement in function.body:
        if isinstance(statement, Variable):
            if statement.name in lowering.variables:
                raise ModelError(f"{function.file}:{statement.line}: variable {statement.name!r} is declared twice")
            lowering.variables[statement.name] = statement
        else:
            _lower_call(lowering, statement, function.file)
    return lowering


def _lower_call(lowering: Lowering, statement: LayerCall, file: str) -> None:
    call = Call(lowering, statement)
    try:
        handler = FUNCTIONS.get(call.function)
        if handler is None:
            raise ModelError(_reason(call.function))
        handler(call)
    except ModelError as error:
        where = f"{file}:{call.line}, node {call.node!r} (op {statement.function.text})"
        raise ModelError(f"{where}: {error}") from None


def _reason(function: str) -> str:
    if "_da_" in function or function.startswith("da_"):
        return "strategy distributed_arithmetic holds no weights, only generated adder code"
    if function.endswith("_cf"):
        return "channels first: only channels last is read"
    for part, reason in _REASONS.items():
        if part in function:
            return reason
    return "this function of nnet_utils is not read"
