# SPDX-License-Identifier: Apache-2.0

"""docs/pipeline.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.controller.openflow.pipeline import FIELDS, Table
from tenantry.controller.sample import pipeline_page


def test_the_page_is_up_to_date() -> None:
    assert pipeline_page.PAGE.read_text() == pipeline_page.page(), (
        "docs/pipeline.md is stale: run python -m tenantry.controller.sample.pipeline_page"
    )


def test_the_page_tells_of_every_table_and_field() -> None:
    page = pipeline_page.page()
    for table in Table:
        assert f"### {table.id} {table.name}\n\n{table.doc}" in page
    for field in FIELDS:
        assert f"| {field.name} | `{field}` |" in page


def test_check_tells_a_stale_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_page, "PAGE", tmp_path / "docs" / "pipeline.md")
    assert pipeline_page.main(["--check"]) == 1
    assert pipeline_page.main([]) == 0
    assert pipeline_page.main(["--check"]) == 0
    pipeline_page.PAGE.write_text("# Something else\n")
    assert pipeline_page.main(["--check"]) == 1
    assert pipeline_page.PAGE.read_text() == "# Something else\n"


def test_other_arguments_are_refused_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_page, "PAGE", tmp_path / "pipeline.md")
    assert pipeline_page.main(["--chekc"]) == 2
    assert not pipeline_page.PAGE.exists()
