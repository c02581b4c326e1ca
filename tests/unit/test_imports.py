# SPDX-License-Identifier: Apache-2.0

"""The floors of the house: who may import whom, and how long a file may be
(docs/architecture.md, section 2).

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

VALUES = {"openflow", "packets", "model", "store"}
"""The ground: what is known, sent and kept, as values."""

FLOORS = {
    # folder: the folders that it may import, beside itself, runtime.py and log.py
    "openflow": set(),
    "packets": set(),
    "model": set(),
    "store": set(),
    "config": set(),
    "sockets": set(),
    "feature": VALUES | {"config"},
    "engine": VALUES | {"feature"},
    "switch": VALUES | {"feature", "engine", "sockets", "config"},
    "network": VALUES | {"feature"},
    "service": VALUES | {"feature", "engine", "sockets", "config", "switch", "network"},
    "api": VALUES | {"feature", "engine", "sockets", "config", "switch", "network", "service"},
    "apps": VALUES | {"feature", "network", "config", "client"},
    "sample": VALUES | {"feature", "engine", "network", "apps"},
    "client": {"config"},
    "worker": {"feature", "client"},
    "cli": {
        "config",
        "sockets",
        "serve",
        "opening",
        "preflight",
        "apps",
        "client",
        "feature",
        "api",
    },
    "serve": {*VALUES, "feature", "engine", "sockets", "config", "switch", "network", "service"}
    | {"api", "apps", "preflight", "opening"},
    "opening": {"config", "sockets", "store"},
    "preflight": {"config", "feature", "sockets", "switch"},
    "__main__": {"cli"},
    "runtime": set(),
    "log": set(),
    "": set(),
}
"""Three floors: the core, which knows no feature; ``network``, what features share; the
features."""

LIBRARIES = {
    "os_ken": ("controller/switch/",),
    "ovs": ("controller/switch/",),
    "eventlet": ("controller/runtime.py",),
    "sqlalchemy": (  # the last two: the database's URL
        *("controller/store/", "controller/opening.py", "controller/preflight.py"),
    ),
}
"""Who may import a library: nobody else."""

PUBLIC = ("records", "tables")
"""The modules of a feature that other features may import."""

LINES = 400


def imports(source: str) -> Iterator[str]:
    """Every module that a source text imports anywhere, with its dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute in this project"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def floor(file: str) -> str:
    """The floor on which a file of the project is."""
    top, *below = file.removesuffix(".py").split("/")
    return "apps" if top == "apps" else below[0].removeprefix("__init__")


def forbidden(file: str, source: str) -> list[str]:
    """What the source text imports, as this file of the project, and must not."""
    found = []
    own = floor(file)
    for module in imports(source):
        top, *below = module.split(".")
        assert top not in ("controller", "apps"), "the package is tenantry"
        if top == "tenantry":
            folder, place = below[0], below[1] if len(below) > 1 else ""
            other = "apps" if folder == "apps" else place
            if other not in (own, "runtime", "log", *FLOORS[own]):
                found.append(module)
            elif own == other == "apps" and file != "apps/__init__.py":
                public = len(below) > 2 and below[2] in PUBLIC
                if place != file.split("/")[1] and not public:
                    found.append(module)
        elif not file.startswith(LIBRARIES.get(top, ("",))):
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
        ("apps/l2/flows.py", "from tenantry.apps.provider import PROVIDER"),
        ("apps/l2/flows.py", "from tenantry.apps import APPS"),
        ("apps/l2/flows.py", "from tenantry.apps.provider.flows import compile_common"),
        ("apps/l2/flows.py", "from tenantry.controller.service.loop import Loop"),
        ("controller/engine/engine.py", "def late():\n    import eventlet"),
        ("controller/engine/engine.py", "from tenantry.controller.network import routers"),
        ("controller/model/model.py", "from tenantry.controller.network.routers import home"),
        ("controller/openflow/flow.py", "from tenantry.controller.model import View"),
        ("controller/api/server.py", "import os_ken.base"),
        ("controller/engine/engine.py", "from tenantry.apps.l2 import L2"),
        ("controller/switch/host.py", "from tenantry.controller import network"),
    ],
)
def test_sees_what_is_forbidden(file: str, source: str) -> None:
    assert forbidden(file, source)


@pytest.mark.parametrize("kind", ["records", "tables"])
def test_a_features_public_face_may_be_seen(kind: str) -> None:
    source = f"from tenantry.apps.provider.{kind} import Something"
    assert forbidden("apps/l2/flows.py", source) == []


def test_no_module_leads_back_to_itself() -> None:
    """No circle of imports, also not by a way around."""
    modules = {
        f"tenantry.{file[:-3].replace('/', '.').removesuffix('.__init__')}" for file in FILES
    }
    leads: dict[str, set[str]] = {}
    for file in FILES:
        name = f"tenantry.{file[:-3].replace('/', '.').removesuffix('.__init__')}"
        leads[name] = set()
        for node in ast.parse((ROOT / file).read_text()).body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    one = f"{node.module}.{alias.name}"
                    target = one if one in modules else node.module
                    if target in modules and target != name:
                        leads[name].add(str(target))
    while ends := [name for name, others in leads.items() if not others]:
        for name in ends:
            del leads[name]
        for others in leads.values():
            others -= set(ends)
    assert not leads, f"circles among {sorted(leads)}"


def test_what_features_send_leaves_by_the_pipeline() -> None:
    """A packet is for a port or a network; which port of a switch, which tag and which tunnel that
    is, is for the flows of OUTPUT to say."""
    packets = [file for file in FILES if file.endswith("/packets.py")]
    assert len(packets) > 5
    for file in packets:
        names = imports((ROOT / file).read_text())
        assert "tenantry.controller.openflow.flow.Output" not in names, file


def test_mininet_folder_does_not_shadow_the_real_package() -> None:
    assert not (ROOT / "mininet" / "__init__.py").exists()


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_read_in_one_sitting(file: str) -> None:
    assert len((ROOT / file).read_text().splitlines()) <= LINES
