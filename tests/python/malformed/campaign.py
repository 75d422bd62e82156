"""Many damaged models through workers that may die."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sample import Sample
from .worker import BAD, work

HANG_S = 30.0  # wall time, of a machine that may be busy; the limit of CPU time is the worker's

Case = tuple[int, int, str, int]


def _nested_counters() -> dict[str, dict[str, Counter[str]]]:
    return defaultdict(lambda: defaultdict(Counter))


@dataclass
class Report:
    """Outcomes by sample and class, and every case that went wrong."""

    counts: dict[str, dict[str, Counter[str]]] = field(default_factory=_nested_counters)
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest_s: float = 0.0

    def total(self) -> Counter[str]:
        """Outcomes of all cases."""
        return sum((c for classes in self.counts.values() for c in classes.values()), Counter[str]())

    def add(self, sample: Sample, case: Case, outcome: str, message: str, cpu: float) -> None:
        """Count one case."""
        _, _, mutation, number = case
        self.counts[sample.name][mutation][outcome] += 1
        self.slowest_s = max(self.slowest_s, cpu)
        if outcome in BAD:
            self.failures.append(
                {"sample": sample.name, "mutation": mutation, "number": number, "outcome": outcome, "message": message}
            )


def run_campaign(
    samples: Sequence[Sample], per_class: int, first: int = 0, only: Sequence[str] | None = None
) -> Report:
    """Try `per_class` damaged copies of each sample by each mutation that applies, one worker after the other dying."""
    cases: list[Case] = []
    for i, sample in enumerate(samples):
        for mutation in sample.classes() if only is None else only:
            cases += [(len(cases) + k, i, mutation, first + k) for k in range(per_class)]
    cases = [(n, *case[1:]) for n, case in enumerate(cases)]
    report, at = Report(), 0
    folder = Path(tempfile.mkdtemp(prefix="malformed-"))
    try:
        while at < len(cases):
            for case, outcome, message, cpu in _run_worker(samples, cases[at:], folder):
                report.add(samples[cases[case][1]], cases[case], outcome, message, cpu)
                at = case + 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _run_worker(
    samples: Sequence[Sample], cases: Sequence[Case], folder: Path
) -> Iterator[tuple[int, str, str, float]]:
    """Outcomes of the cases, up to the first that kills the worker, which is the last that is given."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(samples, cases, folder, theirs), daemon=True)
    process.start()
    theirs.close()
    started = -1
    try:
        while True:
            if not ours.poll(HANG_S if started >= 0 else 300):
                process.kill()
                yield started, "hung", f"no answer for {HANG_S} s", HANG_S
                return
            event = ours.recv()
            if event[0] == "start":
                started = event[1]
            elif event[0] == "end":
                yield event[1], event[2], event[3], event[4]
            elif event[0] == "broken":
                raise AssertionError(f"the undamaged sample {event[1]} did not load: {event[2]}: {event[3]}")
            else:
                return
    except EOFError:
        process.join()
        if started < 0:
            raise AssertionError(f"a worker died before its first case, exit code {process.exitcode}") from None
        yield started, "crashed", f"exit code {process.exitcode}", 0.0
    finally:
        process.kill()
        process.join()
        ours.close()
