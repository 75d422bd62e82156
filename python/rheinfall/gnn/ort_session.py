"""ONNX Runtime sessions of one model: one per process and number of threads, made when first needed."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any

from rheinfall._extras import require

# The fused kernel costs the published Exa.TrkX network a factor two in accuracy (2.5e-4 against 1.2e-4 in its logits).
_INEXACT = ["LayerNormFusionL1", "LayerNormFusionL2"]


class OrtSessions:
    """Runs a serialized ONNX model on the CPU; safe to call from several threads and after a fork.

    A session's threads do not survive a fork, so sessions are kept by process id. A child must end by `os._exit`, as
    those of multiprocessing do: at a plain exit ONNX Runtime itself waits for threads of its parent.

    Args:
        model: the serialized `onnx.ModelProto`.
        name: stands in error messages.
        single_thread: never use more than one thread.
    """

    def __init__(self, model: bytes, name: str, single_thread: bool) -> None:
        self.model = model
        self.name = name
        self.single_thread = single_thread
        self._sessions: dict[tuple[int, int], Any] = {}
        self._lock = threading.Lock()
        _alive.add(self)

    def run(self, inputs: dict[str, Any], output: str, n_threads: int) -> Any:
        """The tensor `output` for these inputs."""
        session = self.session(1 if self.single_thread else n_threads)
        try:
            return session.run([output], inputs)[0]
        except Exception as error:
            raise ValueError(f"{self.name}: ONNX Runtime cannot run it: {error}") from error

    def session(self, n_threads: int) -> Any:
        """The session with `n_threads` threads in this process."""
        key = (os.getpid(), n_threads)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._open(n_threads)
            return self._sessions[key]

    def _open(self, n_threads: int) -> Any:
        ort = require("onnxruntime", "onnx")
        options = ort.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return ort.InferenceSession(
                self.model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_INEXACT,
                enable_fallback=0,  # it would print to stdout and try the same again
            )
        except Exception as error:
            raise ValueError(f"{self.name}: ONNX Runtime cannot load it: {error}") from error

    def after_fork(self) -> None:
        """Leave the parent's sessions alone, and its lock, which another thread of it may have held.

        To destroy such a session would wait for ever for its threads, which do not exist in the child, so one reference
        to each is given up for good.
        """
        for session in self._sessions.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
        self._lock = threading.Lock()
        self._sessions = {}

    def __getstate__(self) -> tuple[bytes, str, bool]:
        return self.model, self.name, self.single_thread

    def __setstate__(self, state: tuple[bytes, str, bool]) -> None:
        self.__init__(*state)  # type: ignore[misc]


_alive: weakref.WeakSet[OrtSessions] = weakref.WeakSet()


def _after_fork() -> None:
    for sessions in list(_alive):
        sessions.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
