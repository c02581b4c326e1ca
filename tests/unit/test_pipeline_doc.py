"""docs/pipeline.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import pipeline_doc
from controller.pipeline import FIELDS, Table


def test_the_page_is_up_to_date() -> None:
    assert pipeline_doc.PAGE.read_text() == pipeline_doc.page(), (
        "docs/pipeline.md is stale: run python -m controller.pipeline_doc"
    )


def test_the_page_tells_of_every_table_and_field() -> None:
    page = pipeline_doc.page()
    for table in Table:
        assert f"### {table.id} {table.name}\n\n{table.doc}" in page
    for field in FIELDS:
        assert f"| {field.name} | `{field}` |" in page


def test_check_tells_a_stale_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_doc, "PAGE", tmp_path / "docs" / "pipeline.md")
    assert pipeline_doc.main(["--check"]) == 1
    assert pipeline_doc.main([]) == 0
    assert pipeline_doc.main(["--check"]) == 0
    pipeline_doc.PAGE.write_text("# Something else\n")
    assert pipeline_doc.main(["--check"]) == 1
    assert pipeline_doc.PAGE.read_text() == "# Something else\n"


def test_other_arguments_are_refused_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_doc, "PAGE", tmp_path / "pipeline.md")
    assert pipeline_doc.main(["--chekc"]) == 2
    assert not pipeline_doc.PAGE.exists()
