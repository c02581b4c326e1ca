# SPDX-License-Identifier: Apache-2.0

"""docs/pipeline.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenantry.controller.openflow.contract import ladder
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.sample import model_page, pages, pipeline_page
from tests.contract import EVERY_FIELD, OWNERS, living


def test_the_pages_are_up_to_date() -> None:
    assert pages.stale(pages.DOCS) == [], "run make docs"


def test_the_page_tells_of_every_table_and_field() -> None:
    page = pipeline_page.page()
    for table in Table:
        about = OWNERS[table].tables[table]
        assert f"### {table.id} {table.name}\n\n{about.job}" in page
        for name, _ in ladder(about.priorities):
            assert name in page.partition(f"### {table.id} ")[2].partition("- Nothing matched")[0]
    for field in EVERY_FIELD:
        assert f"| {field.name} | `{field}` |" in page


def test_the_register_map_says_what_each_register_is_in_each_table() -> None:
    text = pipeline_page.page().partition("between which it lives:\n\n```\n")[2].partition("```")[0]
    map_, _, legend = text.partition("\n\n")
    names = dict(re.findall(r"(\w) (\w+)", legend))
    head, rows = map_.split("\n")[:2], map_.split("\n")[2:]
    start = len(rows[0].split()[0])
    start = rows[0].index("a", start)
    ids = [int(high + low) for high, low in zip(head[0][start:], head[1][start:], strict=True)]
    assert ids == [table.id for table in Table]
    assert {row.split()[0] for row in rows} == {"metadata", *(f"reg{n}" for n in range(16))}
    for row in rows:
        register, cells = row.split()[0], row[start:]
        for table, cell in zip(Table, cells, strict=True):
            field = living(register, table)
            assert names.get(cell) == (field.name if field else None), (register, table)


def test_the_page_of_the_model_tells_of_every_record() -> None:
    page = model_page.page()
    for module in model_page.modules():
        for record in model_page.records(module):
            assert f"### {record.__name__}\n" in page
    assert "| `mac` | `int` | `mac_address` |" in page


def test_check_tells_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = tmp_path / "docs"
    assert pages.main(["--check"], docs) == 1
    assert pages.main([], docs) == 0
    assert pages.main(["--check"], docs) == 0
    (docs / "pipeline.md").write_text("# Something else\n")
    assert pages.main(["--check"], docs) == 1
    assert capsys.readouterr().err.endswith("stale: pipeline.md; run make docs\n")
    assert (docs / "pipeline.md").read_text() == "# Something else\n"


def test_other_arguments_are_refused_and_write_nothing(tmp_path: Path) -> None:
    assert pages.main(["--chekc"], tmp_path / "docs") == 2
    assert not (tmp_path / "docs").exists()
