# SPDX-License-Identifier: Apache-2.0

"""Each file says its licence, in the words that tools read (SPDX, REUSE)."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("controller", "apps", "tests", "mininet")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

LINE = "# SPDX-License-" + "Identifier: Apache-2.0"  # in two, so that this file has it once


def says_its_licence(text: str) -> bool:
    """In its first line, or the second behind ``#!``; once."""
    first, *rest = text.splitlines() or [""]
    line = rest[0] if first.startswith("#!") and rest else first
    return line == LINE and text.count(LINE) == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_it_says_its_licence(file: Path) -> None:
    assert says_its_licence(file.read_text()), f"begin it with: {LINE}"


def test_what_says_none_is_seen() -> None:
    assert says_its_licence(f"{LINE}\n") and says_its_licence(f"#!/bin/sh\n{LINE}\n")
    for text in ("", "x = 1\n", f"x = 1\n{LINE}\n", f"{LINE}-only\n", f"{LINE}\n{LINE}\n"):
        assert not says_its_licence(text)
