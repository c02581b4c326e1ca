# SPDX-License-Identifier: Apache-2.0

"""DHCP's and router advertisements' bytes, read by os-ken's decoders, case by case."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from os_ken.lib.packet import dhcp, icmpv6, packet

from tenantry.apps.dhcp import advertise, dhcp4, dhcp6, options
from tenantry.apps.dhcp.advertise import Advertised, Prefix
from tenantry.controller.feature.effects import PacketIn
from tenantry.controller.model import DhcpOption, Port, View
from tenantry.controller.packets import frames
from tenantry.controller.packets.malformed import Malformed
from tests.property.test_guest_bytes import DHCP, MAC, PREFIX, SOLICITATION, VIEW, discover

OWN, SERVER = "10.0.0.2", "10.0.0.254"


def request4(
    type: int,
    *,
    said: bytes = b"",
    ciaddr: str = "0.0.0.0",
    flags: int = 0,
    relay: int = 0,
    mac=MAC,
) -> bytes:
    """A client's message in its frame; ``said`` are options."""
    head = struct.pack(
        "!BBBBIHH4sIII16s192xI",
        *(1, 1, 6, 0, 7, 0, flags, IPv4Address(ciaddr).packed, 0, 0, relay),
        *(mac.to_bytes(6, "big"), 0x63825363),
    )
    body = head + bytes((53, 1, type)) + said + b"\xff"
    return frames.udp(
        frames.Ends(mac, (1 << 48) - 1, 4, int(IPv4Address(ciaddr)), 0xFFFFFFFF), 68, 67, body
    )


