"""The rules of who may import what, and how long a file may be (docs/architecture.md, section 2).

They are what lets a feature be read on its own, and a library be replaced in one place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("controller", "apps")
    for path in (ROOT / folder).rglob("*.py")
)

ALLOWED = {
    "os_ken": ("controller/switch/",),
    "eventlet": ("controller/runtime.py",),
    "sqlalchemy": ("controller/store/", "controller/serve.py"),  # serve: the database's URL
    "apps": ("apps/", "controller/serve.py", "controller/sample/pipeline_page.py"),
}
"""Who may import a library or the list of features: nobody else."""

ENGINE_LINES, FEATURE_LINES = 420, 400


def imports(source: str) -> Iterator[str]:
    """Every module that a source text imports anywhere, with its dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute in this project"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def forbidden(file: str, source: str) -> list[str]:
    """What the source text imports, as this file of the project, and must not."""
    found = []
    for module in imports(source):
        top, *below = module.split(".")
        if not file.startswith(ALLOWED.get(top, ("",))):
            found.append(module)
        elif top == "apps" and file.startswith("apps/") and file != "apps/__init__.py":
            own = file.split("/")[1]
            if not below or below[0] != own:
                found.append(module)
    return found


@pytest.mark.parametrize("file", FILES)
def test_imports_only_what_it_may(file: str) -> None:
    assert forbidden(file, (ROOT / file).read_text()) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("apps/l2/flows.py", "import os_ken.base"),
        ("apps/l2/flows.py", "from sqlalchemy import select"),
        ("apps/l2/flows.py", "from apps.provider import PROVIDER"),
        ("apps/l2/flows.py", "from apps import APPS"),
        ("controller/engine/engine.py", "def late():\n    import eventlet"),
        ("controller/api/server.py", "import os_ken.base"),
        ("controller/engine/engine.py", "from apps.l2 import L2"),
    ],
)
def test_sees_what_is_forbidden(file: str, source: str) -> None:
    assert forbidden(file, source)


def test_what_features_send_leaves_by_the_pipeline() -> None:
    """A packet is for a port or a network; which port of a switch, which tag and which tunnel that
    is, is for the flows of OUTPUT to say."""
    packets = [file for file in FILES if file.endswith("/packets.py")]
    assert len(packets) > 5
    for file in packets:
        assert "tenantry.controller.openflow.flow.Output" not in imports(
            (ROOT / file).read_text()
        ), file


def test_mininet_folder_does_not_shadow_the_real_package() -> None:
    assert not (ROOT / "mininet" / "__init__.py").exists()


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("apps/")])
def test_a_feature_is_read_in_one_sitting(file: str) -> None:
    assert len((ROOT / file).read_text().splitlines()) < FEATURE_LINES


def test_the_engine_is_read_in_one_sitting() -> None:
    assert len((ROOT / "controller/engine/engine.py").read_text().splitlines()) < ENGINE_LINES
