# SPDX-License-Identifier: Apache-2.0

"""Network namespaces for tests: one that the test itself lives in, and guests beside it.

They have no names: a namespace is gone when the last process in it is, also if a test is killed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import AF_INET, AF_NETLINK, NETLINK_ROUTE, SOCK_RAW
from socket import socket as Socket

CLONE_NEWNET = 0x40000000
RTMGRP_ALL = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, neighbours, and addresses and routes of both families (linux/rtnetlink.h)."""
_libc = ctypes.CDLL(None, use_errno=True)


def allowed() -> bool:
    """Whether this user may make network namespaces."""
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def entered() -> Iterator[None]:
    """Move this thread, and what it starts, into a new namespace; back at the end."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        run("ip", "link", "set", "lo", "up")
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNET))
        os.close(home)


def run(*command: str | int, input: str | None = None) -> str:
    """Run a command; what it printed. Errors: AssertionError with the command's own words."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, input=input)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


@contextmanager
def beside(pid: int) -> Iterator[None]:
    """Move this thread into a process's namespace; back at the end."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _check(_libc.setns(there, CLONE_NEWNET))
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNET))
        os.close(home)
        os.close(there)


def inside(pid: int, kind: int, family: int = AF_INET, protocol: int = 0) -> Socket:
    """A socket that lives in a process's namespace."""
    with beside(pid):
        return Socket(family, kind, protocol)


class Guest:
    """A namespace that stands for a machine."""

    def __init__(self) -> None:
        # `cat` holds the namespace open and ends with us, at the end of its input.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo up; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"up\n"
        self.pid = self._holder.pid
        self._started: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        for process in self._started:  # those that a test which failed has left
            if process.returncode is None:
                process.kill()
                process.communicate()
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def command(self, *command: str | int) -> list[str]:
        """The words that run a command in the guest."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]

    def run(self, *command: str | int) -> str:
        return run(*self.command(*command))

    def start(self, *command: str | int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._started.append(process)
        return process

    def take(self, interface: str) -> None:
        """Move an interface of ours into the guest."""
        run("ip", "link", "set", interface, "netns", self.pid)

    def socket(self, kind: int, family: int = AF_INET, protocol: int = 0) -> Socket:
        """A socket of ours that lives in the guest."""
        return inside(self.pid, kind, family, protocol)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so; looks again whenever the guest's kernel has news of links,
        neighbours, addresses or routes."""
        with self.socket(SOCK_RAW, AF_NETLINK, NETLINK_ROUTE) as news:
            news.bind((0, RTMGRP_ALL))  # before the first look, so that nothing is missed
            while not condition():
                with suppress(OSError):  # there was more than the socket holds: that is news, too
                    news.recv(65536)

    def pings(self, address: str, count: int = 1) -> bool:
        """Whether ``address`` answers; a second is given to each request."""
        words = self.command("ping", "-n", "-q", "-i", "0.2", "-c", count, "-W", 1, address)
        return subprocess.run(words, capture_output=True).returncode == 0
