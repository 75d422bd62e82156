"""A valid model file, or folder of files, and its damaged copies."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .mutate_bytes import BYTE_MUTATIONS, Mutation
from .mutate_json import JSON_MUTATIONS
from .mutate_onnx import ONNX_MUTATIONS
from .mutate_text import TEXT_MUTATIONS

BY_SUFFIX: dict[str, dict[str, Mutation]] = {
    ".json": {**BYTE_MUTATIONS, **TEXT_MUTATIONS, **JSON_MUTATIONS},
    ".onnx": {**BYTE_MUTATIONS, **ONNX_MUTATIONS},
    ".h": {**BYTE_MUTATIONS, **TEXT_MUTATIONS},
    ".cpp": {**BYTE_MUTATIONS, **TEXT_MUTATIONS},
    ".txt": {**BYTE_MUTATIONS, **TEXT_MUTATIONS},
}
OTHERWISE: dict[str, Mutation] = BYTE_MUTATIONS
FOLDER_MUTATIONS = ("files missing", "files exchanged", "files that are none", "includes out of the folder")


@dataclass(frozen=True)
class Sample:
    """A model that loads: `files` by path, of which `entry` is loaded ("." for the folder itself)."""

    name: str
    files: Mapping[str, bytes]
    entry: str
    loader: str = "network"  # or "forest"
    damaged: tuple[str, ...] = ()  # the files to damage; none named: all

    @property
    def targets(self) -> tuple[str, ...]:
        """The files that are damaged."""
        return self.damaged or tuple(sorted(self.files))

    def classes(self) -> list[str]:
        """Names of the mutations that apply to some file."""
        names: dict[str, None] = {}
        for target in self.targets:
            names.update(dict.fromkeys(_mutations(target)))
        if self.entry == ".":
            names.update(dict.fromkeys(FOLDER_MUTATIONS))
        return list(names)

    def write(self, folder: Path, mutation: str | None = None, number: int = 0) -> Path:
        """Write the model, damaged by `mutation`, the `number`th of its kind, and return the path to load."""
        shutil.rmtree(folder, ignore_errors=True)
        # Seeded by text: the same on any machine and in any order.
        rng = random.Random(f"{self.name}/{mutation}/{number}")
        files = dict(self.files)
        target = None
        if mutation is not None and mutation not in FOLDER_MUTATIONS:
            target = rng.choice([t for t in self.targets if mutation in _mutations(t)])
            files[target] = _mutations(target)[mutation](rng, files[target])
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if mutation in FOLDER_MUTATIONS:
            _damage_folder(rng, folder, mutation, list(self.targets))
        return folder if self.entry == "." else folder / self.entry


def _mutations(target: str) -> dict[str, Mutation]:
    return BY_SUFFIX.get(PurePosixPath(target).suffix, OTHERWISE)


def _damage_folder(rng: random.Random, folder: Path, mutation: str, targets: list[str]) -> None:
    target = folder / rng.choice(targets)
    if mutation == "files missing":
        for _ in range(rng.choice((1, 1, 2))):
            (folder / rng.choice(targets)).unlink(missing_ok=True)
    elif mutation == "files exchanged":
        other = folder / rng.choice(targets)
        a, b = target.read_bytes(), other.read_bytes()
        target.write_bytes(b)
        if rng.random() < 0.5:
            other.write_bytes(a)
    elif mutation == "files that are none":
        target.unlink()
        way = rng.randrange(4)
        if way == 0:
            target.mkdir()
        else:
            target.symlink_to((target.name, "/dev/zero", "/nowhere/at/all")[way - 1])
    else:
        lines = target.read_bytes().splitlines(keepends=True)
        path = rng.choice(
            (b"../../../../../etc/passwd", b"/etc/passwd", b"/dev/zero", b"..", b"defines.h", b"parameters.h")
        )
        lines.insert(rng.randrange(len(lines) + 1), b'#include "' + path + b'"\n')
        target.write_bytes(b"".join(lines).replace(b"weights/", path + b"/" if rng.random() < 0.3 else b"weights/"))
