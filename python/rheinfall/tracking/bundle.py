"""Bundles: folders with everything that a track finder needs, versioned and checked.

`bundle.json` holds the format version, the oldest release that can read it, the sha256 of each file, the thresholds
and where everything comes from; beside it lie `module_map.rfmap`, `edge_classifier.onnx`, and the same
network lowered for C++, `edge_classifier.rfgnn`, which stands alone where there is no ONNX file of the network.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rheinfall import _core
from rheinfall._files import require_path
from rheinfall.tracking.fit_model import FitModel
from rheinfall.tracking.graph import TripletModel, is_float32_above_zero

FORMAT_VERSION = 1
# The first release that reads this format: raise it together with FORMAT_VERSION.
NEEDS_RELEASE = "0.1.0"
MODULE_MAP = "module_map.rfmap"
EDGE_CLASSIFIER = "edge_classifier.onnx"
LOWERED = "edge_classifier.rfgnn"  # the same network for C++, where the fused engine runs it, or the only one
DESCRIPTION = "bundle.json"
SHIPPED = Path(__file__).parent.parent / "bundles"


@dataclass(frozen=True)
class Thresholds:
    """Settings of the chain from graph to tracks; None leaves a threshold to the method, see `build_tracks`.

    Attributes:
        chi2_max: edges whose best triplet chi² on both sides is larger are dropped before the network; None: none are.
        quadruplet_chi2_max: edges of displaced particles that stay all the same, see `Graph.prune`; None: none do.
        method: of track building.
        score_cut, sure, walk_min, walk_add: thresholds on scores.
        min_length: shorter tracks are dropped [hits].
        weak: of layer_merge; None: no edge is weak.
    """

    chi2_max: float | None = None
    method: str = "mutual_best"
    score_cut: float | None = None
    sure: float | None = None
    walk_min: float | None = None
    walk_add: float | None = None
    min_length: int = 3
    quadruplet_chi2_max: float | None = None
    weak: float | None = None

    def __post_init__(self) -> None:
        if self.quadruplet_chi2_max is None:
            return
        if not is_float32_above_zero(self.quadruplet_chi2_max):
            raise ValueError(f"quadruplet_chi2_max: expected a float32 above 0, got {self.quadruplet_chi2_max}")
        if self.chi2_max is None:
            raise ValueError("quadruplet_chi2_max: says which edges stay all the same; needs chi2_max, got None")


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of a shipped bundle, or of a path.

    Raises:
        TypeError: neither a name nor a path.
        FileNotFoundError: neither is there; the message lists the shipped ones.
    """
    path = require_path("name_or_path", name_or_path)
    text = str(name_or_path)
    if re.fullmatch(r"\w[\w.-]*", text) and (SHIPPED / text / DESCRIPTION).is_file():
        return SHIPPED / text
    if not (path / DESCRIPTION).is_file():
        shipped = ", ".join(shipped_bundles()) or "none"
        raise FileNotFoundError(f"{text}: neither a shipped bundle ({shipped}) nor a folder with {DESCRIPTION}")
    return path


def shipped_bundles() -> list[str]:
    """Names of the bundles of this release."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}"))


def read_description(folder: Path) -> dict[str, Any]:
    """The checked content of a bundle's `bundle.json`.

    Raises:
        ValueError: not JSON, a key missing or of the wrong type, or written for a newer release, which is named.
    """
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, got {type(content).__name__}")
    version = _get(path, content, "format_version", int)
    needs = _get(path, content, "needs_rheinfall", str)
    here = str(_core.build_info()["version"])
    if version > FORMAT_VERSION or _release(path, needs) > _release(path, here):
        raise ValueError(
            f"{path}: needs_rheinfall: this bundle (format {version}) needs rheinfall >= {needs}, this is {here}"
        )
    if version < 1:
        raise ValueError(f"{path}: format_version: expected 1 to {FORMAT_VERSION}, got {version}")
    for key in ("files", "thresholds", "triplet_model", "provenance", "edge_classifier"):
        _get(path, content, key, dict)
    return content


def read_thresholds(path: Path, values: dict[str, Any]) -> Thresholds:
    """Thresholds from a bundle's description; `path` stands in errors."""
    known = {f.name for f in fields(Thresholds)}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{path}: thresholds.{key}: unknown; expected {', '.join(sorted(known))}")
        wanted: Any = {"method": str, "min_length": int}.get(key, (int, float, type(None)))
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(f"{path}: thresholds.{key}: wrong type of {value!r}")
    try:
        return Thresholds(**values)
    except ValueError as error:
        raise ValueError(f"{path}: thresholds.{error}") from error