def option(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


def address(code: int, text: str) -> bytes:
    return option(code, IPv4Address(text).packed)


def told4(frame: bytes) -> tuple[Any, dict[int, bytes], frames.Frame] | None:
    """What the answer says: the message, its options by code, its frame."""
    answers = list(DHCP.handle(VIEW, PacketIn(1, 0, 5, 1, 7, frame)))
    if not answers:
        return None
    (answer,) = answers
    message = packet.Packet(answer.data).get_protocol(dhcp.dhcp)
    found = {item.tag: item.value for item in message.options.option_list}
    return message, found, frames.parse(answer.data)


def type_of(told: Any) -> int:
    return told[1][53][0]


def test_discover_and_request() -> None:
    offer = told4(discover())
    assert offer is not None
    assert type_of(offer) == dhcp4.OFFER
    assert (offer[0].yiaddr, offer[0].siaddr, offer[0].ciaddr) == (OWN, "0.0.0.0", "0.0.0.0")
    ack = told4(request4(dhcp4.REQUEST, said=address(54, SERVER) + address(50, OWN)))
    assert ack is not None
    assert type_of(ack) == dhcp4.ACK
    assert IPv4Address(ack[1][54]) == IPv4Address(SERVER)
    lease, t1, t2 = (int.from_bytes(ack[1][code], "big") for code in (51, 58, 59))
    assert (lease, t1, t2) == (86400, 43200, 75600)
    assert ack[2].dst == int(IPv4Address(OWN))
    assert ack[2].eth_dst == MAC


@pytest.mark.parametrize(
    ("frame", "type"),
    [
        (request4(dhcp4.REQUEST, said=address(54, "10.0.0.9") + address(50, OWN)), None),
        (request4(dhcp4.REQUEST, said=address(50, OWN)), dhcp4.ACK),  # init-reboot
        (request4(dhcp4.REQUEST, said=address(50, "10.0.0.77")), dhcp4.NAK),
        (request4(dhcp4.REQUEST, said=address(50, "192.0.2.1")), dhcp4.NAK),
        (request4(dhcp4.REQUEST, ciaddr=OWN), dhcp4.ACK),  # renewing
        (request4(dhcp4.REQUEST, ciaddr="10.0.0.77"), dhcp4.NAK),
        (request4(dhcp4.INFORM, ciaddr=OWN), dhcp4.ACK),
        (request4(dhcp4.INFORM, ciaddr="10.0.0.77"), None),
        (request4(dhcp4.RELEASE, ciaddr=OWN), None),
        (request4(dhcp4.DECLINE, said=address(50, OWN)), None),
        (request4(dhcp4.DISCOVER, relay=1), None),
        (request4(dhcp4.DISCOVER, mac=MAC + 1), None),
        (request4(dhcp4.OFFER), None),
    ],
)
def test_every_message_has_its_answer(frame: bytes, type: int | None) -> None:
    told = told4(frame)
    assert (told and type_of(told)) == type


def test_inform_gives_no_lease() -> None:
    told = told4(request4(dhcp4.INFORM, ciaddr=OWN))
    assert told is not None
    assert not told[1].keys() & {51, 58, 59}
    assert told[0].yiaddr == "0.0.0.0"
    assert told[2].dst == int(IPv4Address(OWN))


def test_who_cannot_take_unicast_is_answered_by_broadcast() -> None:
    told = told4(request4(dhcp4.DISCOVER, flags=0x8000))
    assert told is not None
    assert (told[2].dst, told[2].eth_dst) == (0xFFFFFFFF, (1 << 48) - 1)
    refused = told4(request4(dhcp4.REQUEST, said=address(50, "10.0.0.77")))
    assert refused is not None
    assert refused[2].dst == 0xFFFFFFFF


def test_what_was_asked_for_in_its_order_and_the_clients_own_id() -> None:
    said = option(61, b"\1abc") + option(55, bytes((6, 3, 1, 15)))
    told = told4(request4(dhcp4.DISCOVER, said=said))
    assert told is not None
    codes = [code for code in told[1] if code in (6, 3, 15)]
    assert codes == [6, 3, 15]
    assert told[1][61] == b"\1abc"
    assert 26 not in told[1]


def test_an_answer_fits_what_the_client_takes() -> None:
    for size in (0, 300, 576, 1500, 65535):
        said = option(57, size.to_bytes(2, "big"))
        told = told4(request4(dhcp4.DISCOVER, said=said))
        assert told is not None
        assert len(told[2].data) <= max(548, min(size - 28, 1400))


@pytest.mark.parametrize(
    ("name", "value", "version", "encoded"),
    [
        ("mtu", "1400", 4, (26, b"\x05\x78")),
        ("66", "10.0.0.5", 4, (66, b"10.0.0.5")),
        ("150", "10.0.0.5", 4, (150, b"\n\0\0\5")),
        ("175", "b1:01:01", 4, (175, b"\xb1\1\1")),
        ("224", "7", 4, (224, b"\7")),
        ("224", "words", 4, (224, b"words")),
        (
            "classless-static-route",
            "10.0.0.0/8,10.0.0.1,0.0.0.0/0,10.0.0.2",
            4,
            (121, b"\x08\x0a\n\0\0\1\0\n\0\0\2"),
        ),
        ("domain-search", "a.example,b", 4, (119, b"\1a\7example\0\1b\0")),
        ("router", "", 4, (3, b"")),
        ("router", "nonsense", 4, None),
        ("unheard-of", "1", 4, None),
        ("53", "1", 4, None),
        ("dns-server", "2001:db8::1", 6, (23, IPv6Address("2001:db8::1").packed)),
        ("bootfile-url", "http://x/", 6, (59, b"http://x/")),
        ("3", "1", 6, None),
        ("sip-server", "10.0.0.5", 4, (120, b"\1\n\0\0\5")),
        ("sip-server", "a.example", 4, (120, b"\0\1a\7example\0")),
        ("ipv6-only", "300", 4, (108, b"\0\0\1\x2c")),
    ],
)
def test_options_of_a_port(name: str, value: str, version: int, encoded: Any) -> None:
    assert options.encode(DhcpOption(name, value, version)) == encoded


def tagged(name: str, value: str, version: int = 4, *tags: str) -> DhcpOption:
    return DhcpOption(name, value, version, tags)


CHAIN = [
    tagged("67", "script", 4, "ipxe"),
    tagged("67", "loader"),
    tagged("67", "small", 4, "!ipxe", "ipxe6"),
    tagged("59", "tftp://x/loader", 6, "!ipxe6"),
    tagged("59", "http://x/script", 6, "ipxe6"),
]
"""In whatever order: what has a condition is more to the point."""


@pytest.mark.parametrize(
    ("tags", "four", "six"),
    [
        (set(), b"loader", b"tftp://x/loader"),
        ({"ipxe"}, b"script", b"tftp://x/loader"),
        ({"ipxe6"}, b"small", b"http://x/script"),
        ({"ipxe", "ipxe6"}, b"script", b"http://x/script"),
    ],
)
def test_options_for_some_clients(tags: set[str], four: bytes, six: bytes) -> None:
    assert options.own(CHAIN, 4, tags) == {67: four}
    assert options.own(CHAIN, 6, tags) == {59: six}


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        (b"", set()),
        (b"\xaf\x03\1\1\1", {"ipxe"}),
        (b"\x4d\x04iPXE", {"ipxe6"}),
        (b"\x4d\x04iPXF", set()),
        (b"\xaf\x03\1\1\1\x4d\x05\x04iPXE", {"ipxe", "ipxe6"}),
    ],
)
def test_what_a_client_says_of_itself(said: bytes, tags: set[str]) -> None:
    frame = request4(dhcp4.DISCOVER, said=said)
    assert dhcp4.parse(frame[42:]).tags == tags
    classes = dhcp6._option(15, b"\0\4iPXE") if "ipxe6" in tags else b""
    assert request6(dhcp6.SOLICIT, classes).tags == tags - {"ipxe"}


