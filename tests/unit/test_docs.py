# SPDX-License-Identifier: Apache-2.0

"""The pages lead where they say, to headings and files; the change log takes its fragments."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tenantry.controller.openflow.pipeline import Table

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a page in the order of its text, those of its lines after the line's own."""
    for token in MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


def links(text: str) -> list[str]:
    """Where a page leads by links and pictures, but for other sites."""
    found = [str(t.attrGet("href") or t.attrGet("src") or "") for t in tokens(text)]
    return [target for target in found if target and not re.match(r"[a-z]+:", target)]


@cache
def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them: "A b, `c`" is a-b-c."""
    found: dict[str, int] = {}
    parsed = MARKDOWN.parse(text)
    for opening, line in itertools.pairwise(parsed):
        if opening.type == "heading_open":
            words = "".join(token.content for token in line.children or ())
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found[name] = found.get(name, -1) + 1
    return {f"{name}-{n}" if n else name for name, count in found.items() for n in range(count + 1)}


PLACES = [
    f"/{path.relative_to(ROOT).as_posix()}" + "/" * path.is_dir()
    for folder in (".ci", "apps", "controller", "docs", "mininet", "tests")
    for path in [ROOT / folder, *(ROOT / folder).rglob("*")]
]


def nowhere(text: str) -> list[str]:
    """Files and folders that a page names and that are not there; a part of the path is enough.
    Capitals stand for something, ``no_mail`` is made up, and ``build/`` is made later."""
    spans = [token.content for token in tokens(text) if token.type == "code_inline"]
    named = [span for span in spans if re.fullmatch(r"[a-z._][a-z0-9._/-]*(\.py|/)", span)]
    return [
        name
        for name in named
        if "no_mail" not in name
        and name != "build/"
        and not any(place.endswith(f"/{name}") for place in PLACES)
    ]


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(text):
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        there = target.exists()
        if there and anchor:
            there = anchor in anchors(text if target == page else target.read_text())
        if not there:
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_is_there(page: Path) -> None:
    assert nowhere(page.read_text()) == []


def test_files_that_are_nowhere_are_seen() -> None:
    there = "`controller/openflow/`, `network/`, `frames.py`, `apps/NAME/flows.py`, `a.b` and `x/y`"
    assert nowhere(there) == []
    assert nowhere("`controller/gone/`, `gone.py`, `rames.py`") == [
        *("controller/gone/", "gone.py", "rames.py")
    ]


def test_links_that_lead_nowhere_are_seen() -> None:
    page = ROOT / "docs" / "architecture.md"
    good = "# One, `two` idea\n[a](#one-two-idea) [b](testing.md#traps) ![c](../README.md)\n"
    assert len(links(good)) == 3 and broken(page, good) == []
    bad = "[a](#one) [b](testing.md#no-such) [c](gone.md) `[d](gone.md)` [e](https://x.org/y)\n"
    assert broken(page, bad) == ["#one", "testing.md#no-such", "gone.md"]


def test_headings_of_one_name_are_numbered() -> None:
    assert anchors("# A\n## B\n## B\n") == {"a", "b", "b-1"}


def test_the_architecture_has_all_tables() -> None:
    """By id and name, and none but those and the reserved, which are in italics."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| (.+?) \| ([\d, ]+) \| (.+?) \|$", text, re.MULTILINE)
    pairs = [pair for a, b, c, d in rows for pair in ((a, b), (c, d))]
    told = [
        (int(id), name)
        for ids, names in pairs
        for id, name in zip(ids.split(", "), names.split(", "), strict=True)
        if not name.startswith("*")
    ]
    assert sorted(told) == sorted((table.id, table.name) for table in Table)


def test_fragments_of_the_change_log_are_of_a_kind() -> None:
    """towncrier refuses what is misnamed, and says so; what it shows has every fragment's text."""
    words = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for fragment in (ROOT / "docs" / "changes").iterdir():
        if fragment.name != "README.md":
            assert fragment.read_text().split() and fragment.read_text().strip() in shown.stdout
