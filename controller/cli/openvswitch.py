# SPDX-License-Identifier: Apache-2.0

"""An Open vSwitch of one's own: database, switch daemon and sockets in a private directory.

It shares nothing with an Open vSwitch that the machine may run, as long as each is in a network
namespace of its own (two userspace datapaths in one would both want the interface ``ovs-netdev``).
It must leave nothing behind: both daemons are children, and the kernel ends them should this
process die without a word.

(``mininet/openvswitch.py`` is a link to this file, which needs nothing but Python's standard
library: it runs under the system's Python, too.)
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
VARIABLES = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
TLS = ("private_key", "certificate", "ca_cert")  # columns of the table SSL


class CommandError(RuntimeError):
    """A command, or a daemon, did not do its work; the text names it and has its words."""


class OpenVSwitch:
    """Runs from :meth:`start` to :meth:`stop`.

    ``within`` are the words that run a command in its namespace, if that is another than ours;
    ``options`` are the switch daemon's; ``environment`` leads every ovs-* command to it.
    """

    def __init__(
        self,
        directory: Path,
        within: Sequence[str] = (),
        schema: str = SCHEMA,
        options: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.environment: Mapping[str, str] = dict.fromkeys(VARIABLES, str(directory))
        self.remote = f"unix:{directory}/db.sock"
        self._within, self._schema, self._options = within, schema, options
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = 0

    def start(self, **external_ids: str) -> None:
        """Start both daemons; the Open vSwitch says ``external_ids`` of itself.

        Raises CommandError with the daemons' own words when it does not come up.
        """
        self.start_database()
        words = [f"external_ids:{key.replace('_', '-')}={v}" for key, v in external_ids.items()]
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *words)
        self.start_switch()

    def start_database(self) -> None:
        """Start the database's daemon as distributions do: managers (set-manager) and TLS (set-ssl)
        are what the database says, which is made if it is not there."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        database, door = self.directory / "conf.db", self.directory / "db.sock"
        if not database.exists():
            run("ovsdb-tool", "create", database, self._schema)
        server = self._start(
            *("ovsdb-server", database, f"--remote=punix:{door}"),
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            *(f"--{word.replace('_', '-')}=db:Open_vSwitch,SSL,{word}" for word in TLS),
        )
        until_listens(server, door)

    def start_switch(self) -> None:
        """Start the switch daemon, which does what the database says."""
        self._start("ovs-vswitchd", self.remote, *self._options)
        try:
            # ovs-vsctl returns when the switch daemon has taken everything in, if it changes any.
            self._starts += 1
            self.vsctl("set", "Open_vSwitch", ".", f"external_ids:starts={self._starts}")
        except CommandError as error:
            log = (self.directory / "ovs-vswitchd.log").read_text()
            raise CommandError(f"ovs-vswitchd did not come up: {error}\n{log[-2000:]}") from None

    def crash_switch(self) -> None:
        """The switch daemon dies, and takes the userspace datapath with it; the database stays."""
        self._crash("ovs-vswitchd")

    def crash_database(self) -> None:
        """The database's daemon dies; what it had written stays."""
        self._crash("ovsdb-server")

    def stop(self) -> None:
        """End whatever runs."""
        while self._daemons:
            stop(self._daemons.popitem()[1])

    def vsctl(self, *words: object) -> str:
        """Run ovs-vsctl; return what it printed. Raises CommandError with its words."""
        return run("ovs-vsctl", f"--db={self.remote}", "--timeout=20", *words)

    @property
    def control(self) -> Path:
        """The switch daemon's control socket: ovs-appctl(8)."""
        return self.directory / f"ovs-vswitchd.{self._daemons['ovs-vswitchd'].pid}.ctl"

    def _crash(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def _start(self, *command: object) -> subprocess.Popen[bytes]:
        name = str(command[0])
        words = (*self._within, *command, "--pidfile")
        started = daemon(*words, directory=self.directory, name=name, **self.environment)
        self._daemons[name] = started
        return started


def daemon(
    *command: object, directory: Path, name: str = "", **environment: str
) -> subprocess.Popen[bytes]:
    """Start a child that logs to ``directory``, hears no Ctrl-C and does not outlive this process.

    Call it from the main thread: the kernel's promise is tied to the thread that started the child.
    """
    words = [str(word) for word in command]
    with open(directory / f"{name or Path(words[0]).name}.log", "ab") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def until_listens(daemon: subprocess.Popen[bytes], path: Path) -> None:
    """Wait until a daemon accepts connections at a Unix socket; the file is there a moment earlier.

    Raises CommandError if the daemon ends instead.
    """
    while True:
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(path))
            return
        if daemon.poll() is not None:
            raise CommandError(f"{daemon.args!r} did not come up: exit status {daemon.returncode}")
        time.sleep(0.01)  # ovs-vsctl --retry would sleep a second


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a daemon and wait until it is gone."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(*command: object) -> str:
    """Run a command; return what it printed. Raises CommandError that names it and its words."""
    words = [str(word) for word in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        raise CommandError(f"{words[0]} is not installed; `tenantry doctor` tells how") from None
    if result.returncode:
        words_of_it = (result.stderr or result.stdout).strip()
        raise CommandError(f"`{' '.join(words)}` failed: {words_of_it}")
    return result.stdout
