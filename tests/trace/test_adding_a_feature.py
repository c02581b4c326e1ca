# SPDX-License-Identifier: Apache-2.0

"""What docs/adding-a-feature.md says, done in a copy of the tree: the feature is there, and so
little of the product outside its folder is touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.openvswitch import OpenVSwitch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-feature.md"
PRODUCT = ("controller", "apps", "tenantry")
SECONDS = 300

NEW_FILE = re.compile(r"`(\S+\.py)`[^`]*:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIFF = re.compile(r"^( *)```diff\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def new_files(page: str) -> dict[str, str]:
    """The files that the page shows whole, by their paths."""
    return dict(NEW_FILE.findall(page))


def edits(page: str) -> Iterator[tuple[str, list[str]]]:
    """The files in which the page adds lines; the lines, each with its mark, or a line before."""
    for margin, text in DIFF.findall(page):
        first, *lines = (line.removeprefix(margin) for line in text.splitlines())
        yield first.removeprefix("+++ "), lines


def edited(text: str, lines: list[str]) -> str:
    """A file with what is new behind the lines that begin like those without a mark."""
    found, at = text.splitlines(), -1
    for line in lines:
        if line.startswith("+"):
            at += 1
            found.insert(at, line[1:])
        else:
            at = next(n for n in range(at + 1, len(found)) if found[n].startswith(line[1:]))
    return "\n".join(found) + "\n"


def product(tree: Path) -> dict[str, str]:
    """Its files, by their paths."""
    return {
        path.relative_to(tree).as_posix(): path.read_text()
        for folder in ("controller", "apps")
        for path in (tree / folder).rglob("*.py")
    }


def test_the_page_makes_a_feature_that_touches_two_files(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    for folder in (*PRODUCT, "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=ignored)
    for file in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / file, tmp_path / file)
    before, page = product(tmp_path), PAGE.read_text()
    for path, text in new_files(page).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for path, lines in edits(page):
        (tmp_path / path).write_text(edited((tmp_path / path).read_text(), lines))
    after = product(tmp_path)
    touched = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    outside = {path for path in touched if not path.startswith("apps/no_mail/")}
    assert outside == {"controller/openflow/pipeline.py", "apps/__init__.py"}
    assert {Path(path).stem for path in touched - outside} == {
        *("__init__", "tables", "resources", "records", "flows", "routes", "commands"),
        "policies",
    }
    tests = ["tests/trace/test_no_mail.py", "tests/unit/test_pipeline.py"]
    tests += ["tests/unit/test_policies.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, textwrap.indent(done.stdout[-6000:] + done.stderr, "    ")
