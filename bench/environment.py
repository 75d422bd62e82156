"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import rheinfall as rf

PACKAGES = ("numpy", "scipy", "onnxruntime", "networkx", "numba")


def describe_environment() -> dict[str, Any]:
    """CPU, operating system, versions and commit."""
    cpuinfo = _read("/proc/cpuinfo")
    flags = re.search(r"^flags\s*: (.*)$", cpuinfo, re.M)
    wanted = {"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "amx_tile"}
    return {
        "cpu": _cpu_model(cpuinfo),
        "cores": len(os.sched_getaffinity(0)),
        "flags": sorted(wanted & set(flags[1].split())) if flags else [],
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "load_at_start": os.getloadavg()[0],
        "memory_GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "rheinfall": rf.build_info(),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def machine_name() -> str:
    """The CPU's model as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", _cpu_model(_read("/proc/cpuinfo")).lower()).strip("-")


def copy_bandwidth(n_bytes: int = 1 << 27, repetitions: int = 9) -> dict[str, float]:
    """Bytes read plus written per second by one thread that copies 128 MiB: the ceiling that stages are held to."""
    source, target = np.ones(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return {"GB/s": 2 * n_bytes / float(np.median(times)) / 1e9, "best_GB/s": 2 * n_bytes / min(times) / 1e9}


def _cpu_model(cpuinfo: str) -> str:
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    return model[1].strip() if model else platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*args: str) -> str | None:
    try:
        folder = Path(__file__).parent
        return subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
