# SPDX-License-Identifier: Apache-2.0

"""The service port: the interface by which guests' TCP reaches us, and what listens there.

Source addresses say which port asks, since the switch writes them (``apps/service_port``). So what
listens is bound to the interface: from nowhere else may anybody speak with such an address. Guests
are hostile: each port may have a few connections, for a few seconds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any

from webob import Request, Response

from tenantry.controller import runtime
from tenantry.controller.feature.effects import DnsQuery, Endpoint, Http, Stream
from tenantry.controller.model import Model, Port, View
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.packets.own_addresses import (
    SERVICE_PORT_ADDRESSES,
    SERVICE_PORT_PREFIXES,
    port_key,
)
from tenantry.controller.service.resolvers import Resolvers
from tenantry.controller.sockets import http
from tenantry.controller.sockets.listener import BACKLOG, Clients, Listener
from tenantry.controller.sockets.reader import STRANGER_SECONDS, Reader

LOG = logging.getLogger(__name__)

CONNECTIONS_OF_A_PORT = 16
LARGEST_QUERY = 4096
"""Octets of a DNS message; questions have some dozens."""

LOOK_SECONDS = 0.4
"""Until we look again whether the interface is there, if the kernel tells of nothing."""

MISSING_SECONDS = 0.7
"""How long it may be missing: ovs-vswitchd takes less to make it."""

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class ServicePort:
    """Listens wherever the interface is, for as long as the process lives."""

    def __init__(
        self,
        name: str,
        model: Model,
        endpoints: Iterable[Endpoint],
        resolvers: Resolvers,
        renew: Callable[[], None],
        most: int,
    ) -> None:
        """``name`` is the interface's; "" is none. ``renew`` has one made that is missing.
        ``most``: connections at a time."""
        self.name = name
        self.state = "off"
        """What has become of it, in words for people."""
        self.up = runtime.Signal()
        self._model = model
        self._endpoints = tuple(endpoints)
        self._resolvers = resolvers
        self._renew = renew
        self._index = 0  # the kernel's, of the interface where we listen
        self._listeners: list[Listener] = []
        self.clients = Clients("guest at", most, most_of_one=CONNECTIONS_OF_A_PORT, one=self._guest)

    def run(self) -> None:
        """Follow the interface; each time that it is made anew, listen there. What somebody else
        changes about it is mended, and if it is missing for long, it is renewed."""
        with interface_events() as events:
            changed, there = True, time.monotonic()
            while True:
                try:
                    self._look(changed)
                    there = time.monotonic()
                except OSError:  # there is none of that name
                    if time.monotonic() > there + MISSING_SECONDS:
                        there = time.monotonic()
                        self._renew()
                changed = wait_for_event(events, LOOK_SECONDS)

    def _look(self, changed: bool) -> None:
        index = socket.if_nametoindex(self.name)
        if index != self._index:
            if self._start():
                self._index = index
        elif changed and (wrong := _differences(self.name)):
            LOG.warning("%s %s; mended", self.name, " and ".join(wrong))
            _try_to_configure(self.name)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _start(self) -> bool:
        self.close()
        try:
            _configure(self.name)
            for endpoint in self._endpoints:
                serve, first_words = (
                    (self._http(endpoint), http.first_words)
                    if isinstance(endpoint, Http)
                    else (partial(self._talk, endpoint), None)
                )
                for version in _FAMILIES:
                    listening = self._listen(version, endpoint.tcp_port)
                    self._listeners.append(
                        Listener(listening, self.clients, serve, first_words=first_words)
                    )
            self.state = "up"
            self.up.set()
            return True
        except (OSError, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", "") or str(error)
            state = f"guests get no metadata, and no DNS by TCP: {words.strip()}"
            if state != self.state:
                LOG.warning("service port %s: %s; the controller must be root", self.name, state)
            self.state = state
            return False

    def _listen(self, version: int, port: int) -> socket.socket:
        listener = socket.socket(_FAMILIES[version], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.name.encode())
        listener.bind((address_text(version, SERVICE_PORT_ADDRESSES[version]), port))
        listener.listen(BACKLOG)
        return listener

    # --- who asks ----------------------------------------------------------------------------

    def _port_of(self, host: str) -> str | None:
        """The id of the port that a source address stands for."""
        return next(iter(self._model.ids(Port, ("key",), (self._guest(host),))), None)

    def _guest(self, host: str) -> int:
        """Whose a connection from there is: one guest's, by whichever address of its."""
        return port_key(int(ip_address(host)))

    # --- HTTP --------------------------------------------------------------------------------

    def _http(self, endpoint: Http) -> Callable[[Reader], None]:
        def application(environ: dict[str, Any], start_response: Any) -> Any:
            response = self._answer(endpoint, Request(environ))
            return response(environ, start_response)

        return http.Http(application, keep=lambda: False).serve

    def _answer(self, endpoint: Http, request: Request) -> Response:
        port_id = self._port_of(request.environ["REMOTE_ADDR"])
        if port_id is None:
            return Response("404 Not Found", status=404, content_type="text/plain")
        try:
            return endpoint.answer(View(self._model), port_id, request)
        except Exception:
            LOG.exception("a request of port %s was not answered", port_id)
            return Response("500 Internal Server Error", status=500, content_type="text/plain")

    # --- DNS ---------------------------------------------------------------------------------

    def _talk(self, endpoint: Stream, reader: Reader) -> None:
        stream = reader.stream
        stream.settimeout(STRANGER_SECONDS)
        try:
            while port_id := self._port_of(reader.address):
                reader.expect(None, STRANGER_SECONDS)
                size = int.from_bytes(reader.exactly(2), "big")
                query = reader.exactly(size) if size <= LARGEST_QUERY else b""
                if not query:
                    return
                answer = endpoint.answer(View(self._model), port_id, query)
                reader.settle()
                if isinstance(answer, DnsQuery):
                    answer = answer.then(self._resolvers.resolve(answer.data, stream=True))
                stream.sendall(len(answer).to_bytes(2, "big") + answer)
                reader.rest()
        except (OSError, Malformed) as error:
            LOG.debug("guest at %s: %s", reader.address, error)
        except Exception:
            LOG.exception("a query from %s was not answered", reader.address)


