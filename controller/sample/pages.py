# SPDX-License-Identifier: Apache-2.0

"""Writes the pages under ``docs/`` that are made of the code: ``make docs``. With ``--check`` it
writes nothing, and exits with 1 if one of them is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from tenantry.controller.sample import drops_page, model_page, pipeline_page

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES = {
    "drops.md": drops_page.page,
    "model.md": model_page.page,
    "pipeline.md": pipeline_page.page,
}


def stale(docs: Path) -> list[str]:
    """The pages that are not what they should be."""
    paths = {name: docs / name for name in PAGES}
    return [
        name
        for name, path in paths.items()
        if not path.exists() or path.read_text() != PAGES[name]()
    ]


def main(arguments: list[str], docs: Path = DOCS) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python -m tenantry.controller.sample.pages [--check]", file=sys.stderr)
        return 2
    if not arguments:
        docs.mkdir(exist_ok=True)
        for name, page in PAGES.items():
            (docs / name).write_text(page())
        return 0
    names = stale(docs)
    if names:
        print(f"stale: {', '.join(names)}; run make docs", file=sys.stderr)
    return int(bool(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