# --- IPv6 ----------------------------------------------------------------------------------------


def request6(type: int, *said: bytes) -> dhcp6.Message:
    client = dhcp6._option(dhcp6.CLIENT_ID, b"\0\3\0\1me")
    return dhcp6.parse(bytes((type,)) + b"xyz" + client + b"".join(said))


def association(*addresses: int) -> bytes:
    inner = b"".join(dhcp6._address(address, 5) for address in addresses)
    return dhcp6._option(dhcp6.IA_NA, b"abcd" + bytes(8) + inner)


OURS = dhcp6._option(dhcp6.SERVER_ID, dhcp6.SERVER_DUID)
THEIRS = dhcp6._option(dhcp6.SERVER_ID, b"\0\3\0\1you")
MINE, OTHER = PREFIX + 2, PREFIX + 77
RAPID = dhcp6._option(dhcp6.RAPID_COMMIT, b"")


def offer6(addresses: tuple[int, ...] = (MINE,)) -> dhcp6.Offer:
    port = VIEW.find(Port, key=7)[0]
    return dhcp6.Offer(port, addresses, ((PREFIX, 64),), (PREFIX + 9,), "test.", (), 1000)


@pytest.mark.parametrize(
    ("message", "type", "holds"),
    [
        (request6(dhcp6.SOLICIT, association()), dhcp6.ADVERTISE, MINE),
        (request6(dhcp6.SOLICIT, RAPID, association()), dhcp6.REPLY, MINE),
        (request6(dhcp6.SOLICIT, OURS, association()), None, None),
        (request6(dhcp6.REQUEST, OURS, association(MINE)), dhcp6.REPLY, MINE),
        (request6(dhcp6.REQUEST, THEIRS, association(MINE)), None, None),
        (request6(dhcp6.REQUEST, association(MINE)), None, None),
        (request6(dhcp6.RENEW, OURS, association(OTHER)), dhcp6.REPLY, OTHER),
        (request6(dhcp6.REBIND, association(MINE)), dhcp6.REPLY, MINE),
        (request6(dhcp6.CONFIRM, association(OTHER)), dhcp6.REPLY, None),
        (request6(dhcp6.CONFIRM, association()), None, None),
        (request6(dhcp6.RELEASE, OURS, association(MINE)), dhcp6.REPLY, None),
        (request6(dhcp6.DECLINE, OURS, association(MINE)), dhcp6.REPLY, None),
        (request6(dhcp6.INFORMATION_REQUEST), dhcp6.REPLY, None),
        (request6(dhcp6.INFORMATION_REQUEST, association()), None, None),
    ],
)
def test_every_message_of_dhcpv6(message: Any, type: int | None, holds: int | None) -> None:
    data = dhcp6.answer(message, offer6())
    assert (data and data[0]) == type
    if data and holds:
        assert holds.to_bytes(16, "big") in data
    if data:
        assert data[1:4] == b"xyz"


def test_an_address_that_is_ones_own_no_longer_ends_at_once() -> None:
    data = dhcp6.answer(request6(dhcp6.RENEW, OURS, association(OTHER)), offer6())
    assert data is not None
    at = data.index(OTHER.to_bytes(16, "big")) + 16
    assert data[at : at + 8] == bytes(8)


