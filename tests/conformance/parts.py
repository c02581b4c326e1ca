# SPDX-License-Identifier: Apache-2.0

"""Parts of the suites: what ``PART=`` chooses."""

from __future__ import annotations

from tests.conformance.suites import SUITES

CI = (
    "tempest.api.network.test_networks.",
    "tempest.api.network.test_routers.",
)
"""Modules and classes that go through every feature once, in a minute."""


def chosen(tests: list[str], suite: str | None, part: str | None) -> list[str]:
    """The tests of a suite and a part: ``ci``, or a text that is in their names."""
    return [
        test
        for test in tests
        if test.startswith(SUITES[suite] if suite else "")
        and (test.startswith(CI) if part == "ci" else part is None or part in test)
    ]
