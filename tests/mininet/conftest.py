"""What the Mininet tests share: the tenantry command, and the modules beside the demo."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests import namespace
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"  # Mininet is installed for Debian's own


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
    command.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m controller "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return command
