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

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
VARIABLES = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


class CommandError(RuntimeError):
    """A command, or a daemon, did not do its work; the text names it and has its words."""


class OpenVSwitch:
    """Runs from :meth:`start` to :meth:`stop`.

    ``within`` are the words that run a command in its namespace, if that is another than ours;
    ``environment`` leads every ovs-* command to it.
    """

    def __init__(self, directory: Path, within: Sequence[str] = ()) -> None:
        self.directory = directory
        self.environment: Mapping[str, str] = dict.fromkeys(VARIABLES, str(directory))
        self._within = within
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = 0

    def start(self, **external_ids: str) -> None:
        """Start both daemons; the Open vSwitch says ``external_ids`` of itself.

        Raises CommandError with the daemons' own words when it does not come up.
        """
        self.directory.mkdir(mode=0o700)
        database, door = self.directory / "conf.db", self.directory / "db.sock"
        run("ovsdb-tool", "create", database, SCHEMA)
        # As distributions start it: who manages it is what the database says (set-manager).
        managers = "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"
        server = self._start("ovsdb-server", database, f"--remote=punix:{door}", managers)
        while not listens(door) and server.poll() is None:
            time.sleep(0.01)  # ovs-vsctl --retry would sleep a second
        words = [f"external_ids:{key.replace('_', '-')}={v}" for key, v in external_ids.items()]
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *words)
        self.start_switch()

    def start_switch(self) -> None:
        """Start the switch daemon, which does what the database says."""
        self._start("ovs-vswitchd", f"unix:{self.directory}/db.sock")
        try:
            # ovs-vsctl returns when the switch daemon has taken everything in, if it changes any.
            self._starts += 1
            self.vsctl("set", "Open_vSwitch", ".", f"external_ids:starts={self._starts}")
        except CommandError as error:
            log = (self.directory / "ovs-vswitchd.log").read_text()
            raise CommandError(f"ovs-vswitchd did not come up: {error}\n{log[-2000:]}") from None

    def crash(self) -> None:
        """The switch daemon dies, and takes the userspace datapath with it; the database stays."""
        switch = self._daemons.pop("ovs-vswitchd")
        switch.kill()
        switch.wait()

    def stop(self) -> None:
        """End whatever runs."""
        while self._daemons:
            stop(self._daemons.popitem()[1])

    def vsctl(self, *words: object) -> str:
        """Run ovs-vsctl; return what it printed. Raises CommandError with its words."""
        return run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=20", *words)

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
            words,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def listens(path: Path) -> bool:
    """Whether somebody accepts connections at a Unix socket; it is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _die_with_parent() -> None:
    """In a child: the kernel is to end this process with the thread that started it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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
