# SPDX-License-Identifier: Apache-2.0

"""What there is on this host of a worker's own: namespaces, interfaces, files, processes.

All that is a worker's is below its directory, or in a namespace whose name begins with its mark.
So a worker that starts finds what it had, and nothing has to be remembered::

    wanted.json       what it was told last: it goes on without a controller
    lock              who has the directory
    files/NAME/       the files of a process; it runs here
    next/NAME/        new ones, until they are checked
    state/NAME/       started: how, and /proc/PID/stat as it began; loaded: which files; log
    of/NAMESPACE/     an empty file NAME for each process of a namespace
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tenantry.controller.feature.processes import INTERFACE, File, Route
from tenantry.controller.worker.plan import Alive, Group, Link, There, route

NETNS = Path("/run/netns")
SECONDS = 20.0
"""For any command of ours."""


LAST_LINES = 4
"""What is shown of a command that fails: why may come before the last one."""

LONGEST_LOG = 1 << 20
"""Octets of what a process says."""


class Trouble(Exception):
    """Something cannot be done; why, in words."""


def run(*words: str, input: str | None = None, seconds: float = SECONDS, **options: Any) -> str:
    """What a command printed. Errors: Trouble, which names the command without what takes it into a
    namespace."""
    shown = " ".join(words[words.index("--") + 1 :] if words[0] == "nsenter" else words)
    try:
        done = subprocess.run(
            words,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            **options,
        )
    except FileNotFoundError:
        raise Trouble(f"there is no command {words[0]} here: install it") from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"`{shown}` has not ended for {seconds:g} s") from None
    except OSError as error:
        raise Trouble(f"{words[0]}: {error.strerror or error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = "; ".join(said[-LAST_LINES:])
        raise Trouble(f"`{shown}`: {why or f'exit {done.returncode}'}")
    return str(done.stdout)


class Place:
    """A worker's directory and its namespaces."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        tag = blake2b(str(directory).encode(), digest_size=3).hexdigest()
        self.mark = f"tenantry-{tag}-"

    def prepare(self) -> None:
        """Errors: OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        for name in ("files", "next", "state", "of"):
            (self.directory / name).mkdir(exist_ok=True, mode=0o711)

    def netns(self, namespace: str) -> str:
        """The name of a namespace, as ``ip netns`` has it."""
        return f"{self.mark}{namespace}"

    def inode(self, namespace: str) -> int | None:
        return _inode(NETNS / self.netns(namespace))

    def files(self, name: str) -> Path:
        return self.directory / "files" / name

    def next(self, name: str) -> Path:
        return self.directory / "next" / name

    def state(self, name: str) -> Path:
        return self.directory / "state" / name

    def log(self, name: str) -> Path:
        return self.state(name) / "log"

    def leave(self) -> None:
        """Nothing of ours stays, if nothing runs here."""
        if not self.namespaces():
            shutil.rmtree(self.directory, ignore_errors=True)

    def trim(self, name: str) -> None:
        """What is too long of a log begins anew, also while somebody writes it."""
        with suppress(OSError):
            if self.log(name).stat().st_size > LONGEST_LOG:
                os.truncate(self.log(name), 0)

    def begin(self, namespace: str, name: str) -> None:
        """Errors: OSError."""
        of = self.directory / "of" / namespace
        for path in (of, self.state(name), self.files(name)):
            path.mkdir(exist_ok=True, mode=0o711)
        (of / name).touch()

    def clear(self, namespace: str, name: str) -> None:
        """Errors: OSError."""
        for path in (self.files(name), self.next(name), self.state(name)):
            with suppress(FileNotFoundError):
                shutil.rmtree(path)
        of = self.directory / "of" / namespace
        (of / name).unlink(missing_ok=True)
        if not _listed(of):
            of.rmdir()

    # --- what there is -------------------------------------------------------------------------

    def namespaces(self) -> set[str]:
        """Ours, also those of processes whose namespace has lost its name."""
        names = {name for name in _listed(NETNS) if name.startswith(self.mark)}
        return {name[len(self.mark) :] for name in names} | {*_listed(self.directory / "of")}

    def there(self, namespace: str, wanted: Group) -> There:
        """Errors: Trouble."""
        netns, inode = self.netns(namespace), self.inode(namespace)
        mine = {*_listed(self.directory / "of" / namespace)}
        processes = {}
        for name in mine | wanted.processes.keys():
            if (alive := self.alive(name, inode)) is not None:
                processes[name] = alive
        return There(
            namespace=inode is not None,
            arrived=frozenset(arrived() & wanted.plugs.keys()),
            links=dict(_links(netns, {*wanted.plugs})) if inode is not None else {},
            processes=processes,
            files={
                name: self.read_files(process.files, name)
                for name, process in wanted.processes.items()
            },
            directories=frozenset(mine),
        )

    def alive(self, name: str, inode: int | None = None) -> Alive | None:
        """The process, if it runs."""
        how, _, stat = _read(self.state(name) / "started").partition("\n")
        if not stat:
            return None
        pid, began = parse_stat(stat)[:2]
        now = parse_stat(_read(Path(f"/proc/{pid}/stat")))
        if now[:2] != (pid, began) or now[2] in "ZX":
            return None
        inside = inode is not None and _inode(Path(f"/proc/{pid}/ns/net")) == inode
        return Alive(pid, how, _read(self.state(name) / "loaded"), inside)

    def read_files(self, wanted: tuple[File, ...], name: str) -> frozenset[File]:
        """Of those that are wanted, what is there."""
        found = set()
        for each in wanted:
            path = self.files(name) / each.name
            with suppress(OSError, UnicodeDecodeError):
                mode = path.stat().st_mode & 0o7777
                found.add(File(each.name, path.read_text(), mode))
        return frozenset(found)

    def signature(self, namespace: str, wanted: Group) -> object:
        """What is another when somebody has changed something of which the kernel does not tell:
        cheap, for every second."""
        files = [
            _stamp(self.files(name) / each.name)
            for name, process in wanted.processes.items()
            for each in process.files
        ]
        return self.inode(namespace), files

    def last_words(self, name: str) -> str:
        """The end of a process's log."""
        with suppress(OSError):
            with self.log(name).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
                lines = file.read().decode(errors="replace").split("\n")
            return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
        return ""


