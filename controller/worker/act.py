# SPDX-License-Identifier: Apache-2.0

"""How the steps of a plan are done. Errors of all: Trouble, OSError."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tenantry.controller.feature.processes import Probe, Process
from tenantry.controller.worker.plan import (
    Clear,
    Configure,
    Load,
    MakeNamespace,
    Put,
    RemoveNamespace,
    Start,
    Step,
    Stop,
    Take,
    files_digest,
    how_started,
    is_reloaded,
)
from tenantry.controller.worker.there import NETNS, Place, Trouble, run

LONGEST_ANSWER = 1 << 19
"""Octets of what a process is asked."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BEGIN = """
IFS= read -r stat < /proc/$$/stat && printf '%s\\n%s\\n' "$1" "$stat" > "$0" || exit 70
shift
exec "$@"
"""
"""A process notes itself who it is, before it is what is wanted: there is none of which nobody
knows, whoever dies meanwhile."""

_SYSCTLS = (
    *("net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0"),
    *("net.ipv6.conf.all.autoconf=0", "net.ipv6.conf.default.autoconf=0"),
)
"""A port has the addresses that it is told, and no others."""


class Refused(Trouble):
    """Files that do not pass their check."""


class Hands:
    """What works at a worker's place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        """Those that we have started ourselves, by pid: so they can be let go when they end."""

    def do(self, namespace: str, step: Step) -> None:
        netns = self._place.netns(namespace)
        match step:
            case MakeNamespace(pid):
                self._make(netns, pid)
            case RemoveNamespace():
                self._remove(netns)
            case Take(interface, replaces):
                if replaces:
                    run("ip", "-n", netns, "link", "delete", interface)
                run("ip", "link", "set", interface, "netns", netns)
            case Configure(_, lines):
                run("ip", "-n", netns, "-force", "-batch", "-", input="\n".join(lines) + "\n")
            case Stop(name, pid, seconds):
                self._stop(netns, name, pid, seconds)
            case Put(process):
                self._put(process, netns)
            case Start(process):
                self._start(process, netns)
            case Load(process, pid):
                self._load(process, netns, pid)
            case Clear(name):
                self._place.clear(namespace, name)

    # --- namespaces ----------------------------------------------------------------------------

    def _make(self, netns: str, pid: int) -> None:
        with suppress(OSError):  # what somebody who was killed has left
            (NETNS / netns).unlink()
        run("ip", "netns", *(("attach", netns, str(pid)) if pid else ("add", netns)))
        run("ip", "-n", netns, "link", "set", "lo", "up")
        run(*_inside(netns, ("sysctl", "-eqw", *_SYSCTLS)))

    def _remove(self, netns: str) -> None:
        for pid in run("ip", "netns", "pids", netns).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "delete", netns)

    # --- processes -----------------------------------------------------------------------------

    def _stop(self, netns: str, name: str, pid: int, seconds: float) -> None:
        """A process, with all of its group."""
        end = time.monotonic() + seconds
        told = signal.SIGTERM
        while self._place.alive(name):
            with suppress(ProcessLookupError):
                os.kill(pid, told)
            while self._place.alive(name) and time.monotonic() < end:
                self.reap()
                time.sleep(0.01)
            told, end = signal.SIGKILL, time.monotonic() + 1
        _end_group(netns, pid)
        (self._place.state(name) / "started").unlink(missing_ok=True)

    def reap(self) -> None:
        """Let go of children that have ended."""
        for pid, child in list(self.children.items()):
            if child.poll() is not None:
                self.children.pop(pid, None)

    def _start(self, process: Process, netns: str) -> None:
        place, name = self._place, process.name
        state = place.state(name)
        place.begin(process.namespace, name)
        # What it is told after its start, it has not loaded by that.
        (state / "loaded").write_text("" if process.loads else files_digest(process))
        if (before := _noted(state / "started")) is not None:
            _end_group(netns, before)  # what it has left behind
        words = _inside(netns, process.command)
        with open(state / "log", "ab") as log:
            try:
                child = subprocess.Popen(
                    ["sh", "-c", _BEGIN, str(state / "started"), how_started(process), *words],
                    cwd=place.files(name),
                    env=_environment(process),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise Trouble(f"{place.files(name)} is gone") from None
        self.children[child.pid] = child
        inode = place.inode(process.namespace)
        while child.poll() is None and not ((it := place.alive(name, inode)) and it.inside):
            time.sleep(0.002)  # until it has noted itself, and gone where it belongs

    def _put(self, process: Process, netns: str) -> None:
        place, name = self._place, process.name
        following, files = place.next(name), place.files(name)
        place.begin(process.namespace, name)
        with suppress(FileNotFoundError):
            shutil.rmtree(following)
        following.mkdir(mode=0o700)
        for each in process.files:
            if "/" in each.name or each.name in ("", ".", ".."):
                raise Refused(f"{each.name!r} is no name of a file")
            path = following / each.name
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(each.content)
            path.chmod(each.mode)
        if process.check:
            try:
                run(*_inside(netns, process.check), cwd=following, env=_environment(process))
            except Trouble as error:
                raise Refused(str(error)) from None
        (place.state(name) / "loaded").unlink(missing_ok=True)
        for each in process.files:
            os.replace(following / each.name, files / each.name)
        shutil.rmtree(following)

    def _load(self, process: Process, netns: str, pid: int) -> None:
        if process.reload:
            self._command(process, netns, process.reload)
        else:
            os.kill(pid, signal.Signals[process.reload_signal])
        (self._place.state(process.name) / "loaded").write_text(files_digest(process))

    def tell_again(self, process: Process) -> None:
        """Have it take its files once more, the next time that somebody looks."""
        if is_reloaded(process):
            (self._place.state(process.name) / "loaded").unlink(missing_ok=True)

    def _command(self, process: Process, netns: str, words: Iterable[str]) -> str:
        where = self._place.files(process.name)
        return run(*_inside(netns, words), cwd=where, env=_environment(process))

    # --- questions -----------------------------------------------------------------------------

    def ask(self, process: Process, probe: Probe, seconds: float = 3.0) -> str:
        """What a process answers."""
        if probe.socket:
            answer = _over(self._place.files(process.name) / probe.socket, probe.line, seconds)
        else:
            netns = self._place.netns(process.namespace)
            answer = self._command(process, netns, probe.command)
        if probe.expect and not re.search(probe.expect, answer):
            words = answer.strip().splitlines()
            raise Trouble(f"it answers {words[-1][:200] if words else 'nothing'}")
        return answer[:LONGEST_ANSWER]


def _over(path: Path, line: str, seconds: float) -> str:
    """Ask at a Unix socket. A path may be longer than its address can be: 107 octets."""
    directory = os.open(path.parent, os.O_PATH)
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(seconds)
            stream.connect(f"/proc/self/fd/{directory}/{path.name}")
            stream.sendall(line.encode() + b"\n")
            while (more := stream.recv(65536)) and len(answer) < LONGEST_ANSWER:
                answer += more
    except OSError as error:
        raise Trouble(f"{path.name}: {error.strerror or error}") from None
    finally:
        os.close(directory)
    return answer.decode(errors="replace")


def _inside(netns: str, words: Iterable[str]) -> list[str]:
    return ["nsenter", f"--net={NETNS / netns}", "--", *words]


def _environment(process: Process) -> dict[str, str]:
    """Nothing of ours: it has passwords in it."""
    return {"PATH": PATH, "LANG": "C.UTF-8", **dict(process.environment)}


def _end_group(netns: str, leader: int) -> None:
    """Whoever is left of a process's group, in its namespace: elsewhere, the number may be another
    group's by now."""
    with suppress(Trouble):
        for pid in map(int, run("ip", "netns", "pids", netns).split()):
            with suppress(ProcessLookupError):
                if os.getpgid(pid) == leader:
                    os.kill(pid, signal.SIGKILL)


def _noted(path: Path) -> int | None:
    """The pid in what a process has noted of itself."""
    try:
        return int(path.read_text().split("\n")[1].split()[0])
    except (OSError, ValueError, IndexError):
        return None
