"""The file that tells what network a state dict belongs to: docs/gnn_state_dicts.md."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rheinfall.gnn.mlp_layout import ACTIVATIONS, NORMS, MlpLayout
from rheinfall.gnn.tensor_files import unique_keys

FORMAT = "rheinfall.gnn.state_dict"
AGGREGATIONS = ("sum", "mean", "max", "min")
_TRANSFORM = "edge_output_transform"

# MLPs of each architecture and the beginnings of their keys; "{i}" stands for the iteration where it is not recurrent.
MLPS = {
    "InteractionGNN": {
        "node_encoder": "node_encoder",
        "edge_encoder": "edge_encoder",
        "edge_network": "edge_networks.{i}",
        "node_network": "node_networks.{i}",
        "output_edge_classifier": "output_edge_classifier",
    },
    "InteractionGNN2": {
        "node_encoder": "node_encoder",
        "edge_encoder": "edge_encoder",
        "edge_network": "edge_network.{i}",
        "node_network": "node_network.{i}",
        "edge_decoder": "edge_decoder",
        _TRANSFORM: _TRANSFORM,
    },
    "ResAGNN": {
        "input_network": "input_network",
        "edge_network": "edge_network.network",
        "node_network": "node_network.network",
    },
}
LAST = {"InteractionGNN": "output_edge_classifier", "InteractionGNN2": _TRANSFORM, "ResAGNN": "edge_network"}
_OPTIONS: dict[str, dict[str, Any]] = {  # with what stands for one that is left out; None: it may not be
    "InteractionGNN": {
        **{"aggregation": ["sum"], "messages": "separate", "residual": False},
        **{"node_net_recurrent": True, "edge_net_recurrent": True},
    },
    "InteractionGNN2": {
        **{"concat": None, "in_out_diff_agg": None, "node_net_recurrent": None, "edge_net_recurrent": None},
        "edge_features": 0,
    },
    "ResAGNN": {"messages": "sum", "residual": True, "edge_hidden": 0},
}
_MESSAGES = ("separate", "sum", "target")


class DescriptionError(ValueError):
    """A field that is not as it should be."""


@dataclass(frozen=True)
class Description:
    """What network a state dict belongs to.

    Attributes:
        architecture: one of `MLPS`.
        node_features, hidden, n_graph_iters: sizes.
        options: of the architecture.
        mlps: the layout of each MLP.
        keys: the beginning of each MLP's keys, `prefix` included.
        ignore: beginnings of keys to leave out.
        under: keys of the dictionaries that the state dict lies in.
    """

    architecture: str
    node_features: int
    hidden: int
    n_graph_iters: int
    options: dict[str, Any]
    mlps: dict[str, MlpLayout]
    keys: dict[str, str]
    ignore: tuple[str, ...] = ()
    under: tuple[str, ...] = field(default=())


def read_description(path: Path) -> Description:
    """The description in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing, unknown or wrong; names file, field and what was expected.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such description of a state dict")
    try:
        document = json.loads(path.read_bytes().decode(), object_pairs_hook=unique_keys)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file of distinct keys: {error}") from error
    try:
        return _parse(document)
    except DescriptionError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(document: Any) -> Description:
    d = _object(document, "the file")
    _one_of(d, "format", (FORMAT,))
    architecture = _one_of(d, "architecture", tuple(MLPS))
    defaults, mlps = _OPTIONS[architecture], MLPS[architecture]
    common = ("format", "architecture", "node_features", "hidden", "n_graph_iters", "mlp", "mlps")
    _known(d, (*common, "prefix", "keys", "ignore", "under", *defaults), "the file")
    options = {name: d.get(name, default) for name, default in defaults.items()}
    for name, value in options.items():
        _check_option(name, value)
    prefix, keys = _text(d.get("prefix", ""), "prefix"), _object(d.get("keys", {}), "keys")
    _known(keys, tuple(mlps), "keys")
    places = {}
    for name, place in mlps.items():
        if options.get(f"{name.split('_')[0]}_net_recurrent", True):
            place = place.replace("s.{i}", "").replace(".{i}", "")
        places[name] = prefix + _text(keys.get(name, place), f"keys.{name}")
        if "{i}" in place and "{i}" not in places[name]:
            raise DescriptionError(f'keys.{name}: expected "{{i}}" in it, which stands for the iteration')
    return Description(
        architecture,
        _integer(d.get("node_features"), "node_features", 1),
        _integer(d.get("hidden"), "hidden", 1),
        _integer(d.get("n_graph_iters"), "n_graph_iters", 1, 256),
        options,
        _layouts(d, architecture),
        places,
        _texts(d.get("ignore", []), "ignore"),
        _texts(d.get("under", []), "under"),
    )


