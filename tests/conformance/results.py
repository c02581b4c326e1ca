# SPDX-License-Identifier: Apache-2.0

"""How it went: kept in ``results.txt`` from one whole run to the next, and compared."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.reasons import reason
from tests.conformance.suites import FAILED, Outcome

FILE = Path(__file__).with_name("results.txt")


def read() -> dict[str, str]:
    """The status of each test at the last whole run; of none before the first."""
    if not FILE.exists():
        return {}
    lines = (line.split(" ", 1) for line in FILE.read_text().splitlines())
    return {test: status for status, test in lines}


def write(found: dict[str, Outcome]) -> None:
    lines = [f"{outcome.status} {test}" for test, outcome in sorted(found.items())]
    FILE.write_text("\n".join(lines) + "\n")


def changes(before: dict[str, str], found: dict[str, Outcome]) -> list[str]:
    """A line for each test that ended otherwise than before, or is new."""
    return [
        f"{before.get(test, 'new')} -> {outcome.status}: {test}"
        for test, outcome in sorted(found.items())
        if before and before.get(test) != outcome.status
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
