# SPDX-License-Identifier: Apache-2.0

"""``ovs-ofctl`` as a second opinion: how Open vSwitch itself reads our bytes and our text."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from tenantry.controller.openflow import codec


def read_bytes(bodies: Iterable[bytes]) -> list[str]:
    """Flow-mod bodies as Open vSwitch prints them, one line each; errors read as such."""
    messages = (codec.message(codec.FLOW_MOD, 0, body) for body in bodies)
    return _lines("ofp-parse", b"".join(messages))


def read_text(texts: Iterable[str]) -> list[str]:
    """Flows written for ``ovs-ofctl add-flows`` as Open vSwitch prints what it would send."""
    return _lines("parse-flows", "\n".join(texts).encode())


def without_cookie(line: str) -> str:
    """Text has no cookie of ours; bytes have."""
    return re.sub(r"\bcookie:0x[0-9a-f]+ ", "", line)


def _lines(command: str, data: bytes) -> list[str]:
    done = subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow14", command, "/dev/stdin"],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr, done.stderr.decode()
    lines = re.sub(r" ?\(xid=0x[0-9a-f]+\)", "", done.stdout.decode()).splitlines()
    return [line for line in lines if line.startswith("OFPT_FLOW_MOD") or "***" in line]