def test_confirm_tells_whether_the_link_is_the_same() -> None:
    for address, status in ((OTHER, dhcp6.SUCCESS), (1 << 120, dhcp6.NOT_ON_LINK)):
        data = dhcp6.answer(request6(dhcp6.CONFIRM, association(address)), offer6())
        assert data is not None
        assert dhcp6._status(status) in data


def test_no_addresses_where_hosts_make_their_own() -> None:
    data = dhcp6.answer(request6(dhcp6.SOLICIT, association()), offer6(()))
    assert data is not None
    assert dhcp6._status(dhcp6.NO_ADDRESSES) in data


def test_an_advertisement_says_what_the_network_is() -> None:
    (answer,) = DHCP.handle(VIEW, PacketIn(1, 0, 5, 1, 7, SOLICITATION))
    read = packet.Packet(answer.data).get_protocol(icmpv6.icmpv6)
    assert read.type_ == icmpv6.ND_ROUTER_ADVERT
    assert (read.data.res, read.data.rou_l) == (3, 1800)  # M and O
    frame = frames.parse(answer.data)
    assert frame.ttl == 255
    found = dict(_options(frame.data[16:]))
    assert found[1] == bytes.fromhex("fa163e000002")  # the link-layer address it came from
    assert int.from_bytes(found[5][2:], "big") == 1500  # MTU
    assert (found[3][0], found[3][1]) == (64, 0x80)  # on-link, and no addresses made of it
    assert found[3][14:] == PREFIX.to_bytes(16, "big")
    assert found[25][6:] == (PREFIX + 9).to_bytes(16, "big")  # RDNSS
    assert found[31][6:12] == b"\4test\0"  # DNSSL


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """RFC 4861, 4.6."""
    while data:
        size = data[1] * 8
        yield data[0], data[2:size]
        data = data[size:]


@pytest.mark.parametrize("cut", range(0, 300, 7))
def test_what_is_cut_off_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        list(DHCP.handle(VIEW, PacketIn(1, 0, 5, 1, 7, discover()[:cut])))


def advertised(view: View) -> Advertised:
    found = advertise.advertised(view, "net", "test.")
    assert found is not None
    return found


def test_what_is_no_longer_advertised_is_taken_back() -> None:
    was = advertised(VIEW)
    other = Prefix(PREFIX + (1 << 64), 64, 0xC0)
    now = replace(was, prefixes=(other,), servers=(PREFIX + 10,), domain="new")
    (frame,) = advertise.difference(was, now)
    found = list(_options(frames.parse(frame).data[16:]))
    lifetimes = {v[14:]: int.from_bytes(v[2:6], "big") for kind, v in found if kind == 3}
    gone, here = (prefix.first.to_bytes(16, "big") for prefix in (*was.prefixes, other))
    assert (lifetimes[gone], lifetimes[here] > 0) == (0, True)
    for kind, gone in ((25, (PREFIX + 9).to_bytes(16, "big")), (31, b"\4test\0")):
        by_lifetime = {v[2:6] == bytes(4): v[6:] for code, v in found if code == kind}
        assert by_lifetime[True].startswith(gone)
        assert not by_lifetime[False].startswith(gone)


def test_hosts_that_are_to_ask_for_addresses_give_up_those_they_made() -> None:
    now = advertised(VIEW)
    was = replace(now, prefixes=tuple(p._replace(flags=0xC0) for p in now.prefixes))
    (frame,) = advertise.difference(was, now)
    found = [value for kind, value in _options(frames.parse(frame).data[16:]) if kind == 3]
    assert [(v[1], any(v[2:10])) for v in found] == [(0x80, True), (0x40, False)]


@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_router_that_goes_says_so_itself(all_of_it: bool) -> None:
    was = advertised(VIEW)
    now = None if all_of_it else replace(was, mac=9, source=0xFE80 << 112 | 9)
    read = [frames.parse(frame) for frame in advertise.difference(was, now)]
    said = [(f.src, int.from_bytes(f.data[6:8], "big")) for f in read]
    rest = (was.source, 0) if all_of_it else (0xFE80 << 112 | 9, 1800)
    assert said == [(was.source, 0), rest]


def test_a_router_with_the_same_address_takes_over_without_a_last_word() -> None:
    was = advertised(VIEW)
    (frame,) = advertise.difference(was, replace(was, mac=9))
    assert frames.parse(frame).data[6:8] != bytes(2)
