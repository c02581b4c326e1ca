# SPDX-License-Identifier: Apache-2.0

"""An Open vSwitch of a test's own: database, daemon and sockets in one directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.namespace import run

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

_TLS = ("private_key", "certificate", "ca_cert")


class OpenVSwitch:
    """Runs from ``with`` to its end. ``dummy``: no root and no packets, but real flow tables.
    ``schema``: of another version, say."""

    def __init__(self, dummy: bool = False, schema: str = SCHEMA) -> None:
        self.dummy = dummy
        self._schema = schema
        # The paths of Unix sockets are short: 107 bytes, which tests' own directories exceed.
        self.directory = Path(tempfile.mkdtemp(prefix="tenantry-ovs-"))
        self._environment = {
            **os.environ,
            **dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(self.directory)),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def remote(self) -> str:
        """Where its OVSDB listens."""
        return f"unix:{self.directory}/db.sock"

    def __enter__(self) -> OpenVSwitch:
        try:
            run("ovsdb-tool", "create", str(self.directory / "conf.db"), self._schema)
            self.start_database()
            self.vsctl("--no-wait", "init")
            self.start_switch()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self._processes.values()):
            process.terminate()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_database(self) -> None:
        """Start ovsdb-server as distributions do: managers and TLS are what the database says."""
        told = [f"--{w.replace('_', '-')}=db:Open_vSwitch,SSL,{w}" for w in _TLS]
        managers = "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"
        remote = f"--remote=punix:{self.directory}/db.sock"
        self._start("ovsdb-server", str(self.directory / "conf.db"), remote, managers, *told)
        self._until_listening(self.directory / "db.sock")

    def crash_database(self) -> None:
        """End ovsdb-server as a crash would; what it had written stays."""
        self._crash("ovsdb-server")

    def start_switch(self) -> None:
        """Start ovs-vswitchd and wait until it has taken in the database."""
        dummy = ["--enable-dummy=override", "--disable-system"] if self.dummy else []
        self._start("ovs-vswitchd", f"unix:{self.directory}/db.sock", *dummy)
        self.vsctl("set", "Open_vSwitch", ".", "external_ids:hostname=test-host")

    def stop_switch(self) -> None:
        """End ovs-vswitchd as a crash would; the database stays."""
        self._crash("ovs-vswitchd")

    def _crash(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def _start(self, *words: str) -> None:
        name = words[0]
        with open(self.directory / f"{name}.log", "ab") as log:
            pidfile = f"--pidfile={self.directory}/{name}.pid"
            control = f"--unixctl={self.directory}/{name}.ctl"
            self._processes[name] = subprocess.Popen(
                self._command([*words, pidfile, control]),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _command(self, words: list[str]) -> list[str]:
        """The words that run a daemon where it belongs."""
        return words

    @staticmethod
    def _until_listening(path: Path) -> None:
        """ovs-vsctl's own ``--retry`` waits a whole second before it tries again."""
        deadline = time.monotonic() + 10
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                return
            except OSError:
                assert time.monotonic() < deadline, "ovsdb-server does not come up"
                time.sleep(0.002)

    def vsctl(self, *words: str) -> str:
        return run("ovs-vsctl", f"--db={self.remote}", "--timeout=20", *words)

    def ofctl(self, *words: str) -> str:
        """``ovs-ofctl -O OpenFlow14``; write the bridge as its name."""
        return self._run("ovs-ofctl", "-O", "OpenFlow14", *words)

    def appctl(self, *words: str) -> str:
        return self._run("ovs-appctl", "-t", f"{self.directory}/ovs-vswitchd.ctl", *words)

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, env=self._environment)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    @property
    def environment(self) -> Mapping[str, str]:
        """Leads every ovs-* command to this Open vSwitch."""
        return self._environment

    def add_bridge(self, name: str, controller: str | None = None) -> None:
        kind = "dummy" if self.dummy else "netdev"
        self.vsctl(
            *("add-br", name, "--", "set", "bridge", name),
            *(f"datapath_type={kind}", "fail_mode=secure", "protocols=OpenFlow14"),
        )
        if controller:
            self.vsctl("set-controller", name, controller)
