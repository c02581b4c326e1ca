# SPDX-License-Identifier: Apache-2.0

"""How it went: kept in ``results.txt`` from one whole run to the next, and compared."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.conformance.reasons import reason
from tests.conformance.suites import FAILED, SKIPPED, Outcome

FILE = Path(__file__).with_name("results.txt")


def read() -> dict[str, Outcome]:
    """What became of each test at last; of none before the first whole run."""
    if not FILE.exists():
        return {}
    lines = (line.split("\t") for line in FILE.read_text().splitlines())
    return {test: Outcome(status, why) for test, status, why in lines}


def write(found: dict[str, Outcome]) -> None:
    """A line for each test, so that they can be compared like a program."""
    lines = []
    for test, outcome in sorted(found.items()):
        why = cause(outcome.why) if outcome.status == FAILED else outcome.why
        lines.append(f"{test}\t{outcome.status}\t{' '.join(why.split())}\n")
    FILE.write_text("".join(lines))


def changes(before: dict[str, Outcome], found: dict[str, Outcome]) -> list[str]:
    """A line for each test that ended otherwise than before, or is new."""
    return [
        f"{before[test].status if test in before else 'new'} -> {outcome.status}: {test}"
        for test, outcome in sorted(found.items())
        if before and (test not in before or before[test].status != outcome.status)
    ]


def cause(why: str) -> str:
    """The line of a traceback that says most."""
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("Details: ")]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Mismatch|Fault)\b", line)]
    return (said or raised or lines or ["It says nothing."])[-1][:300]


def failures(found: dict[str, Outcome]) -> str:
    """Each test that failed and has no reason to, with what it said."""
    return "\n".join(
        f"=== {test}\n{outcome.why}\n"
        for test, outcome in sorted(found.items())
        if outcome.status == FAILED and not reason(test)
    )


def all_skipped(found: dict[str, Outcome]) -> str:
    """That nothing was tested, and why, if each test was skipped; else empty."""
    if any(outcome.status != SKIPPED for outcome in found.values()):
        return ""
    whys = Counter(" ".join(outcome.why.split()) for outcome in found.values())
    said = [f"  {count} of {len(found)}: {why}" for why, count in whys.most_common()]
    return "\n".join(["Nothing was tested, all of it was skipped by the suites:", *said])
