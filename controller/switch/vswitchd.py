# SPDX-License-Identifier: Apache-2.0

"""Commands to ovs-vswitchd, by its control socket, as of ovs-appctl(8)."""

from __future__ import annotations

import os
from pathlib import Path

from ovs.unixctl.client import UnixctlClient

from tenantry.controller import runtime

ANSWER_SECONDS = 30.0
"""How long ovs-vswitchd may take for one."""


def command(directory: Path, name: str, words: list[str]) -> str:
    """What ovs-vswitchd answers to a command. Errors: OSError."""
    sockets = sorted(directory.glob("ovs-vswitchd*.ctl"), key=lambda path: path.stat().st_mtime)
    if not sockets:
        raise OSError(f"ovs-vswitchd has no control socket in {directory}")
    with runtime.Timeout(ANSWER_SECONDS, TimeoutError("ovs-vswitchd does not answer")):
        failed, daemon = UnixctlClient.create(str(sockets[-1]))
        if failed:
            raise OSError(failed, os.strerror(failed))
        try:
            failed, refusal, answer = daemon.transact(name, words)
        finally:
            daemon.close()
    if failed or refusal:
        raise OSError(f"{name}: {refusal or 'ovs-vswitchd hung up'}")
    return str(answer)
