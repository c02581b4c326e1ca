# SPDX-License-Identifier: Apache-2.0

"""OpenFlow connections: the listener, the handshake, and one :class:`Connection` a switch.

os-ken does the handshake, echo, and every message that is rare. Messages that can be many (flow
dumps, barrier and bundle replies, errors) are read raw and handed to whoever asked. This file says
nothing about which flows a switch should have.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import os_ken.cfg
from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_4

from tenantry.controller import runtime
from tenantry.controller.openflow import codec, slots
from tenantry.controller.sockets.descriptors import MANY
from tenantry.controller.sockets.listener import Clients, Listener
from tenantry.controller.sockets.reader import STRANGER_SECONDS, Reader, Unwelcome
from tenantry.controller.switch.datapath import Datapath, Handshake

LOG = logging.getLogger(__name__)

Some = TypeVar("Some")

REPLY_SECONDS = 60
"""How long a switch may take to answer before the connection is given up."""

ANSWER_SECONDS = 3.0
"""How long a switch may take to answer an echo request before another connection of its replaces
this one: a host that was switched off leaves one that is silent."""

STRANGER_OCTETS = 1 << 16
"""From a switch that has not said which it is: it may tell of many ports before."""

DUMPED_AT_ONCE = 5000
"""Flows, about: userspace OVS forwards nothing while it writes them down, 2 us each."""


class Disconnected(Exception):
    """The switch is gone, or did not answer within REPLY_SECONDS."""


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


@dataclass(frozen=True)
class Tls:
    """PEM files for TLS: our key and certificate, and the CA that signs the switches'."""

    private_key: str
    certificate: str
    ca_certificates: str

    def context(self) -> ssl.SSLContext:
        """A switch without a certificate of our CA is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.private_key)
        context.load_verify_locations(self.ca_certificates)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class Connection:
    """A live OpenFlow connection, seen by who programs the switch."""

    def __init__(self, datapath: Datapath) -> None:
        self.dpid: int = datapath.id
        self.peer: str = "{}:{}".format(*datapath.address[:2])
        self.common_name: str = datapath.reader.common_name
        self._datapath = datapath
        self._xid = 0
        self._replies: dict[int, runtime.Queue] = {}
        self._errors: list[codec.SwitchError] | None = None
        self._watching = range(0)  # xids of the requests to be told of changes
        self.on_foreign_changes: Callable[[set[int]], None] = lambda tables: None
        """Called when the switch tells that somebody else changed flows of these tables, or meters
        or groups, if it can tell."""

    @property
    def alive(self) -> bool:
        return bool(self._datapath.state != DEAD_DISPATCHER)

    def xid(self) -> int:
        """A number for the next message; os-ken counts its own from elsewhere."""
        return self.xids(1)

    def xids(self, count: int) -> int:
        """The first of so many numbers in a row."""
        if self._xid + count > 0x7FFFFFFF:
            self._xid = 0
        first = self._xid + 1
        self._xid += count
        return first

    def send(self, data: bytes) -> None:
        """Queue bytes to the switch; waits while the switch does not read, which holds up nobody
        else. Errors: Disconnected."""
        with runtime.Timeout(REPLY_SECONDS, False):
            if self._datapath.send(data):
                return
            raise Disconnected(f"switch {self.dpid:016x} is gone")
        self.close()
        raise Disconnected(f"switch {self.dpid:016x} did not read for {REPLY_SECONDS} s")

    def call(self, xid: int, data: bytes) -> bytes:
        """Send a message and wait for the reply that bears ``xid``, an error included."""
        with self.asking(xid) as answer:
            self.send(data)
            return answer()

    @contextmanager
    def asking(self, xid: int) -> Iterator[Callable[[], bytes]]:
        """Replies that bear ``xid`` are kept; the function given waits for the next of them."""
        replies = self._replies[xid] = runtime.Queue()
        try:
            yield lambda: self._next(replies)
        finally:
            del self._replies[xid]

    def dump_flows(self, tables: Container[int] | None = None) -> list[codec.FlowStats]:
        """Every flow that the switch holds, or those of these tables; but none that it has learned
        by itself.

        Table by table, and large tables in parts by the last bits of their flows' cookies, which
        are a hash: so that packets do not wait for the whole of it.
        """
        counts: dict[int, int] = {}
        for some in self._ask(codec.table_stats_request, codec.read_table_stats):
            counts |= some
        found: list[codec.FlowStats] = []
        for table, count in counts.items():
            asked = tables is None or table in tables
            learned = table in codec.LEARNED_TABLES
            if count and asked:
                mask = (1 << ((count - 1) // DUMPED_AT_ONCE).bit_length()) - 1
                for part in range(mask + 1):
                    request = partial(
                        codec.flow_stats_request, table=table, cookie=part, cookie_mask=mask
                    )
                    for flows in self._ask(request, codec.read_flow_stats):
                        found += [
                            flow for flow in flows if not (learned and codec.is_learned(flow.body))
                        ]
                        runtime.yield_now()
        return found

    def dump_slots(self) -> list[int]:
        """The keys of all meters and groups that the switch holds; none of what it cannot have."""
        found: list[int] = []
        for request, read in (
            (slots.meter_config_request, slots.read_meter_config),
            (slots.group_desc_request, slots.read_group_desc),
        ):
            try:
                for keys in self._ask(request, read):
                    found += keys
            except Disconnected:
                if not self.alive:
                    raise
        return found

    def _ask(
        self, request: Callable[[int], bytes], read: Callable[[bytes], tuple[Some, bool]]
    ) -> Iterator[Some]:
        """Send a multipart request; what its replies say, one after the other."""
        xid = self.xid()
        with self.asking(xid) as answer:
            self.send(request(xid))
            more = True
            while more:
                data = answer()
                if codec.read_header(data).kind == codec.ERROR:
                    raise Disconnected(f"dump refused: {codec.read_error(data)}")
                some, more = read(data)
                yield some

    def watch(self) -> None:
        """Ask the switch to tell when somebody else changes its flows, groups or meters. Not every
        switch can; one that cannot answers with an error, and the audit must do."""
        first = self.xids(2)
        self._watching = range(first, first + 2)
        self.send(codec.flow_monitor_request(first) + codec.requestforward_request(first + 1))

    def answers(self) -> bool:
        """Whether the switch is really there; if not, the connection is over."""
        with runtime.Timeout(ANSWER_SECONDS, False):
            try:
                xid = self.xid()
                self.call(xid, codec.message(codec.ECHO_REQUEST, xid))
                return True
            except Disconnected:
                return False
        self.close()
        return False

    def errors_of(self, work: Callable[[], Any]) -> list[codec.SwitchError]:
        """Do something that sends messages and waits; the errors that came meanwhile."""
        errors: list[codec.SwitchError] = []
        self._errors = errors
        try:
            work()
        finally:
            self._errors = None
        return errors

    def close(self) -> None:
        self._datapath.close()

    def _next(self, replies: runtime.Queue) -> bytes:
        with runtime.Timeout(REPLY_SECONDS, False):
            data: bytes | None = replies.get()
            if data is None:
                raise Disconnected(f"switch {self.dpid:016x} is gone")
            return data
        self.close()
        raise Disconnected(f"switch {self.dpid:016x} did not answer for {REPLY_SECONDS} s")

    def awaits(self, xid: int) -> bool:
        """Whether somebody waits for replies that bear ``xid``."""
        return xid in self._replies

    def take(self, header: codec.Header, data: bytes) -> None:
        """A message from the switch, for whoever waits for it."""
        if header.kind == codec.MULTIPART_REPLY and codec.is_flow_monitor_reply(data):
            if tables := codec.read_flow_updates(data):
                self.on_foreign_changes(tables)
            return
        if header.kind == codec.REQUESTFORWARD:
            self.on_foreign_changes(set())
            return
        replies = self._replies.get(header.xid)
        if header.kind == codec.ERROR and header.xid in self._watching:
            LOG.info("switch %016x cannot tell what others change; audits see it", self.dpid)
            return
        if header.kind == codec.ERROR and self._errors is not None:
            self._errors.append(codec.read_error(data))
        if replies is not None:
            replies.put(data)
        elif header.kind == codec.ERROR and self._errors is None:
            LOG.warning("switch %016x: unexpected %s", self.dpid, codec.read_error(data))

    def end(self) -> None:
        """The switch is gone: whoever waits for it is told."""
        for replies in list(self._replies.values()):
            replies.put(None)


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

    def serve(self, listening: socket.socket, observer: Observer, tls: Tls | None = None) -> None:
        """Accept switches from now on, and tell ``observer`` of them."""
        self.observer = observer
        context = tls.context() if tls else None
        self._listener = Listener(listening, self.clients, self._serve, context)

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
