# SPDX-License-Identifier: Apache-2.0

"""os-ken's part of a connection: hello, features, echo, and messages that are rare.

What comes is read by us: it is bounded, lets others work, and messages that can be many go to the
:class:`~controller.switch.channel.Connection` as bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_ken.base.app_manager import OSKenApp
from os_ken.controller import controller as os_ken_controller
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.ofproto import ofproto_parser

from tenantry.controller.openflow import codec
from tenantry.controller.sockets.reader import Reader, Unwelcome

if TYPE_CHECKING:
    from tenantry.controller.switch.channel import Channel
    from tenantry.controller.switch.connection import Connection

# It logs a traceback for each message that cannot be read, whoever sends it; we say it ourselves.
logging.getLogger("os_ken.ofproto.ofproto_parser").disabled = True

ECHO_SECONDS = 5  # between echo requests of ours; three unanswered end the connection

_RAW = frozenset({codec.ERROR, codec.BARRIER_REPLY, codec.BUNDLE_CONTROL, codec.REQUESTFORWARD})
_RAW_REPLIES = frozenset({codec.MULTIPART_REPLY, codec.ECHO_REPLY})
_OF_STRANGERS = frozenset({codec.HELLO, codec.ECHO_REQUEST, codec.ECHO_REPLY, codec.FEATURES_REPLY})


class Datapath(os_ken_controller.Datapath):  # type: ignore[misc]
    """os-ken's datapath, but for the reading: hot messages go to the Connection as bytes."""

    connection: Connection | None = None

    def __init__(self, reader: Reader, channel: Channel) -> None:
        super().__init__(reader.stream, reader.peer)
        self.echo_request_interval = ECHO_SECONDS
        self.max_unreplied_echo_requests = 3
        self.reader = reader
        self.channel = channel

    def close(self) -> None:
        super().close()
        self.reader.close()

    def _recv_loop(self) -> None:
        try:
            for header, data in self._messages():
                self._message(header, data)
        except OSError:
            if self.connection is None:
                raise
        finally:
            if self.connection is not None:
                self.connection.end()
            self.set_state(DEAD_DISPATCHER)

    def _messages(self) -> Iterator[tuple[codec.Header, bytes]]:
        buffer = bytearray()
        while self.state != DEAD_DISPATCHER and (received := self.reader.receive()):
            buffer += received
            offset = 0
            while len(buffer) - offset >= 8:
                header = codec.read_header(buffer, offset)
                if header.length < 8 or not 1 <= header.version <= 6:
                    raise Unwelcome("sends what is no OpenFlow")
                if len(buffer) - offset < header.length:
                    break
                yield header, bytes(buffer[offset : offset + header.length])
                offset += header.length
                self.reader.rest()
            del buffer[:offset]

    def _message(self, header: codec.Header, data: bytes) -> None:
        connection = self.connection
        if connection is None:
            if header.kind == codec.ERROR:
                raise Unwelcome("refuses what it is asked; it must speak OpenFlow 1.4")
            if header.kind not in _OF_STRANGERS:
                return  # a switch may tell of its ports before it is asked
            if header.kind == codec.FEATURES_REPLY and self.state == CONFIG_DISPATCHER:
                self.connection = self.channel.introduced(self, _datapath_id(data))
        elif header.kind == codec.PACKET_IN:
            if self.state == MAIN_DISPATCHER:
                self.channel.observer.packet_in(connection, data)
            return
        elif (
            header.kind in _RAW
            or (header.kind in _RAW_REPLIES and connection.awaits(header.xid))
            or (header.kind == codec.MULTIPART_REPLY and codec.is_flow_monitor_reply(data))
        ):
            connection.take(header, data)
            return
        message = ofproto_parser.msg(
            self, header.version, header.kind, header.length, header.xid, bytearray(data)
        )
        if not message or self.ofp_brick is None:
            unreadable = f"sends a message (type {header.kind}) that cannot be read"
            if self.connection is None:
                raise Unwelcome(unreadable)
            self.channel.clients.complaints.tell(self.reader.address, unreadable)
            return
        event = ofp_event.ofp_msg_to_ev(message)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self.ofp_brick.get_handlers(event):
            if self.state in handler.callers[event.__class__].dispatchers:
                handler(event)


class Handshake(OFPHandler):  # type: ignore[misc]
    """os-ken's own handler of hello, features and echo, without its listener."""

    def start(self) -> None:
        OSKenApp.start(self)

    def _hello_failed(self, datapath: Datapath, error_desc: str) -> None:
        """Tell the switch, which hangs up then."""
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        error = parser.OFPErrorMsg(
            datapath=datapath,
            type_=ofproto.OFPET_HELLO_FAILED,
            code=ofproto.OFPHFC_INCOMPATIBLE,
            data=error_desc.encode(),
        )
        datapath.send_msg(error, close_socket=True)
        datapath.channel.clients.complaints.tell(datapath.reader.address, error_desc)


def _datapath_id(features: bytes) -> int:
    """Which switch a features reply is from (7.3.1)."""
    if len(features) < 32:
        raise Unwelcome("sends a features reply that is too short")
    return int.from_bytes(features[8:16], "big")
