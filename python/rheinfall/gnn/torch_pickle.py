"""Read the pickle inside a file of `torch.save` as data: an interpreter of opcodes that makes tensors and containers.

Python's own `pickle` is not used: nothing is imported, nothing is called. What a state dict does not need is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_CALLS = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"))
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

Storage = Any  # a one-dimensional array
LoadStorage = Callable[[str, str], Storage]  # by dtype and key


@dataclass(frozen=True)
class _Global:
    """The name of a function or of a class, which is all there is of it."""

    name: str


class _Machine:
    """The stack of a pickle; marks keep the stacks below them."""

    def __init__(self, load_storage: LoadStorage) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.load_storage = load_storage

    def pop(self, kind: type) -> Any:
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise ValueError(f"expected a {kind.__name__}, got a {type(value).__name__}")
        return value

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def run(self, name: str, argument: Any) -> None:
        """One opcode."""
        if name in ("PROTO", "FRAME"):
            return
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._name(argument)
        elif name == "REDUCE":
            arguments, function = self.pop(tuple), self.pop(_Global)
            self.stack.append(_call(function.name, arguments))
        elif name == "BINPERSID":
            self.stack.append(self._storage(self.pop(tuple)))
        elif name == "BUILD":
            self.stack.pop()  # attributes of an OrderedDict: versions of modules
            if not isinstance(self.stack[-1], dict):
                raise ValueError("sets attributes of what is no dictionary")
        else:
            self._fill(name)

    def _fill(self, name: str) -> None:
        if name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name == "TUPLE":
            items = self.pop_to_mark()
            self.stack.append(tuple(items))
        elif name in _SHORT_TUPLES:
            n = _SHORT_TUPLES[name]
            if len(self.stack) < n:
                raise ValueError(f"{n} values expected on the stack")
            self.stack[-n:] = [tuple(self.stack[-n:])]
        elif name in ("APPEND", "APPENDS"):
            items = [self.stack.pop()] if name == "APPEND" else self.pop_to_mark()
            _top(self.stack, list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            if name == "SETITEM":
                items, self.stack = self.stack[-2:], self.stack[:-2]
            else:
                items = self.pop_to_mark()
            _set_items(_top(self.stack, dict), items)
        else:
            raise ValueError(f"opcode {name}: not among those of a state dict")

    def _name(self, argument: Any) -> None:
        if argument is None:
            name, module = self.pop(str), self.pop(str)
            argument = f"{module} {name}"
        full = ".".join(argument.split(" "))
        if full not in _CALLS and full.removeprefix("torch.") not in DTYPES:
            raise ValueError(
                f"holds {full[:100]!r}: expected tensors in dictionaries only, as torch.save(model.state_dict(), ...) "
                f"writes them"
            )
        self.stack.append(_Global(full))

    def _storage(self, key: tuple[Any, ...]) -> Storage:
        if len(key) != 5 or key[0] != "storage" or not isinstance(key[1], _Global) or not isinstance(key[2], str):
            raise ValueError("a persistent id that is not a tensor's storage")
        dtype = DTYPES.get(key[1].name.removeprefix("torch."))
        if dtype is None:
            raise ValueError(f"a storage of type {key[1].name}")
        return self.load_storage(dtype, key[2])


def _top(stack: list[Any], kind: type) -> Any:
    if not stack or not isinstance(stack[-1], kind):
        raise ValueError(f"expected a {kind.__name__} on the stack")
    return stack[-1]


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise ValueError(f"a key that is a {type(key).__name__}: expected a string or an integer")
        if key in target:
            raise ValueError(f"key {str(key)[:100]!r} twice")
        target[key] = value


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "collections.OrderedDict" and arguments == ():
        return {}
    if name == "torch._utils._rebuild_parameter" and len(arguments) == 3 and isinstance(arguments[0], np.ndarray):
        return arguments[0]
    if name == "torch._utils._rebuild_tensor_v2" and len(arguments) in (6, 7):
        return _tensor(*arguments[:4])
    raise ValueError(f"{name} with {len(arguments)} arguments")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Any:
    """A view of a storage."""
    if not isinstance(storage, np.ndarray) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise ValueError("a tensor without storage, size or stride")
    numbers = (offset, *size, *stride)
    natural = all(type(n) is int and n >= 0 for n in numbers)
    if natural and 0 in size:
        return np.empty(size, storage.dtype)
    if not natural or max(numbers) > storage.size or len(size) != len(stride):
        raise ValueError(f"a tensor of size and stride that do not fit its storage of {storage.size} values")
    count, last = 1, offset
    for n, step in zip(size, stride, strict=True):
        count *= n
        last += (n - 1) * step
    if len(size) > 8 or count > storage.size or last >= storage.size:
        raise ValueError(f"a tensor of {count} values up to {last} in a storage of {storage.size}")
    step = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(storage[offset:], size, [s * step for s in stride], writeable=False)


def read_pickle(data: bytes, load_storage: LoadStorage) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, numbers, texts, and arrays for tensors.

    Args:
        data: the pickle.
        load_storage: gives a storage's values by dtype (a value of `DTYPES`) and key.

    Raises:
        ValueError: a damaged pickle, or one that holds anything else.
    """
    machine = _Machine(load_storage)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.run(opcode.name, argument)
    except (IndexError, KeyError) as error:
        raise ValueError(f"a damaged pickle: {type(error).__name__}: {error}") from error
    raise ValueError("a damaged pickle: no end")
