"""Add up JUnit reports: `N passed, F failed, M skipped`, and each reason of a skip. Exit status 1 on failures."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def classify(case: ET.Element) -> tuple[str, str]:
    """Tell whether a test passed, and the reason of a skip."""
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed", ""
    skipped = case.find("skipped")
    if skipped is None:
        return "passed", ""
    # CTest says only that a test was skipped; GoogleTest's reason is the line after the place in its output.
    told = re.search(r": Skipped\n(.+)", case.findtext("system-out") or "")
    return "skipped", told.group(1).strip() if told else skipped.get("message") or "no reason given"


def main(folder: Path, failed_stages: list[str]) -> int:
    """Print one line per report, the skips and the totals."""
    total: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for report in sorted(folder.glob("*.xml")):
        outcomes = [classify(case) for case in ET.parse(report).iter("testcase")]
        counts = Counter(outcome for outcome, _ in outcomes)
        reasons.update(f"{report.stem}: {reason}" for outcome, reason in outcomes if outcome == "skipped")
        total += counts
        print(f"{report.stem}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    stages = folder / "skipped-stages.txt"
    if stages.exists():
        print(stages.read_text().strip())
    for reason, count in sorted(reasons.items()):
        print(f"skipped {count}: {reason}")
    for stage in failed_stages:
        print(f"FAILED: {stage}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return int(bool(failed_stages) or total["failed"] > 0 or total["passed"] == 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
