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
from typing import Any, Protocol, TypeVar

import os_ken.cfg
from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import controller as os_ken_controller
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.ofproto import ofproto_parser, ofproto_v1_4

from controller import runtime
from controller.switch import codec

LOG = logging.getLogger(__name__)

Some = TypeVar("Some")

REPLY_SECONDS = 60
"""How long a switch may take to answer before the connection is given up."""

HANDSHAKE_SECONDS = 10
"""How long a TLS handshake may take; others connect meanwhile."""

DUMPED_AT_ONCE = 5000
"""Flows, about: userspace OVS forwards nothing while it writes them down, 2 us each."""

ECHO_SECONDS = 5  # between echo requests of ours; three unanswered end the connection

_RAW = frozenset({codec.ERROR, codec.BARRIER_REPLY, codec.BUNDLE_CONTROL})


class Disconnected(Exception):
    """The switch is gone, or did not answer within REPLY_SECONDS."""


class Observer(Protocol):
    """Who is told of switches; calls must not block."""

    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, connection: Connection) -> None: ...

    def ports(self, dpid: int, ports: Mapping[int, str]) -> None:
        """All OpenFlow ports of a switch, by number: their names."""

    def port(self, dpid: int, number: int, name: str | None) -> None:
        """One of them is new or has another name, or is gone (None)."""

    def packet_in(self, connection: Connection, data: bytes) -> None:
        """A packet-in message, as bytes."""


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

    def __init__(self, datapath: _Datapath) -> None:
        self.dpid: int = datapath.id
        self.peer: str = "{}:{}".format(*datapath.address[:2])
        self._datapath = datapath
        self._xid = 0
        self._replies: dict[int, runtime.Queue] = {}
        self._errors: list[codec.SwitchError] | None = None
        self._watching = 0  # xid of the request for a flow monitor
        self.on_foreign_changes: Callable[[list[codec.ForeignChange]], None] = lambda changes: None
        """Called when the switch tells that somebody else changed flows, if it can tell."""

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
        """Every flow that the switch holds, or those of these tables; but none of tables that it
        fills by itself.

        Table by table, and large tables in parts by the last bits of their flows' cookies, which
        are a hash: so that packets do not wait for the whole of it.
        """
        counts: dict[int, int] = {}
        for some in self._ask(codec.table_stats_request, codec.read_table_stats):
            counts |= some
        found: list[codec.FlowStats] = []
        for table, count in counts.items():
            asked = tables is None or table in tables
            if count and asked and table not in codec.LEARNED_TABLES:
                mask = (1 << ((count - 1) // DUMPED_AT_ONCE).bit_length()) - 1
                for part in range(mask + 1):
                    request = partial(
                        codec.flow_stats_request, table=table, cookie=part, cookie_mask=mask
                    )
                    for flows in self._ask(request, codec.read_flow_stats):
                        found += flows
                        runtime.breathe()
        return found

    def dump_slots(self) -> list[int]:
        """The keys of all meters and groups that the switch holds; none of what it cannot have."""
        found: list[int] = []
        for request, read in (
            (codec.meter_config_request, codec.read_meter_config),
            (codec.group_desc_request, codec.read_group_desc),
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

    def watch_flows(self) -> None:
        """Ask the switch to tell when somebody else changes its flows. Not every switch can; one
        that cannot answers with an error, and the audit must do."""
        self._watching = self.xid()
        self.send(codec.flow_monitor_request(self._watching))

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

    def _receive(self, header: codec.Header, data: bytes) -> None:
        if header.kind == codec.MULTIPART_REPLY and codec.is_flow_monitor_reply(data):
            if changes := codec.read_flow_updates(data):
                self.on_foreign_changes(changes)
            return
        replies = self._replies.get(header.xid)
        if header.kind == codec.ERROR and header.xid == self._watching:
            LOG.info("switch %016x has no flow monitor; only audits see what others do", self.dpid)
            return
        if header.kind == codec.ERROR and self._errors is not None:
            self._errors.append(codec.read_error(data))
        if replies is not None:
            replies.put(data)
        elif header.kind == codec.ERROR and self._errors is None:
            LOG.warning("switch %016x: unexpected %s", self.dpid, codec.read_error(data))

    def _dead(self) -> None:
        for replies in list(self._replies.values()):
            replies.put(None)


class _Datapath(os_ken_controller.Datapath):  # type: ignore[misc]
    """os-ken's datapath, but for the reading: hot messages go to the Connection as bytes."""

    connection: Connection | None = None

    def __init__(self, peer: Any, address: Any, observer: Observer) -> None:
        super().__init__(peer, address)
        self.observer = observer

    def _recv_loop(self) -> None:
        try:
            self._read()
        finally:
            if self.connection is not None:
                self.connection._dead()
            self.set_state(DEAD_DISPATCHER)
            self.socket.close()

    def _read(self) -> None:
        buffer = bytearray()
        while self.state != DEAD_DISPATCHER:
            try:
                received = self.socket.recv(1 << 16)
            except TimeoutError:
                continue
            except (OSError, ValueError):  # the latter of TLS, if it was we who hung up
                return
            if not received:
                return
            buffer += received
            offset = 0
            while len(buffer) - offset >= 8:
                header = codec.Header._make(codec._HEADER.unpack_from(buffer, offset))
                if header.length < 8:
                    LOG.error("switch at %s sends nonsense; closing", self.address)
                    return
                if len(buffer) - offset < header.length:
                    break
                self._message(header, bytes(buffer[offset : offset + header.length]))
                offset += header.length
            del buffer[:offset]

    def _message(self, header: codec.Header, data: bytes) -> None:
        connection = self.connection
        if connection is not None and header.kind == codec.PACKET_IN:
            self.observer.packet_in(connection, data)
            return
        if connection is not None and (
            header.kind in _RAW
            or (
                header.kind == codec.MULTIPART_REPLY
                and (header.xid in connection._replies or codec.is_flow_monitor_reply(data))
            )
        ):
            connection._receive(header, data)
            return
        message = ofproto_parser.msg(
            self, header.version, header.kind, header.length, header.xid, bytearray(data)
        )
        if not message or self.ofp_brick is None:
            return
        event = ofp_event.ofp_msg_to_ev(message)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self.ofp_brick.get_handlers(event):
            if self.state in handler.callers[event.__class__].dispatchers:
                handler(event)


class _Handshake(OFPHandler):  # type: ignore[misc]
    """os-ken's own handler of hello, features and echo, without its listener."""

    def start(self) -> None:
        OSKenApp.start(self)


class Channel(OSKenApp):  # type: ignore[misc]
    """The one os-ken app: owns every connection and tells the observer."""

    OFP_VERSIONS = (ofproto_v1_4.OFP_VERSION,)

    def __init__(self, observer: Observer, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._observer = observer
        self._connections: dict[int, Connection] = {}
        self._listening: socket.socket | None = None

    def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Accept switches from now on; the port, which the system chooses if ``port`` is 0.

        Errors: OSError if the address is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = runtime.listen((host, port), family, backlog=512)
        context = tls.context() if tls else None
        self._accepting = runtime.spawn(self._accept, self._listening, context)
        bound: int = self._listening.getsockname()[1]
        return bound

    def close(self) -> None:
        """Stop listening and hang up; the switches keep their flows."""
        if self._listening is not None:
            # Killed first: whoever waits on a number that the system gives to another file would
            # wake for that one.
            self._accepting.kill()
            self._listening.close()
        for connection in list(self._connections.values()):
            connection.close()

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            peer, address = listening.accept()
            runtime.spawn(self._serve, peer, address, context)

    def _serve(self, peer: Any, address: Any, context: ssl.SSLContext | None) -> None:
        try:
            if context is not None:
                with runtime.Timeout(HANDSHAKE_SECONDS):
                    peer = context.wrap_socket(peer, server_side=True)
            datapath = _Datapath(peer, address, self._observer)
            datapath.echo_request_interval = ECHO_SECONDS
            datapath.max_unreplied_echo_requests = 3
            datapath.serve()
        except (OSError, runtime.Timeout) as error:
            LOG.warning("connection from %s: %s", address[0], error)
        except Exception:
            LOG.exception("connection from %s ended by a message that cannot be read", address[0])
        finally:
            peer.close()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore
    def _state(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            connection = datapath.connection = Connection(datapath)
            before = self._connections.get(connection.dpid)
            self._connections[connection.dpid] = connection
            if before is not None:
                before.close()
                self._observer.disconnected(before)
            LOG.info("switch %016x connected from %s", connection.dpid, connection.peer)
            self._tell_ports(datapath)
            self._observer.connected(connection)
        elif (connection := datapath.connection) is not None and (
            self._connections.get(connection.dpid) is connection
        ):
            del self._connections[connection.dpid]
            LOG.info("switch %016x disconnected", connection.dpid)
            self._observer.disconnected(connection)

    @set_ev_cls(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _port_state(self, event: Any) -> None:
        datapath, number = event.datapath, event.port_no
        port = datapath.ports.get(number)
        if number < ofproto_v1_4.OFPP_MAX:
            self._observer.port(datapath.id, number, _name(port) if port else None)

    def _tell_ports(self, datapath: Any) -> None:
        names = {
            number: _name(port)
            for number, port in datapath.ports.items()
            if number < ofproto_v1_4.OFPP_MAX
        }
        self._observer.ports(datapath.id, names)


def _name(port: Any) -> str:
    name: str = port.name.decode(errors="replace")
    return name


def start(observer: Observer) -> Channel:
    """Start os-ken in this process, with the Channel as its only app."""
    os_ken.cfg.CONF(args=[], project="os_ken", default_config_files=[])
    apps = AppManager.get_instance()
    apps.instantiate(_Handshake).start()
    channel: Channel = apps.instantiate(Channel, observer)
    channel.start()
    return channel


def stop(channel: Channel) -> None:
    """Hang up, stop listening, and make room for another :func:`start`."""
    apps = AppManager.get_instance()
    apps.uninstantiate(channel.name)
    apps.uninstantiate(ofp_event.NAME)
