# SPDX-License-Identifier: Apache-2.0

"""``make conformance``: run the suites, say what became of them, and what changed since last time.

Exits with 1 if a test fails that should not (one that has no reason in ``reasons.py``), or if all
of them were skipped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests import namespace
from tests.conformance import page, parts, results, settings
from tests.conformance.cloud import cloud
from tests.conformance.reasons import reason
from tests.conformance.suites import FAILED, SUITES, Outcome, Suites, suite

ROOT = Path(__file__).parents[2]
BUSY = ("database is locked",)
"""What a Keystone on SQLite says, with a 500, to whoever comes at the wrong moment."""

_started = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("--venv", type=Path, required=True, help="where the suites are installed")
    parser.add_argument("--suite", choices=SUITES, help="this one alone")
    parser.add_argument("--part", help="ci, failed, or a text that is in the names")
    arguments = parser.parse_args()
    if not namespace.allowed():
        print("This makes a network namespace: run it as root, or with sudo.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tenantry-conformance-") as name:
        directory = Path(name)
        say("starting Keystone, Open vSwitch and the controller")
        with cloud(directory) as made:
            settings.write(made, directory)
            suites = Suites(arguments.venv.resolve(), directory)
            say("looking for tests")
            tests = suites.tests()
            chosen = parts.chosen(tests, arguments.suite, arguments.part)
            if not chosen:
                print("There is no such test.", file=sys.stderr)
                return 1
            found = run(suites, chosen)
        (ROOT / "build").mkdir(exist_ok=True)
        for file in (
            "tempest.log",
            "controller.log",
            "keystone.log",
            "tempest.conf",
            "octavia.conf",
        ):
            if (directory / file).exists():
                (directory / file).rename(ROOT / "build" / f"conformance-{file}")
    if arguments.part == "failed" or (arguments.suite and not arguments.part):
        before = {test: outcome for test, outcome in results.read().items() if test in tests}
        # All others are as they were.
        status = conclude(before | found, whole=True, alone=arguments.part == "failed")
    else:
        status = conclude(found, whole=chosen == tests)
    if idle := results.all_skipped(found):
        print(f"\n{idle}", file=sys.stderr)
        return 1
    return status


def run(suites: Suites, tests: list[str]) -> dict[str, Outcome]:
    """What became of these tests; those that met a busy Keystone are run again, alone."""
    done = 0

    def told(test: str, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.status == FAILED and not reason(test):
            say(f"{done} of {len(tests)}: {test} FAILED: {results.cause(outcome.why)}")
        elif done % 50 == 0:
            say(f"{done} of {len(tests)}")

    say(f"running {len(tests)} tests")
    found = suites.run(tests, 2, told)
    again = [t for t, o in found.items() if o.status == FAILED and any(b in o.why for b in BUSY)]
    if again:
        say(f"again, alone, as Keystone's database was locked: {len(again)}")
        done = 0
        found |= suites.run(again, 1, told)
    return found


def conclude(found: dict[str, Outcome], *, whole: bool, alone: bool = False) -> int:
    """Say how it went, and write it down if that makes a ``whole``: the exit status. ``alone``:
    some ran without others of their class, after which they fail."""
    failures = ROOT / "build" / "conformance-failures.txt"
    failures.write_text(results.failures(found))
    before = results.read()
    changes = results.changes(before, found)
    for name in SUITES:
        mine = [outcome.status for test, outcome in found.items() if suite(test) == name]
        if mine:
            counts = ", ".join(f"{mine.count(s)} {s}" for s in ("passed", "failed", "skipped"))
            print(f"{name}: {counts}")
    print("\nSince the last time:", *changes or ["nothing has changed."], sep="\n  ")
    if whole:
        results.write(found)
        page.write(found)
    unexpected = [t for t, o in found.items() if o.status == FAILED and not reason(t)]
    outdated = [t for t, o in found.items() if o.status == "passed" and reason(t)]
    if alone or not whole:
        outdated = []
    for test in outdated:
        print(f"passes, against what reasons.py says: {test}")
    if unexpected:
        print(f"\n{len(unexpected)} failed; why is in {failures.relative_to(ROOT)}")
    return 1 if unexpected or outdated else 0


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:5.0f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
