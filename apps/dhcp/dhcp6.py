# SPDX-License-Identifier: Apache-2.0

"""DHCPv6 messages: what a client says, and what it is answered (RFC 8415).

As with DHCPv4 the model is the only truth: a port's addresses are its own, for as long as it has
them, whatever a client requests, releases or declines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tenantry.apps.dhcp import options as o
from tenantry.controller.model import Port
from tenantry.controller.packets.addresses import is_within
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.packets.own_addresses import SERVICE_MAC

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11

CLIENT_ID, SERVER_ID, IA_NA, IA_TA, IA_ADDRESS, OPTION_REQUEST = range(1, 7)
STATUS_CODE, RAPID_COMMIT, IA_PD, REFRESH_TIME = 13, 14, 25, 32  # section 21
SUCCESS, NO_ADDRESSES, NOT_ON_LINK, NO_PREFIX = 0, 2, 4, 6  # section 21.13

SERVER_DUID = struct.pack("!HH", 3, 1) + SERVICE_MAC.to_bytes(6, "big")
"""Made of a link-layer address (section 11.4), and so the same from every controller."""

_NEED_SERVER = {REQUEST, RENEW, DECLINE, RELEASE}
_NO_SERVER = {SOLICIT, CONFIRM, REBIND}


class Association(NamedTuple):
    """An identity association: what a client wants addresses (or prefixes) for."""

    kind: int  # IA_NA, IA_TA or IA_PD
    id: bytes
    addresses: tuple[int, ...]


class Message(NamedTuple):
    """What a client says."""

    type: int
    transaction: bytes
    client: bytes
    server: bytes
    requested: frozenset[int]
    rapid_commit: bool
    tags: frozenset[str]
    associations: tuple[Association, ...]


def parse(data: bytes) -> Message:
    """Errors: Malformed. Relayed messages are: no tenant's port is a relay."""
    if len(data) < 4 or data[0] not in {*_NEED_SERVER, *_NO_SERVER, INFORMATION_REQUEST}:
        raise Malformed
    client = server = b""
    requested: set[int] = set()
    rapid_commit, tags = False, frozenset[str]()
    associations: list[Association] = []
    for code, value in _parse_options(data[4:]):
        if code == CLIENT_ID:
            client = value
        elif code == SERVER_ID:
            server = value
        elif code == OPTION_REQUEST:
            requested |= {pair[0] for pair in struct.iter_unpack("!H", value[: len(value) & ~1])}
        elif code == RAPID_COMMIT:
            rapid_commit = True
        elif code == o.USER_CLASS6 and o.IPXE_CLASS in value:
            tags = frozenset({o.IPXE6})
        elif code in (IA_NA, IA_TA, IA_PD):
            associations.append(_association(code, value))
    if len(client) > 130 or not (client or data[0] == INFORMATION_REQUEST):
        raise Malformed  # section 11.1; 16
    return Message(
        *(data[0], data[1:4], client, server, frozenset(requested), rapid_commit, tags),
        tuple(associations),
    )


def _parse_options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed
        code, length = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + length]
        if len(value) < length:
            raise Malformed
        yield code, value
        at += 4 + length


def _association(kind: int, value: bytes) -> Association:
    head = 4 if kind == IA_TA else 12
    if len(value) < head:
        raise Malformed
    addresses = []
    for code, inner in _parse_options(value[head:]):
        if code == IA_ADDRESS:
            if len(inner) < 24:
                raise Malformed
            addresses.append(int.from_bytes(inner[:16], "big"))
    return Association(kind, value[:4], tuple(addresses))


@dataclass(frozen=True)
class Offer:
    """What a port is given: addresses (those of stateful subnets), and the rest."""

    port: Port
    addresses: tuple[int, ...]
    on_link: tuple[tuple[int, int], ...]  # its subnets, as (first, prefix length)
    dns: tuple[int, ...]
    domain: str  # with its final dot
    ntp_servers: tuple[int, ...]
    lease_seconds: int


