# SPDX-License-Identifier: Apache-2.0

"""DHCPv4 messages: what a client says, and what it is answered (RFC 2131, RFC 2132).

The model is the only truth: nothing is leased or remembered, so a release or a decline changes
nothing, and every controller gives the same answer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tenantry.apps.dhcp import options as o
from tenantry.controller.model import FixedIp, Port, Route, Subnet
from tenantry.controller.network.configuration import default_router, name_servers, routes
from tenantry.controller.packets.addresses import prefix_mask
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.packets.own_addresses import METADATA_ADDRESSES

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
BOOT_REQUEST, BOOT_REPLY, ETHERNET = 1, 2, 1
BROADCAST_FLAG = 0x8000
BROADCAST = 0xFFFFFFFF

_HEAD = struct.Struct("!BBBBIHHIIII16s64s128s4s")
_MAGIC = b"\x63\x82\x53\x63"
_MIN_SIZE, _DEFAULT_SIZE = 300, 548
"""Of a message: RFC 1542, 2.1; RFC 2131, 2 (576 octets of IP, less the headers)."""
_HEADERS = 28  # IP and UDP; option 57 counts them


class Message(NamedTuple):
    """What a client says."""

    type: int
    xid: int
    flags: int
    ciaddr: int
    relay: int
    mac: int
    options: Mapping[int, bytes]

    def address(self, code: int) -> int | None:
        """An option that is an IPv4 address, if it is there."""
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) == 4 else None

    @property
    def tags(self) -> frozenset[str]:
        """What a port's options can ask of it."""
        said = {o.IPXE: o.ENCAPSULATED in self.options}
        said[o.IPXE6] = o.IPXE_CLASS in self.options.get(o.USER_CLASS, b"")
        return frozenset(tag for tag, here in said.items() if here)


def parse(data: bytes) -> Message:
    """Errors: Malformed."""
    try:
        head = _HEAD.unpack_from(data)
    except struct.error:
        raise Malformed from None
    op, hardware, length, _, xid, _, flags, ciaddr, _, _, relay, chaddr, sname, file, magic = head
    if (op, hardware, length, magic) != (BOOT_REQUEST, ETHERNET, 6, _MAGIC):
        raise Malformed
    found = _parse_options(data[_HEAD.size :])
    overload = found.get(o.OVERLOAD, b"\0")[0]  # RFC 2132, 9.3
    for bit, field in ((1, file), (2, sname)):
        if overload & bit:
            found = {**_parse_options(field), **found}
    if len(found.get(o.TYPE, b"")) != 1:
        raise Malformed
    mac = int.from_bytes(chaddr[:6], "big")
    return Message(found[o.TYPE][0], xid, flags, ciaddr, relay, mac, found)


def _parse_options(data: bytes) -> dict[int, bytes]:
    """One that is there several times is one long option: RFC 3396."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise Malformed
        end = at + 2 + data[at + 1]
        value = data[at + 2 : end]
        if not value:
            raise Malformed  # RFC 2132: none has a length of 0, but for 0 and 255
        found[data[at]] = found.get(data[at], b"") + value
        at = end
    return found


@dataclass(frozen=True)
class Offer:
    """What a port is given on one of its subnets."""

    port: Port
    subnet: Subnet
    ip: FixedIp
    mtu: int
    host_name: str
    domain: str  # with its final dot
    lease_seconds: int
    ntp_servers: tuple[int, ...]

    @property
    def server(self) -> int:
        """The server identifier: where a client that renews asks (RFC 2131, 4.3.2)."""
        subnet = self.subnet
        if subnet.service_address is not None:
            return subnet.service_address
        return subnet.gateway if subnet.gateway is not None else METADATA_ADDRESSES[0][1]


def answer(message: Message, offers: list[Offer]) -> tuple[int, bytes, int] | None:
    """The type of the answer, its bytes and the IP address it goes to; None if there is none.

    ``offers`` are what the port may have, one an address, at least one.
    """
    asked = message.address(o.REQUESTED)
    chosen = next((offer for offer in offers if offer.ip.address == asked), offers[0])
    if message.type == DISCOVER:
        return _reply(message, OFFER, chosen)
    if message.type == INFORM:
        known = next((offer for offer in offers if offer.ip.address == message.ciaddr), None)
        return _reply(message, ACK, known) if known else None
    if message.type != REQUEST:
        return None
    # Selecting, init-reboot, or renewing and rebinding: RFC 2131, 4.3.2.
    server, wanted = message.address(o.SERVER), message.ciaddr or asked
    if server is not None and all(server != offer.server for offer in offers):
        return None  # another server's offer was taken
    granted = next((offer for offer in offers if offer.ip.address == wanted), None)
    return _reply(message, ACK, granted) if granted else _refuse(message, offers[0])


def _refuse(message: Message, offer: Offer) -> tuple[int, bytes, int]:
    said = {o.TYPE: bytes([NAK]), o.SERVER: offer.server.to_bytes(4, "big"), **_client(message)}
    return NAK, _message(message, 0, 0, b"", b"", _encode(said, _DEFAULT_SIZE)), BROADCAST


def _client(message: Message) -> dict[int, bytes]:
    """A client's identifier is told back: RFC 6842."""
    client = message.options.get(o.CLIENT)
    return {o.CLIENT: client} if client else {}