# --- the interface in the kernel -------------------------------------------------------------

_ADDRESSES = {
    version: f"{address_text(version, address)}/{SERVICE_PORT_PREFIXES[version]}"
    for version, address in SERVICE_PORT_ADDRESSES.items()
}
_FLAGS = {"UP", "NOARP"}


def _configure(name: str) -> None:
    """Addresses and nothing else: no neighbours are asked for, what goes out goes to the switch.
    Errors: OSError, CalledProcessError."""
    commands = [f"link set {name} addrgenmode none", f"link set {name} arp off up"]
    for version, prefix in _ADDRESSES.items():
        commands.append(f"address replace {prefix} dev {name}{' nodad' * (version == 6)}")
    for command in commands:
        _ip(*command.split())


def _try_to_configure(name: str) -> None:
    try:
        _configure(name)
    except (OSError, subprocess.CalledProcessError) as error:
        LOG.warning("%s stays as it is: %s", name, getattr(error, "stderr", "") or error)


def _differences(name: str) -> list[str]:
    """What is not as :func:`_configure` has left it, in words."""
    try:
        (link,) = json.loads(_ip("-json", "address", "show", "dev", name))
    except (OSError, ValueError, subprocess.CalledProcessError):  # it has just gone
        return []
    there = {f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]}
    return [
        *(f"was without {prefix}" for prefix in _ADDRESSES.values() if prefix not in there),
        *(f"was not {flag}" for flag in sorted(_FLAGS - set(link["flags"]))),
    ]


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def interface_events() -> Iterator[socket.socket]:
    """What the kernel tells of interfaces and their addresses: rtnetlink(7)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        yield events


_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100


def wait_for_event(events: socket.socket, seconds: float) -> bool:
    """Whether there was one; those that come together are one."""
    events.settimeout(seconds)
    try:
        events.recv(1 << 16)
        runtime.sleep(TOGETHER_SECONDS)
        events.settimeout(0)
        while events.recv(1 << 16):
            pass
    except (TimeoutError, BlockingIOError) as error:
        return isinstance(error, BlockingIOError)
    except OSError:  # there were more than the kernel could keep
        pass
    return True


TOGETHER_SECONDS = 0.05
