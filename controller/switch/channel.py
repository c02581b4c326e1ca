# SPDX-License-Identifier: Apache-2.0

"""OpenFlow connections: the listener, the handshake, and one :class:`Connection` a switch.

os-ken does the handshake, echo, and every message that is rare; ``connection.py`` does the rest.
Nothing here says which flows a switch should have.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import os_ken.cfg
from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_4

from tenantry.controller.sockets.descriptors import MANY
from tenantry.controller.sockets.listener import Clients, Listener
from tenantry.controller.sockets.reader import STRANGER_SECONDS, Reader, Unwelcome
from tenantry.controller.sockets.tls import ServerTls
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.datapath import Datapath, Handshake

LOG = logging.getLogger(__name__)


STRANGER_OCTETS = 1 << 16
"""From a switch that has not said which it is: it may tell of many ports before."""


def _ignore(*told: object) -> None: ...


class Observer(NamedTuple):
    """Who is told what of switches; none of them blocks."""

    connected: Callable[[Connection], None] = _ignore
    disconnected: Callable[[Connection], None] = _ignore
    ports: Callable[[int, Mapping[int, str]], None] = _ignore
    """All OpenFlow ports of a switch (a datapath id), by number: their names."""
    port: Callable[[int, int, str | None], None] = _ignore
    """One of them is new or has another name, or is gone (None)."""
    packet_in: Callable[[Connection, bytes], None] = _ignore
    """A packet-in message, as bytes."""
    host_of: Callable[[int], str] = lambda dpid: ""
    """The host that a switch is on; "" if no host has said that it is there."""


class Channel(OSKenApp):  # type: ignore[misc]
    """The one os-ken app: owns every connection and tells the observer."""

    OFP_VERSIONS = (ofproto_v1_4.OFP_VERSION,)

    observer: Observer

    def __init__(self, most: int, *args: Any, **kwargs: Any) -> None:
        """``most``: connections at a time."""
        super().__init__(*args, **kwargs)
        self.clients = Clients("connection from", most)
        self._introduced: dict[int, Connection] = {}
        self._connections: dict[int, Connection] = {}
        self._listener: Listener | None = None

    def serve(
        self, listening: socket.socket, observer: Observer, tls: ServerTls | None = None
    ) -> None:
        """Accept switches from now on, and tell ``observer`` of them."""
        self.observer = observer
        given = tls.context if tls else None
        self._listener = Listener(listening, self.clients, self._serve, given)

    def close(self) -> None:
        """Stop listening and hang up; the switches keep their flows."""
        for connection in list(self._connections.values()):
            connection.close()
        if self._listener is not None:
            self._listener.close()

    def _serve(self, reader: Reader) -> None:
        reader.expect(STRANGER_OCTETS, STRANGER_SECONDS)
        Datapath(reader, self).serve()

    def introduced(self, datapath: Datapath, dpid: int) -> Connection:
        """Somebody says which switch it is. Errors: Unwelcome, if it is not."""
        self._check_host(dpid, datapath.reader.common_name)
        before = self._introduced.get(dpid)
        if before is not None and before.alive and before.answers():
            raise Unwelcome(f"says it is switch {dpid:016x}, which is connected from {before.peer}")
        datapath.id = dpid
        datapath.reader.named()
        connection = self._introduced[dpid] = Connection(datapath)
        return connection

    def check_hosts(self) -> None:
        """Hosts have said which switches are theirs: hang up on whoever is on another host."""
        for connection in list(self._introduced.values()):
            try:
                self._check_host(connection.dpid, connection.common_name)
            except Unwelcome as error:
                self.clients.complaints.tell(connection.peer, error)
                connection.close()

    def _check_host(self, dpid: int, certified: str) -> None:
        """A certificate is good for the switches of the host that it names, and for those that no
        host has said to be its own. On plain TCP there is nothing to hold against."""
        host = self.observer.host_of(dpid) if certified else ""
        if host and certified != host:
            raise Unwelcome(
                f"has the certificate of {certified}, but switch {dpid:016x} is on {host}: run "
                f"there what `tenantry host invite {host}` prints; if {host} is no more, "
                f"`tenantry host remove {host}`"
            )

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore
    def _state(self, event: Any) -> None:
        datapath = event.datapath
        connection: Connection | None = datapath.connection
        if event.state == MAIN_DISPATCHER:
            assert connection is not None  # made when it said which switch it is
            before = self._connections.get(connection.dpid)
            self._connections[connection.dpid] = connection
            if before is not None:
                before.close()
                self.observer.disconnected(before)
            self._tell_ports(datapath)
            self.observer.connected(connection)
            return
        if connection is not None and self._introduced.get(connection.dpid) is connection:
            del self._introduced[connection.dpid]
        if connection is not None and self._connections.get(connection.dpid) is connection:
            del self._connections[connection.dpid]
            self.observer.disconnected(connection)

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _port_state(self, event: Any) -> None:
        datapath, number = event.datapath, event.port_no
        port = datapath.ports.get(number)
        if number < ofproto_v1_4.OFPP_MAX:
            self.observer.port(datapath.id, number, _name(port) if port else None)
            if port:
                _open(datapath, port)

    def _tell_ports(self, datapath: Any) -> None:
        names = {
            number: _name(port)
            for number, port in datapath.ports.items()
            if number < ofproto_v1_4.OFPP_MAX
        }
        self.observer.ports(datapath.id, names)
        for number in names:
            _open(datapath, datapath.ports[number])


_CLOSED = ofproto_v1_4.OFPPC_NO_RECV | ofproto_v1_4.OFPPC_NO_FWD | ofproto_v1_4.OFPPC_NO_PACKET_IN


def _open(datapath: Any, port: Any) -> None:
    """A port of ours takes, gives, and asks the controller: what somebody has switched off by
    OpenFlow (``ovs-ofctl mod-port``, 7.2.1.1) is on again. Whether its link is up is the host's."""
    closed = port.config & _CLOSED
    if closed:
        LOG.warning(
            "switch %016x: somebody switched %s off; it is on again", datapath.id, _name(port)
        )
        mod = datapath.ofproto_parser.OFPPortMod
        datapath.send_msg(mod(datapath, port.port_no, port.hw_addr, config=0, mask=closed))


def _name(port: Any) -> str:
    name: str = port.name.decode(errors="replace")
    return name


def start(most: int = MANY) -> Channel:
    """Start os-ken in this process, with the Channel as its only app: ``most`` connections at a
    time. It serves nobody yet."""
    os_ken.cfg.CONF(args=[], project="os_ken", default_config_files=[])
    apps = AppManager.get_instance()
    apps.instantiate(Handshake).start()
    channel: Channel = apps.instantiate(Channel, most)
    channel.start()
    return channel


def stop(channel: Channel) -> None:
    """Hang up, stop listening, and make room for another :func:`start`."""
    apps = AppManager.get_instance()
    apps.uninstantiate(channel.name)
    apps.uninstantiate(ofp_event.NAME)