def _layouts(d: dict[str, Any], architecture: str) -> dict[str, MlpLayout]:
    """The layout of each MLP: what "mlp" says of all, unless "mlps" says otherwise."""
    common = _layout_fields(d.get("mlp"), "mlp")
    own = _object(d.get("mlps", {}), "mlps")
    _known(own, tuple(MLPS[architecture]), "mlps")
    layouts, last = {}, LAST[architecture]
    for name in MLPS[architecture]:
        fields = dict(common)
        if name == last or (architecture == "ResAGNN" and name == "node_network"):
            fields.update(output_activation=None, output_norms=())
        if name == last and "layers" in fields:
            fields["layers"] = 2 if name == _TRANSFORM else fields["layers"] + 1
        fields.update(_layout_fields(own.get(name, {}), f"mlps.{name}"))
        if "layers" not in fields:
            raise DescriptionError(f"mlp.layers: expected an integer, for {name} has none of its own")
        if name == last and fields.get("output_activation") not in (None, "Sigmoid"):
            raise DescriptionError(f"mlps.{name}.output_activation: expected null or 'Sigmoid', behind the logits")
        layouts[name] = MlpLayout(**fields)
    return layouts


def _layout_fields(value: Any, place: str) -> dict[str, Any]:
    fields = dict(_object(value, place))
    kinds = {f.name: f.type for f in dataclasses.fields(MlpLayout)}
    _known(fields, tuple(kinds), place)
    for name, v in fields.items():
        where = f"{place}.{name}"
        if name == "layers":
            _integer(v, where, 1, 64)
        elif name.endswith("_activation"):
            if v is not None and (not isinstance(v, str) or v not in ACTIVATIONS):
                raise DescriptionError(f"{where}: expected {_list(ACTIVATIONS)} or null, got {_short(v)}")
        elif name.endswith("_norms"):
            fields[name] = _texts(v, where)
            if any(n not in NORMS for n in fields[name]):
                raise DescriptionError(f"{where}: expected a list of {_list(NORMS)}, got {_short(v)}")
        elif name.endswith("_epsilon"):
            if type(v) not in (int, float) or not 0 < v < 1:
                raise DescriptionError(f"{where}: expected a number between 0 and 1, got {_short(v)}")
        elif not isinstance(v, bool):
            raise DescriptionError(f"{where}: expected true or false, got {_short(v)}")
    if "hidden_activation" in fields and fields["hidden_activation"] is None:
        raise DescriptionError(f"{place}.hidden_activation: expected {_list(ACTIVATIONS)}, got null")
    return fields


def _check_option(name: str, value: Any) -> None:
    if name == "aggregation":
        if not _texts(value, name) or any(v not in AGGREGATIONS for v in value):
            raise DescriptionError(f"{name}: expected a list of {_list(AGGREGATIONS)}, got {_short(value)}")
    elif name == "messages":
        if value not in _MESSAGES:
            raise DescriptionError(f"{name}: expected {_list(_MESSAGES)}, got {_short(value)}")
    elif name in ("edge_features", "edge_hidden"):
        _integer(value, name, 0)
    elif not isinstance(value, bool):
        raise DescriptionError(f"{name}: expected true or false, got {_short(value)}")


def _list(names: Any) -> str:
    return ", ".join(repr(n) for n in names)


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DescriptionError(f"{place}: expected an object, got {_short(value)}")
    return value


def _known(d: dict[str, Any], names: tuple[str, ...], place: str) -> None:
    for key in d:
        if key not in names:
            raise DescriptionError(f"{place}: unknown field {key[:60]!r}: expected {_list(names)}")


def _one_of(d: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = d.get(name)
    if not isinstance(value, str) or value not in values:
        raise DescriptionError(f"{name}: expected {_list(values)}, got {_short(value)}")
    return value


def _integer(value: Any, place: str, low: int, high: int = 4096) -> int:
    if type(value) is not int or not low <= value <= high:
        raise DescriptionError(f"{place}: expected an integer from {low} to {high}, got {_short(value)}")
    return int(value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise DescriptionError(f"{place}: expected a text, got {_short(value)}")
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
        raise DescriptionError(f"{place}: expected a list of texts, got {_short(value)}")
    return tuple(value)
