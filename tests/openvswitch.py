# SPDX-License-Identifier: Apache-2.0

"""An Open vSwitch of a test's own: database, daemon and sockets in one directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tenantry.controller.cli import openvswitch
from tenantry.controller.cli.openvswitch import SCHEMA

__all__ = ["SCHEMA", "OpenVSwitch"]

DUMMY = ("--enable-dummy=override", "--disable-system")


class OpenVSwitch(openvswitch.OpenVSwitch):
    """Runs from ``with`` to its end. ``dummy``: no root and no packets, but real flow tables.
    ``schema``: of another version, say."""

    def __init__(self, dummy: bool = False, schema: str = SCHEMA) -> None:
        self.dummy = dummy
        # The paths of Unix sockets are short: 107 bytes, which tests' own directories exceed.
        directory = Path(tempfile.mkdtemp(prefix="tenantry-ovs-"))
        super().__init__(directory, schema=schema, options=DUMMY if dummy else ())
        self.environment: Mapping[str, str] = {**os.environ, **self.environment}

    def __enter__(self) -> OpenVSwitch:
        try:
            self.start(hostname="test-host")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ofctl(self, *words: str) -> str:
        """``ovs-ofctl -O OpenFlow14``; write the bridge as its name."""
        return self._run("ovs-ofctl", "-O", "OpenFlow14", *words)

    def appctl(self, *words: str) -> str:
        return self._run("ovs-appctl", "-t", str(self.control), *words)

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def add_bridge(self, name: str, controller: str | None = None) -> None:
        kind = "dummy" if self.dummy else "netdev"
        self.vsctl(
            *("add-br", name, "--", "set", "bridge", name),
            *(f"datapath_type={kind}", "fail_mode=secure", "protocols=OpenFlow14"),
        )
        if controller:
            self.vsctl("set-controller", name, controller)