def parse_stat(text: str) -> tuple[int, str, str]:
    """Of /proc/PID/stat (proc(5)): the pid, when it began (clock ticks since the start of the
    system), its state."""
    before, _, after = text.strip().rpartition(")")
    words = after.split()
    if len(words) < 20:
        return 0, "", "X"
    return int(before.split()[0]), words[19], words[0]


def _links(netns: str, names: set[str]) -> Iterator[tuple[str, Link]]:
    shown = json.loads(run("ip", "-n", netns, "-json", "address", "show") or "[]")
    routes: dict[str, set[Route]] = {}
    if names & {link.get("ifname") for link in shown}:
        for version in (4, 6):
            table = run("ip", "-n", netns, "-json", f"-{version}", "route", "show") or "[]"
            for each in json.loads(table):
                if each.get("dev") in names and each.get("protocol") not in ("kernel", "ra"):
                    via = str(each.get("gateway", ""))
                    found = route(each["dst"], via, version)
                    routes.setdefault(each["dev"], set()).add(found)
    for link in shown:
        if (name := link.get("ifname")) in names:
            addresses = frozenset(
                f"{info['local']}/{info['prefixlen']}"
                for info in link.get("addr_info", ())
                if info.get("scope") == "global"
            )
            up = "UP" in link["flags"]
            its = frozenset(routes.get(name, ()))
            yield name, Link(link["address"], link["mtu"], up, addresses, its)


def arrived() -> set[str]:
    """The interfaces on the host itself that switches have made for processes."""
    return {name for _, name in socket.if_nameindex() if name.startswith(INTERFACE)}


def _listed(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _inode(path: Path) -> int | None:
    """Of a namespace. A file without a namespace on it, as a worker that was killed while it made
    one leaves, is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino if found.st_dev == os.stat("/proc/self/ns/net").st_dev else None


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
