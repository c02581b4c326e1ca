# SPDX-License-Identifier: Apache-2.0

"""What wakes a worker: the kernel's news of interfaces, addresses and routes, here and in its
namespaces (rtnetlink(7)), and of processes that end (pidfd_open(2))."""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

from tenantry.controller.worker.there import NETNS

CLONE_NEWNET = 0x40000000
LINKS = 0x1
ADDRESSES_AND_ROUTES = 0x10 | 0x40 | 0x100 | 0x400  # of both families (linux/rtnetlink.h)

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """By namespace; "" is the host's own. Not for several threads, but :meth:`wake` is."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._selector.register(self._read, selectors.EVENT_READ, None)
        self._news: dict[str, tuple[int, socket.socket]] = {}  # and the namespace's inode
        self._pids: dict[str, dict[int, int]] = {}  # descriptors by pid
        own = _news(LINKS)
        self._selector.register(own, selectors.EVENT_READ, ("", own))

    def wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._write, b".")

    def wait(self, seconds: float) -> tuple[set[str], set[str]]:
        """The namespaces of which there is news, "" if it is of the host's interfaces; and those
        in which a process has ended."""
        found, ended = set[str](), set[str]()
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._read, 65536)
                continue
            namespace, news = key.data
            if news is None:
                ended.add(namespace)
                self._selector.unregister(key.fileobj)  # a process that has ended says so once
            else:
                found.add(namespace)
                with suppress(OSError):  # more than the socket holds: that is news, too
                    while news.recv(65536):
                        pass
        return found, ended

    def follow(self, namespace: str, netns: str, pids: Iterable[int]) -> None:
        """Follow a namespace, if it is there, and these processes of it."""
        self._follow_netns(namespace, netns)
        wanted, there = {*pids}, self._pids.setdefault(namespace, {})
        for pid in there.keys() - wanted:
            self._forget(there.pop(pid))
        for pid in wanted - there.keys():
            with suppress(OSError):  # it has ended; the next look sees that
                there[pid] = os.pidfd_open(pid)
                self._selector.register(there[pid], selectors.EVENT_READ, (namespace, None))
        if not there:
            del self._pids[namespace]

    def _follow_netns(self, namespace: str, netns: str) -> None:
        path = NETNS / netns
        try:
            inode = path.stat().st_ino
        except OSError:
            inode = 0
        before = self._news.get(namespace)
        if before and before[0] == inode:
            return
        if before:
            self._selector.unregister(before[1])
            before[1].close()
            del self._news[namespace]
        if inode:
            with suppress(OSError):
                news = inside(str(path), LINKS | ADDRESSES_AND_ROUTES)
                self._news[namespace] = (inode, news)
                self._selector.register(news, selectors.EVENT_READ, (namespace, news))

    def _forget(self, descriptor: int) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)
        os.close(descriptor)


def _news(groups: int) -> socket.socket:
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    news.bind((0, groups))
    return news


def inside(path: str, groups: int) -> socket.socket:
    """A socket in another namespace. A thread goes there, and does not come back. Errors:
    OSError."""
    made: list[socket.socket | OSError] = []

    def go() -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                made.append(_news(groups))
            finally:
                os.close(descriptor)
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    (found,) = made
    if isinstance(found, OSError):
        raise found
    return found
