# SPDX-License-Identifier: Apache-2.0

"""What the Mininet tests share: the tenantry command, and the modules beside the demo."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import namespace
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"  # Mininet is installed for Debian's own
PNG = b"\x89PNG\r\n\x1a\n"

Experiment = Callable[..., str]


@pytest.fixture
def mininet() -> Path:
    """The folder of that name, on a machine that has Mininet."""
    need(namespace.allowed(), "right to make network namespaces (root)")
    for command in ("mn", "ovs-vswitchd", "ping"):
        need(shutil.which(command) is not None, command)
    works = subprocess.run([SYSTEM_PYTHON, "-c", "import mininet.net"], capture_output=True)
    need(works.returncode == 0, f"Mininet for {SYSTEM_PYTHON}")
    return ROOT / "mininet"


@pytest.fixture
def tenantry(tmp_path: Path) -> Path:
    """The command, run from this working copy."""
    command = tmp_path / "bin" / "tenantry"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m tenantry.controller "$@"\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return command


@pytest.fixture
def experiment(mininet: Path, tenantry: Path, tmp_path: Path) -> Experiment:
    """Run an experiment by its name, which succeeds and draws; what it printed."""
    python = tenantry.with_name("python")  # whatever runs tenantry also draws
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    drawn, here = tmp_path / "drawn.png", tmp_path / "t"  # short: Unix sockets lie below it
    here.mkdir()

    def run(name: str, *words: str) -> str:
        done = subprocess.run(
            [
                *(SYSTEM_PYTHON, "-B", str(mininet / f"{name}.py"), "--tenantry", str(tenantry)),
                *("--png", str(drawn), *words),
            ],
            env=os.environ | {"MPLCONFIGDIR": str(tmp_path), "TMPDIR": str(here)},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert drawn.read_bytes().startswith(PNG)
        assert list(here.iterdir()) == []
        return done.stdout

    return run
