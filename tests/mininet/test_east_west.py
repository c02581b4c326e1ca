"""The experiment, shortened: it finds what it should, and draws it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.mininet.conftest import SYSTEM_PYTHON

COUNT = 200
PNG = b"\x89PNG\r\n\x1a\n"


def test_east_west_traffic_stays_off_the_gateway(
    mininet: Path, tenantry: Path, tmp_path: Path
) -> None:
    python = tenantry.with_name("python")  # whatever runs tenantry also draws
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    drawn = tmp_path / "drawn.png"
    words = [SYSTEM_PYTHON, "-B", str(mininet / "east_west.py"), "--tenantry", str(tenantry)]
    done = subprocess.run(
        [*words, "--png", str(drawn), "--count", str(COUNT)],
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"distributed\s+{COUNT} .*s1: {COUNT}, s2: {COUNT}, gw: 0", done.stdout)
    assert "does not pass the gateway's switch" in done.stdout
    assert drawn.read_bytes().startswith(PNG)
