# SPDX-License-Identifier: Apache-2.0

"""The page of extensions says what is offered, and offers nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenantry.controller.api import application
from tests.api.observed import PARTS

PAGE = Path(__file__).parents[2] / "docs" / "extensions.md"


def aliases(heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    text = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall("`([^`]+)`", row)]


@pytest.fixture(scope="module")
def offered() -> set[str]:
    kinds = application.kinds(parts.extension for parts in PARTS.values() if parts.extension)
    return {definition.ALIAS for e in kinds.extensions for definition in e.definitions}


def test_what_is_offered_is_on_the_page_once(offered: set[str]) -> None:
    told = aliases("Offered")
    assert sorted(told) == sorted(offered)


def test_what_is_not_offered_is_not(offered: set[str]) -> None:
    told = aliases("Not offered")
    assert len(told) == len(set(told)) > 40
    assert not offered & set(told)
