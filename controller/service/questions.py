# SPDX-License-Identifier: Apache-2.0

"""Questions that are under way, each by a plain socket, all in one ``epoll``.

They go out by the service port, from the ports by which flows know the answers. What is said is a
conversation (``sockets/conversations.py``); questions of one packet share raw sockets
(``echoes.py``).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tenantry.controller import runtime
from tenantry.controller.feature import probes
from tenantry.controller.feature.probes import Probe, Question
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.packets.own_addresses import OWN_PROBE_PORTS, SERVICE_PORT_ADDRESSES
from tenantry.controller.service.echoes import Echoes
from tenantry.controller.sockets import conversations
from tenantry.controller.sockets.conversations import Conversation

AT_ONCE = 64
"""Sockets that are looked at before others have their turn."""

_READ = 4096
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NO_TIME_WAIT = struct.pack("ii", 1, 0)
"""SO_LINGER: a connection ends with a reset, and leaves nothing on either side."""

_REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "no route to it",
    errno.ETIMEDOUT: "no answer",
}


@dataclass(eq=False)
class Asking:
    """One question. ``stream`` is None if it has no socket of its own."""

    probe: Probe
    ended: Callable[[Asking, str], None]
    stream: socket.socket | None = None
    conversation: Conversation | None = None
    connected: bool = False
    rest: bytes = b""  # yet to be sent
    heard: int = 0


class Questions:
    """``interface`` is the service port's name; "" is any (of tests)."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._by_file: dict[int, Asking] = {}
        self._datagrams: dict[tuple[int, int, int], Asking] = {}
        self._ports: Counter[tuple[int, int]] = Counter()
        self._poll = runtime.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._waker, select.EPOLLIN)
        self._echoes = Echoes(interface, self._poll, lambda asking, why: asking.ended(asking, why))

    def wake(self) -> None:
        """End a :meth:`wait`."""
        os.eventfd_write(self._waker, 1)

    def wait(self, seconds: float | None) -> None:
        """Until something has come, or time is up; and go on with what has."""
        runtime.wait_readable(self._poll, seconds)
        for number, _ in self._poll.poll(0, AT_ONCE):
            asking = self._by_file.get(number)
            if asking is not None:
                self._go_on(asking)
            elif number == self._waker:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._waker)
            else:
                self._echoes.receive(number)

    def close(self) -> None:
        for asking in list(self._by_file.values()):
            self.forget(asking)
        self._echoes.close()
        self._poll.close()
        os.close(self._waker)

    def begin(self, asking: Asking) -> None:
        """Ask. Errors: OSError, of what is wrong here; of what is wrong there it is told."""
        probe = asking.probe
        if probe.question.kind in (probes.PING, probes.SCTP):
            self._echoes.send(probe, asking)
            return
        datagram = probe.question.kind == probes.UDP
        stream = runtime.native_socket(
            _FAMILIES[probe.version], socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM
        )
        asking.stream = stream
        stream.setblocking(False)
        if not datagram:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_TIME_WAIT)
            asking.conversation = conversation(probe.question)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._interface:
            device = self._interface.encode()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        self._connect(stream, probe)
        self._by_file[stream.fileno()] = asking
        if datagram:
            self._datagrams[probe.version, probe.address, probe.question.port] = asking
            stream.send(b"")
            asking.connected = True
        self._poll.register(stream.fileno(), select.EPOLLIN if datagram else select.EPOLLOUT)

    def _connect(self, stream: socket.socket, probe: Probe) -> None:
        """From one of the ports by which answers are known: for each address another one than the
        last time, so that nobody takes it for a connection from before."""
        here = address_text(probe.version, SERVICE_PORT_ADDRESSES[probe.version])
        there = address_text(probe.version, probe.address)
        to = (probe.version, probe.address)
        for _ in OWN_PROBE_PORTS:
            self._ports[to] += 1
            port = OWN_PROBE_PORTS[self._ports[to] % len(OWN_PROBE_PORTS)]
            try:
                stream.bind((here, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:  # somebody here listens there
                    raise
                continue
            with suppress(BlockingIOError):
                stream.connect((there, probe.question.port))
            return
        raise OSError(errno.EADDRINUSE, "no port is free to ask from")

    def _go_on(self, asking: Asking) -> None:
        stream = asking.stream
        assert stream is not None
        try:
            if asking.conversation is None:
                stream.recv(_READ)
                asking.ended(asking, "")  # whatever it says, it is there
            elif not asking.connected:
                if code := stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, os.strerror(code))
                asking.connected = True
                self._say(asking, None)
            elif asking.rest:
                asking.rest = asking.rest[stream.send(asking.rest) :]
                if not asking.rest:
                    self._say(asking, None)
            else:
                heard = stream.recv(_READ)
                asking.heard += len(heard)
                if asking.heard > conversations.MOST_OCTETS:
                    asking.ended(asking, "answers too much")
                else:
                    self._say(asking, heard)
        except BlockingIOError:
            pass
        except OSError as error:
            asking.ended(asking, _REASONS.get(error.errno or 0) or str(error.strerror).lower())

    def _say(self, asking: Asking, heard: bytes | None) -> None:
        stream, talk = asking.stream, asking.conversation
        assert stream is not None and talk is not None
        while True:
            try:
                said = talk.send(heard) if heard is not None else next(talk)
            except StopIteration as end:
                asking.ended(asking, end.value)
                return
            heard = None
            if said is None:
                self._poll.modify(stream.fileno(), select.EPOLLIN)
                return
            try:
                asking.rest = said[stream.send(said) :]
            except BlockingIOError:
                asking.rest = said
            if asking.rest:
                self._poll.modify(stream.fileno(), select.EPOLLOUT)
                return

    def refused(self, version: int, address: int, port: int) -> None:
        """An ICMP error has come about a datagram."""
        asking = self._datagrams.get((version, address, port))
        if asking is not None:
            asking.ended(asking, "refused")

    def forget(self, asking: Asking) -> None:
        """It is over, or nobody wants to know any more."""
        self._echoes.forget(asking)
        stream, probe = asking.stream, asking.probe
        if stream is None:
            return
        asking.stream = None
        to = (probe.version, probe.address, probe.question.port)
        if self._datagrams.get(to) is asking:
            del self._datagrams[to]
        if self._by_file.pop(stream.fileno(), None) is not None:
            with suppress(OSError):
                self._poll.unregister(stream.fileno())
        stream.close()


def conversation(question: Question) -> Conversation:
    """What is said where there is a connection."""
    asks = (question.method, question.path, question.version, question.host, question.codes)
    if question.kind == probes.HTTP:
        return conversations.http(*asks)
    if question.kind == probes.HTTPS:
        return conversations.tls(conversations.http(*asks), question.host)
    if question.kind == probes.TLS:
        return conversations.tls(conversations.nothing(), question.host)
    return conversations.nothing()