def _reply(message: Message, type: int, offer: Offer) -> tuple[int, bytes, int]:
    options, tags = offer.port.dhcp_options, message.tags
    own = o.own(options, 4, tags)
    leased = message.type != INFORM
    said = {o.TYPE: bytes([type]), o.SERVER: offer.server.to_bytes(4, "big")}
    if leased:
        said |= _times(offer.lease_seconds)
    said |= _client(message)
    may = {**_configuration(offer), **own}
    wanted = message.options.get(o.PARAMETERS, bytes(may))
    # What it asked for in its order, then what the port's owner wants it to have anyway. An empty
    # value takes an option away: no router, say.
    for code in (o.MASK, *wanted, *own):
        if may.get(code):
            said.setdefault(code, may[code])
    said |= {code: own[code] for code in said.keys() & own.keys() if own[code]}
    next_server = o.next_server(options, 4, tags)
    if leased:
        to = message.ciaddr or (BROADCAST if message.flags & BROADCAST_FLAG else offer.ip.address)
    else:
        to = message.ciaddr
    body = _message(
        message,
        offer.ip.address if leased else 0,
        int(next_server or 0),
        own.get(o.TFTP_SERVER, b""),
        own.get(o.BOOT_FILE, b""),
        _encode(said, _space(message)),
    )
    return type, body, to


def _times(lease: int) -> dict[int, bytes]:
    """The lease, and when to renew and to rebind (RFC 2131, 4.4.5), in seconds."""
    times = {o.LEASE: lease, o.T1: lease // 2, o.T2: lease * 7 // 8}
    return {code: seconds.to_bytes(4, "big") for code, seconds in times.items()}


def _configuration(offer: Offer) -> dict[int, bytes]:
    """The options of a subnet and a port, the more important first."""
    subnet = offer.subnet
    size = subnet.prefix_length
    mask = prefix_mask(4, size)
    router = default_router(subnet)
    name = offer.domain.rstrip(".")
    told = o.routes(_routes(subnet))
    found = {
        o.MASK: _packed(mask),
        o.ROUTER: b"" if router is None else _packed(router),
        o.ROUTES: told,
        o.DNS: _packed(*name_servers(subnet)),
        o.MTU: offer.mtu.to_bytes(2, "big"),
        o.HOST_NAME: offer.host_name.split(".")[0].encode(),
        o.DOMAIN: name.encode(),
        o.SEARCH: o.names(name) if name else b"",
        o.NTP: _packed(*offer.ntp_servers),
        28: _packed(subnet.first | ~mask & 0xFFFFFFFF),
        o.WINDOWS_ROUTES: told,
    }
    return {code: value for code, value in found.items() if value}


def _routes(subnet: Subnet) -> list[tuple[int, int, int]]:
    """All of a host's routes: who takes these ignores the router option (RFC 3442). None if that
    says it all."""
    told, metadata = routes(subnet), METADATA_ADDRESSES[0][1]
    default = [route for route in told if not route.prefix_length]
    more = [route for route in told if route.prefix_length]
    if subnet.service_address is not None and all(r.destination != metadata for r in more):
        more.append(Route(metadata, 32, subnet.service_address))
    found = [*more, *default] if more else []
    return [(route.destination, route.prefix_length, route.nexthop) for route in found]


def _packed(*addresses: int) -> bytes:
    return b"".join(address.to_bytes(4, "big") for address in addresses)


def _space(message: Message) -> int:
    """How long a message the client takes: RFC 2132, 9.10."""
    asked = int.from_bytes(message.options.get(o.MAX_SIZE, b"")[:2], "big")
    return min(max(asked - _HEADERS, _DEFAULT_SIZE), 1400)


def _encode(said: Mapping[int, bytes], space: int) -> bytes:
    """Options as bytes; what no longer fits is left out, the last first."""
    encoded = b""
    for code, value in said.items():
        parts = [value[at : at + 255] for at in range(0, len(value), 255)]  # RFC 3396
        more = b"".join(bytes([code, len(part)]) + part for part in parts)
        if _HEAD.size + len(encoded) + len(more) + 1 <= space:
            encoded += more
    return encoded + b"\xff"


def _message(
    message: Message, yours: int, next_server: int, sname: bytes, file: bytes, options: bytes
) -> bytes:
    ciaddr = message.ciaddr if yours or message.type == INFORM else 0
    data = _HEAD.pack(
        *(BOOT_REPLY, ETHERNET, 6, 0, message.xid, 0, message.flags),
        *(ciaddr, yours, next_server, 0, message.mac.to_bytes(6, "big")),
        *(sname[:63], file[:127], _MAGIC),
    )
    return (data + options).ljust(_MIN_SIZE, b"\0")
