# SPDX-License-Identifier: Apache-2.0

"""``docs/conformance.md``, of what a whole run has found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.conformance.reasons import reason
from tests.conformance.results import cause
from tests.conformance.suites import FAILED, PASSED, SKIPPED, SUITES, Outcome, suite

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")

_HEAD = """\
# Conformance

What the public suites say of the API: {versions}, run by `make conformance` against a
controller of its own on a real Open vSwitch, with a real Keystone (`tenantry keystone init`). This
page is written by it, and is of the last whole run of each suite.

A test is skipped by the suite itself, if the API does not offer the extension that it is about
(`GET /v2.0/extensions`), or if the suite needs more than networks and load balancers. One that
fails, and has no reason to, is a mistake of ours.

Load balancers are tested in real networks, by Keystone's default roles (`admin`, `member`,
`reader`), as Octavia's default policy knows them. `tests/conformance/settings.py` has all that the
suites are told.

"""


def write(found: Mapping[str, Outcome]) -> None:
    PAGE.write_text(text(found))


def text(found: Mapping[str, Outcome]) -> str:
    return _HEAD.format(versions=_versions()) + "\n".join(
        [*_counts(found), *_failures(found), *_skips(found), ""]
    )


def _versions() -> str:
    lines = REQUIREMENTS.read_text().splitlines()
    *most, last = (line.replace(" ==", "") for line in lines if re.match("[a-z]", line))
    return f"{', '.join(most)} and {last}"


def _counts(found: Mapping[str, Outcome]) -> list[str]:
    rows = []
    for name, prefix in SUITES.items():
        counts = Counter(outcome.status for test, outcome in found.items() if suite(test) == name)
        figures = (counts[status] for status in (PASSED, FAILED, SKIPPED))
        rows.append((name, f"`{prefix[:-1]}`", *figures))
    total = ("together", "", *(sum(row[i] for row in rows) for i in (2, 3, 4)))
    return [*_table(("suite", "its modules", PASSED, FAILED, SKIPPED), [*rows, total]), ""]


def _failures(found: Mapping[str, Outcome]) -> list[str]:
    """Those with a reason, by it, then those without."""
    failed = sorted(test for test, outcome in found.items() if outcome.status == FAILED)
    lines = ["## Failed", ""]
    by_reason: dict[str, list[str]] = {}
    for test in failed:
        by_reason.setdefault(reason(test) or "", []).append(test)
    mistakes = by_reason.pop("", [])
    for why, tests in by_reason.items():
        lines += [why, "", *(f"* {_short(test)}" for test in tests), ""]
    if mistakes:
        lines += ["Without a reason, so to be mended:", ""]
        lines += [f"* {_short(test)}: `{cause(found[test].why)}`" for test in mistakes] + [""]
    return lines if failed else [*lines, "None.", ""]


def _skips(found: Mapping[str, Outcome]) -> list[str]:
    why = Counter(
        " ".join(outcome.why.split()) for outcome in found.values() if outcome.status == SKIPPED
    )
    rows = [(count, words) for words, count in sorted(why.items(), key=lambda w: (-w[1], w[0]))]
    return ["## Skipped", "", *_table(("tests", "in the suite's words"), rows)]


def _short(test: str) -> str:
    return f"`{test.partition('[')[0]}`"


def _table(head: tuple[object, ...], rows: list[tuple[object, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    ]