def answer(message: Message, offer: Offer) -> bytes | None:
    """The answer; None if there is none (section 18.3)."""
    ours = message.server == SERVER_DUID
    if message.type in _NEED_SERVER and not ours:
        return None
    if (message.type in _NO_SERVER and message.server) or (message.server and not ours):
        return None
    if message.type == INFORMATION_REQUEST:
        # Whoever asks for addresses here is malformed: section 18.3.6.
        return None if message.associations else _message(REPLY, message, _other(message, offer))
    if message.type == CONFIRM:
        asked = [address for ia in message.associations for address in ia.addresses]
        if not asked:
            return None
        there = all(_is_on_link(address, offer) for address in asked)
        return _message(REPLY, message, _status(SUCCESS if there else NOT_ON_LINK))
    if message.type in (RELEASE, DECLINE):
        return _message(REPLY, message, _status(SUCCESS))
    given = b"".join(_given(message, ia, offer) for ia in message.associations)
    rest = given + _other(message, offer)
    if message.type == SOLICIT and not message.rapid_commit:
        return _message(ADVERTISE, message, rest)
    committed = _option(RAPID_COMMIT, b"") if message.type == SOLICIT else b""
    return _message(REPLY, message, committed + rest)


def _given(message: Message, ia: Association, offer: Offer) -> bytes:
    """An association with the port's addresses; what it has no longer gets lifetimes of 0."""
    if ia.kind != IA_NA:
        none = _status(NO_PREFIX if ia.kind == IA_PD else NO_ADDRESSES)
        times = b"" if ia.kind == IA_TA else bytes(8)
        return _option(ia.kind, ia.id + times + none)
    lease = offer.lease_seconds
    inner = b"".join(_address(address, lease) for address in offer.addresses)
    if message.type in (RENEW, REBIND):
        gone = [address for address in ia.addresses if address not in offer.addresses]
        inner += b"".join(_address(address, 0) for address in gone[:8])
    if not offer.addresses:
        inner += _status(NO_ADDRESSES)
    times = struct.pack("!II", lease // 2, lease * 4 // 5) if offer.addresses else bytes(8)
    return _option(IA_NA, ia.id + times + inner)


def _address(address: int, lease: int) -> bytes:
    """An address with its preferred and its valid lifetime, in seconds."""
    return _option(IA_ADDRESS, address.to_bytes(16, "big") + struct.pack("!II", lease, lease))


def _is_on_link(address: int, offer: Offer) -> bool:
    return any(is_within(address, 6, first, length) for first, length in offer.on_link)


def _other(message: Message, offer: Offer) -> bytes:
    """What the client asked for, and what the port's owner wants it to have anyway."""
    options, tags = offer.port.dhcp_options, message.tags
    own = o.own(options, 6, tags)
    if url := o.boot_url(options, tags):
        own.setdefault(o.BOOT_FILE6, url)
    may = {**_configuration(offer), **own}
    if message.type == INFORMATION_REQUEST:
        may.setdefault(REFRESH_TIME, offer.lease_seconds.to_bytes(4, "big"))
    codes = [code for code in may if code in message.requested or code in own]
    return b"".join(_option(code, may[code]) for code in codes if may[code])


def _configuration(offer: Offer) -> Mapping[int, bytes]:
    servers = [server.to_bytes(16, "big") for server in offer.ntp_servers]
    name = offer.domain.rstrip(".")
    return {
        o.DNS6: b"".join(server.to_bytes(16, "big") for server in offer.dns),
        o.SEARCH6: o.names(name) if name else b"",
        o.SNTP6: b"".join(servers),
        o.NTP6: b"".join(b"\0\x01\0\x10" + server for server in servers),  # RFC 5908, 4.1
    }


def _status(code: int) -> bytes:
    return _option(STATUS_CODE, code.to_bytes(2, "big"))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def _message(type: int, message: Message, rest: bytes) -> bytes:
    client = _option(CLIENT_ID, message.client) if message.client else b""
    head = bytes([type]) + message.transaction
    return head + client + _option(SERVER_ID, SERVER_DUID) + rest
