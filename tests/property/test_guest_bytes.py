# SPDX-License-Identifier: Apache-2.0

"""Guests' bytes are hostile: every handler gives an answer or says Malformed, whatever it is given.

`make fuzz` tries far more of them than a run of the suite.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webob import Request

from tenantry.apps.dhcp.packets import Dhcp
from tenantry.apps.dns import packets as dns_packets
from tenantry.apps.dns.answers import Resolver
from tenantry.apps.firewall import packets as firewall
from tenantry.apps.metadata.http import Metadata
from tenantry.apps.multicast import packets as multicast
from tenantry.apps.multicast.memberships import GROUPS_PER_PORT, Memberships
from tenantry.apps.multicast.records import EVERY_GROUP, Membership
from tenantry.apps.nat import packets as nat
from tenantry.apps.routing import packets as routing
from tenantry.apps.security_groups import packets as security_groups
from tenantry.controller.feature.effects import DnsQuery, PacketIn, PacketOut, ResolveNeighbour
from tenantry.controller.model import Change, FixedIp, Model, Network, Port, Subnet, View
from tenantry.controller.network.records import Router
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    IN_PORT,
    NAT,
    OUT_PORT,
    POLICY,
    PUNT_REASON,
    ROUTER,
    SOURCE,
)
from tenantry.controller.packets import frames, neighbour_discovery
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.sample import pipeline_page
from tenantry.controller.service.packet_in import packet_out

EXAMPLES = 25_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 300
"""For each of the four handlers: 100,000 in `make fuzz`."""

MAC, ADDRESS, SERVER = 0xFA163E000001, 0x0A000002, 0x0A0000FE
PREFIX = 0x20010DB8 << 96


def world() -> View:
    """A port on a network where everything is served."""
    model = Model()
    stateful = {
        "ra_mode": "dhcpv6-stateful",
        "address_mode": "dhcpv6-stateful",
        "service_address": PREFIX + 9,
    }
    records = (
        Network("net", 1, "project", "", True, 1500, "local", None, None),
        Subnet("v4", "net", 4, 0x0A000000, 24, 0x0A000001, True, service_address=SERVER),
        Subnet("v6", "net", 6, PREFIX, 64, PREFIX + 1, True, **stateful),
        Port(
            *("port", 7, "net", "project", "", MAC),
            (FixedIp("v4", 4, ADDRESS), FixedIp("v6", 6, PREFIX + 2)),
            *(True, True, "", ""),
            dns_name="web",
            profile='{"user_data": "x", "ssh_keys": ["a b"]}',
        ),
        Port(
            *("gateway", 8, "net", "project", "", MAC + 1),
            (FixedIp("v4", 4, 0x0A000001), FixedIp("v6", 6, PREFIX + 1)),
            *(True, False, "", ""),
            device_id="router",
            device_owner="network:router_interface",
        ),
        Router("router", 1, "project", "", True),
    )
    model.apply(Change(type(record), record.id, record) for record in records)
    return View(model)


VIEW = world()
ROUTED_VIEW = View(pipeline_page.sample())
DHCP = Dhcp(86400, ("192.0.2.1", "2001:db8::1"), "test.")
RESOLVER = Resolver("test.")


def discover(type: int = 1) -> bytes:
    head = b"\1\1\6\0abcd" + bytes(20) + MAC.to_bytes(6, "big") + bytes(10 + 64 + 128)
    options = bytes((53, 1, type, 50, 4)) + ADDRESS.to_bytes(4, "big") + b"\x37\4\1\3\6\x79\xff"
    return frames.udp(
        frames.Ends(MAC, (1 << 48) - 1, 4, 0, 0xFFFFFFFF),
        68,
        67,
        head + b"\x63\x82\x53\x63" + options,
    )


def solicit(type: int = 1) -> bytes:
    client = b"\0\1\0\4\0\3\0\1"
    association = b"\0\3\0\x28abcd" + bytes(8) + b"\0\5\0\x18" + (PREFIX + 2).to_bytes(16, "big")
    options = client + association + bytes(8) + b"\0\6\0\4\0\x17\0\x18"
    source = 0xFE80 << 112 | 1
    return frames.udp(
        frames.Ends(MAC, 1, 6, source, 0xFF02 << 112 | 2),
        546,
        547,
        bytes((type,)) + b"abc" + options,
    )


def query(name: bytes = b"\3web\4test\0") -> bytes:
    data = b"ab\1\0\0\1\0\0\0\0\0\1" + name + b"\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\0"
    return frames.udp(frames.Ends(MAC, 2, 4, ADDRESS, SERVER), 4000, 53, data)


SOLICITATION = frames.icmpv6(MAC, 3, 0xFE80 << 112 | 1, 0xFF02 << 112 | 2, b"\x85\0\0\0\0\0\0\0")
SEEDS = (
    *map(discover, range(9)),
    *map(solicit, range(13)),
    *(SOLICITATION, query(), query(b"\1\x32\1\x30\1\x30\2\x31\x30\7in-addr\4arpa\0")),
)


FLOATING, FIXED, FAR = 0xCB00710A, 0x0A00000B, 0xC6336407
QUOTED = frames.udp(frames.Ends(1, 2, 4, FLOATING, FAR), 9, 9, b"x" * 20)[14:]
CUT = bytearray(frames.udp(frames.Ends(1, 2, 4, FLOATING, FAR), 9, 9, b"x" * 20))
CUT[20] = 0x20  # there is more of it
CUT = bytes(CUT)
EXTENDED = frames.ip(
    frames.Ends(1, 2, 6, PREFIX + 2, PREFIX), 0, 64, b"\x2c" + bytes(7) + b"\x2f" + bytes(27)
)
ROUTED_SEEDS = (
    query(),
    frames.ip(frames.Ends(1, 2, 4, FAR, FIXED), 6, 1, bytes(12) + b"\x50\x02" + bytes(6)),
    frames.ip(frames.Ends(1, 2, 4, FAR, FIXED), 17, 1, bytes(2000)),
    frames.icmp(FAR, FIXED, 9, bytes((3, 3)) + bytes(6) + QUOTED),
    frames.icmp(FAR, FIXED, 9, bytes((3, 4)) + bytes(6) + CUT[14:]),
    frames.icmpv6(1, 2, PREFIX, PREFIX + 2, bytes((2, 0)) + bytes(6) + EXTENDED[14:]),
    CUT,
    neighbour_discovery.question(4, MAC, ADDRESS, SERVER),
    neighbour_discovery.announcement(6, MAC, PREFIX + 2, router=False),
    SOLICITATION,
)


@st.composite
def mutated(draw: st.DrawFn, seeds: Iterable[bytes]) -> bytes:
    """A good packet with a few bytes changed, cut off, or with something inside twice."""
    data = bytearray(draw(st.sampled_from(tuple(seeds))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del data[draw(st.integers(1, len(data))) :]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data[at:at] = draw(st.binary(max_size=40))
    return bytes(data)


some_frames = st.one_of(st.binary(max_size=400), mutated(SEEDS))


def results(handler: Callable, data: bytes) -> list[PacketOut | DnsQuery[PacketOut]]:
    """What the handler does; nothing if it says Malformed. Anything else that it raises fails."""
    try:
        return list(handler(VIEW, PacketIn(1, 0, 5, 1, 7, data)))
    except Malformed:
        return []


@pytest.mark.parametrize(
    "handler",
    [DHCP.handle, dns_packets.handler(RESOLVER)],
    ids=["dhcp", "dns"],
)
def test_a_packet_is_answered_or_malformed(handler: Callable) -> None:
    answered = []

    @settings(max_examples=EXAMPLES)
    @given(data=some_frames)
    def run(data: bytes) -> None:
        for result in results(handler, data):
            sent = result.then(None) if isinstance(result, DnsQuery) else result
            answered.append(sent)
            assert len(packet_out(1, sent)) < 2000
            frames.parse(sent.data)

    run()
    assert answered  # or nothing was tried


@pytest.mark.parametrize("feature", [routing, nat, security_groups, firewall])
@settings(max_examples=EXAMPLES)
@given(
    data=st.one_of(some_frames, mutated(ROUTED_SEEDS)),
    why=st.integers(1, 6),
    keys=st.tuples(*[st.sampled_from([0, 1, 41, 42, 43])] * 3),
    known=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_what_a_router_gets_is_handled_or_malformed(
    feature: ModuleType,
    data: bytes,
    why: int,
    keys: tuple[int, int, int],
    known: tuple[int, int, int],
) -> None:
    """With whatever the pipeline knew of it: the bytes are a guest's, or anybody's outside."""
    registers = [0] * 16
    for field, value in zip(
        (PUNT_REASON, ENTERED, EXIT, ROUTER, SOURCE, NAT, FLAGS), (why, *keys, *known), strict=True
    ):
        registers[int(field.removeprefix("reg"))] = value
    for field, value in ((POLICY, why), (IN_PORT, 11), (OUT_PORT, 11)):
        registers[int(field.removeprefix("reg"))] = value
    try:
        answers = list(
            feature.handle(ROUTED_VIEW, PacketIn(1, 0, 5, 4, 11, data, tuple(registers)))
        )
    except Malformed:
        return
    for answer in answers:
        if isinstance(answer, ResolveNeighbour):
            answers += [*answer.then(None), *answer.then(0x020000000001)]
        elif isinstance(answer, PacketOut):
            assert len(packet_out(1, answer)) < 3000


GROUP_SEEDS = (
    frames.ip(frames.Ends(MAC, 1, 4, ADDRESS, 0xEF010101), 2, 1, b"\x16\0\0\0\xef\1\1\1"),
    frames.ip(
        frames.Ends(MAC, 1, 4, ADDRESS, 0xE0000016),
        *(2, 1, b"\x22\0\0\0\0\0\0\2" + b"\4\0\0\0\xef\1\1\1" + b"\1\0\0\1\xef\1\1\2" + bytes(4)),
    ),
    *multicast.queries(10, 125),
    frames.icmpv6(
        *(MAC, 1, PREFIX, 0xFF02 << 112 | 22),
        b"\x8f\0\0\0\0\0\0\1\4\0\0\0" + (0xFF05 << 112 | 9).to_bytes(16, "big"),
    ),
)


def test_what_is_said_of_groups_is_taken_or_malformed() -> None:
    model = pipeline_page.sample()
    memberships = Memberships(clock=lambda: 0.0)
    taken = []

    @settings(max_examples=EXAMPLES)
    @given(data=st.one_of(some_frames, mutated(GROUP_SEEDS)))
    def run(data: bytes) -> None:
        try:
            changes = list(memberships.handle(View(model), PacketIn(1, 0, 3, 1, 12, data)))
        except Malformed:
            return
        model.apply(changes)
        taken.extend(changes)
        mine = [member for member in model.all(Membership).values() if member.port_id == "blue-2"]
        assert len(mine) <= GROUPS_PER_PORT + len(EVERY_GROUP)

    run()
    assert taken  # or nothing was tried


@settings(max_examples=EXAMPLES)
@given(data=st.one_of(st.binary(max_size=200), mutated([query()[42:]])), reply=st.binary())
def test_a_query_by_tcp_is_answered_or_malformed(data: bytes, reply: bytes) -> None:
    try:
        answer = dns_packets.stream(RESOLVER)(VIEW, "port", data)
    except Malformed:
        return
    if isinstance(answer, DnsQuery):
        assert answer.then(reply) == reply or len(reply) > 65535
        answer = answer.then(None)
    assert len(answer) >= 12
    assert answer[2] & 0x80


paths = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["latest", "openstack", "meta-data", "meta_data.json", "user-data", "public-keys", "0"]
        ),
        max_size=6,
    ).map(lambda parts: "/" + "/".join(parts)),
)


@settings(max_examples=EXAMPLES)
@given(method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "XX"]), path=paths, header=st.text())
def test_a_request_for_metadata_is_answered(method: str, path: str, header: str) -> None:
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path.encode().decode("latin-1")}
    request = Request({**Request.blank("/").environ, **environ, "HTTP_X": header})
    answer = Metadata("test.").answer(VIEW, "port", request)
    assert answer.status_code in (200, 404, 405)
