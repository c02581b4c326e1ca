# SPDX-License-Identifier: Apache-2.0

"""Tests that make no sense here, each with a reason that a user would accept.

They are run all the same: one that passes is no longer to be here.
"""

from __future__ import annotations

REASONS: dict[str, str] = {}
"""By what the name of the test begins with."""


def reason(test: str) -> str | None:
    """Why a test may fail."""
    return next((why for start, why in REASONS.items() if test.startswith(start)), None)