def read_triplet_model(path: Path, values: dict[str, Any]) -> TripletModel:
    """The triplet model from a bundle's description; `path` stands in errors."""
    try:
        resolution = {int(volume): _sigmas(sigmas) for volume, sigmas in values["resolution"].items()}
        names = [f.name for f in fields(TripletModel) if f.name not in ("resolution", "default_resolution")]
        scalars = {name: float(values[name]) for name in names}
        return TripletModel(resolution, _sigmas(values["default_resolution"]), **scalars)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: triplet_model: missing or wrong: {error}") from error


def read_fit_model(path: Path, values: Any) -> FitModel:
    """The fit model from a bundle's description; `path` stands in errors."""
    try:
        resolution = {int(volume): _sigmas(sigmas) for volume, sigmas in values["resolution"].items()}
        layer_x0 = {int(volume): float(x0) for volume, x0 in values["layer_x0"].items()}
        numbers = {name: float(values[name]) for name in ("field", "default_layer_x0")}
        discs = tuple(int(volume) for volume in values["discs"])
        return FitModel(resolution, _sigmas(values["default_resolution"]), layer_x0=layer_x0, discs=discs, **numbers)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: fit_model: missing or wrong: {error}") from error


def _sigmas(values: Any) -> tuple[float, float, float]:
    rphi, z, r = (float(v) for v in values)
    return rphi, z, r


def checked_file(folder: Path, description: dict[str, Any], name: str) -> Path:
    """The path of one of a bundle's files, after comparing its sha256 with the description.

    Raises:
        ValueError: it is missing, not described, or differs.
    """
    entry = description["files"].get(name)
    expected = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(expected, str):
        raise ValueError(f"{folder / DESCRIPTION}: files.{name}.sha256: missing")
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{path}: missing from the bundle")
    found = sha256_of(path)
    if found != expected:
        raise ValueError(f"{path}: damaged: sha256 is {found}, files.{name}.sha256 of {DESCRIPTION} says {expected}")
    return path


def write_description(
    folder: Path,
    thresholds: Thresholds,
    models: dict[str, FitModel | TripletModel],
    edge_classifier: dict[str, Any],
    provenance: dict[str, Any],
) -> None:
    """Write `bundle.json` for the files that lie in `folder`; `models` by their key, triplet_model and fit_model."""
    files = {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
        for name in (MODULE_MAP, EDGE_CLASSIFIER, LOWERED)
        if name == MODULE_MAP or (folder / name).is_file()
    }
    content = {
        "format_version": FORMAT_VERSION,
        "needs_rheinfall": NEEDS_RELEASE,
        "files": files,
        "thresholds": asdict(thresholds),
        **{name: asdict(model) for name, model in models.items()},
        "edge_classifier": edge_classifier,
        "provenance": provenance,
    }
    partial = folder / (DESCRIPTION + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / DESCRIPTION)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _get(path: Path, content: dict[str, Any], key: str, kind: type) -> Any:
    if key not in content:
        raise ValueError(f"{path}: {key}: missing")
    if not isinstance(content[key], kind) or isinstance(content[key], bool):
        raise ValueError(f"{path}: {key}: expected {kind.__name__}, got {type(content[key]).__name__}")
    return content[key]


def _release(path: Path, version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(\.\d+){0,3}", version)
    if numbers is None:
        raise ValueError(f"{path}: needs_rheinfall: expected a version such as 0.1.0, got {version!r}")
    return tuple(int(n) for n in (numbers[0].split(".") + ["0"] * 4)[:4])
