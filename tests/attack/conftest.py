# SPDX-License-Identifier: Apache-2.0

"""Attacks last as long as ATTACK_SECONDS says, several of them in one test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.stage import SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(300 + 6 * SECONDS))
