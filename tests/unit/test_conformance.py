# SPDX-License-Identifier: Apache-2.0

"""What `make conformance` says of what the suites have found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import page, parts, results
from tests.conformance.suites import FAILED, PASSED, SKIPPED, Outcome, _meant

ONE = "tempest.api.network.test_networks.NetworksTest.test_one[id-1]"
TWO = "tempest.api.network.test_networks.NetworksTest.test_two[id-2,smoke]"
THREE = "neutron_tempest_plugin.api.test_ports.PortsTest.test_three[id-3]"
TRACEBACK = """\
Traceback (most recent call last):
  File "x.py", line 1, in test_two
tempest.lib.exceptions.BadRequest: Bad request
Details: {'type': 'InvalidInput', 'message': 'a | b'}
"""
FOUND = {
    ONE: Outcome(PASSED),
    TWO: Outcome(FAILED, TRACEBACK),
    THREE: Outcome(SKIPPED, "neutron extension qos not enabled."),
}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "results.txt"
    monkeypatch.setattr(results, "FILE", path)
    return path


def test_what_changed_since_the_last_time() -> None:
    assert results.changes(results.read(), FOUND) == []  # there was none
    results.write(FOUND)
    now = {**FOUND, TWO: Outcome(PASSED), "tempest.api.network.new": Outcome(PASSED)}
    assert results.changes(results.read(), now) == [
        "new -> passed: tempest.api.network.new",
        f"failed -> passed: {TWO}",
    ]


def test_parts() -> None:
    tests = [*FOUND]
    assert parts.chosen(tests, None, None) == tests
    assert parts.chosen(tests, "neutron", None) == [THREE]
    assert parts.chosen(tests, None, "ci") == [ONE, TWO]
    assert parts.chosen(tests, None, "test_three") == [THREE]
    results.write(FOUND)
    assert parts.chosen(tests, None, "failed") == [TWO]


def test_the_page_has_counts_failures_and_reasons_of_skips() -> None:
    results.write(FOUND)
    for found in (FOUND, results.read()):
        text = page.text(found)
        assert "| tempest | `tempest.api.network` | 1 | 1 | 0 |" in text
        assert "| together |  | 1 | 1 | 1 |" in text
        assert "NetworksTest.test_two`: `Details: {'type': 'InvalidInput'" in text
        assert "| 1 | neutron extension qos not enabled. |" in text


def test_a_class_that_cannot_be_set_up_is_all_of_its_tests() -> None:
    name = "setUpClass (tempest.api.network.test_networks.NetworksTest)"
    assert _meant(name, [*FOUND]) == [ONE, TWO]
    assert _meant(THREE, [*FOUND]) == [THREE]


def test_when_all_were_skipped_nothing_was_tested() -> None:
    assert results.all_skipped(FOUND) == ""
    assert results.all_skipped({TWO: FOUND[TWO]}) == ""
    words = results.all_skipped({THREE: FOUND[THREE]})
    assert words.splitlines()[0].startswith("Nothing was tested")
    assert words.splitlines()[1] == "  1 of 1: neutron extension qos not enabled."
