# SPDX-License-Identifier: Apache-2.0

"""What ports say of groups, and how long it is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tenantry.apps.multicast import memberships, packets
from tenantry.apps.multicast.memberships import Memberships
from tenantry.apps.multicast.packets import Wish, queries, wishes
from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Address, Binding, Change, Model, View
from tenantry.controller.packets import frames
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.sample.topology import sample

SOURCE = {4: 0x0A000002, 6: 0xFE80 << 112 | 2}
FOUR, SIX = Address(4, 0xEF010101), Address(6, 0xFF05 << 112 | 0x101)
LINK = (Address(4, 0xE00000FB), Address(6, 0xFF02 << 112 | 0xFB), Address(6, 0xFF01 << 112 | 1))


def igmp(message: bytes, src: int = SOURCE[4]) -> bytes:
    return frames.ip(frames.Ends(1, 2, 4, src, FOUR.address), packets.IGMP, 1, message)


def mld(message: bytes, src: int = SOURCE[6], alert: bytes = b"\x3a\0\5\2\0\0\1\0") -> bytes:
    ends = frames.Ends(1, 2, 6, src, SIX.address)
    return frames.ip(ends, 0 if alert else 58, 1, alert + message)


def one(kind: int, group: Address) -> bytes:
    """A message about one group: IGMPv1, IGMPv2, MLDv1."""
    if group.version == 4:
        return igmp(struct.pack("!BBHI", kind, 0, 0, group.address))
    return mld(struct.pack("!BBHHH", kind, 0, 0, 0, 0) + group.address.to_bytes(16, "big"))


def several(*records: tuple[int, int, Address], version: int = 4) -> bytes:
    """A report of IGMPv3 or MLDv2: of each group the type of record, and how many sources."""
    size = 4 if version == 4 else 16
    body = b"".join(
        struct.pack("!BBH", kind, 0, sources)
        + group.address.to_bytes(size, "big")
        + bytes(size * sources)
        for kind, sources, group in records
    )
    kind = packets.V3_REPORT if version == 4 else packets.MLD2_REPORT
    return (igmp if version == 4 else mld)(
        struct.pack("!BBHHH", kind, 0, 0, 0, len(records)) + body
    )


JOINS = {
    "IGMPv1": (one(packets.V1_REPORT, FOUR), FOUR),
    "IGMPv2": (one(packets.V2_REPORT, FOUR), FOUR),
    "MLDv1": (one(packets.MLD_REPORT, SIX), SIX),
    **{
        f"{name} {kind} {sources}": (several((kind, sources, group), version=group.version), group)
        for name, group in (("IGMPv3", FOUR), ("MLDv2", SIX))
        for kind, sources in ((2, 0), (2, 3), (4, 0), (4, 1), (1, 1), (3, 2), (5, 1))
    },
}
LEAVES = {
    "IGMPv2": (one(packets.LEAVE, FOUR), FOUR),
    "MLDv1": (one(packets.MLD_DONE, SIX), SIX),
    "IGMPv3": (several((3, 0, FOUR)), FOUR),
    "MLDv2": (several((3, 0, SIX), version=6), SIX),
}


@pytest.mark.parametrize("name", JOINS)
def test_who_joins_is_understood(name: str) -> None:
    frame, group = JOINS[name]
    assert list(wishes(frame)) == [Wish(group, True)]


@pytest.mark.parametrize("name", LEAVES)
def test_who_leaves_is_understood(name: str) -> None:
    frame, group = LEAVES[name]
    assert list(wishes(frame)) == [Wish(group, False)]


def test_a_report_of_several_groups() -> None:
    other = Address(4, FOUR.address + 1)
    records = ((4, 2, other), (6, 1, FOUR), (4, 0, LINK[0]), (3, 0, FOUR), (9, 0, FOUR))
    assert list(wishes(several(*records))) == [Wish(other, True), Wish(FOUR, False)]


@pytest.mark.parametrize("group", LINK)
def test_groups_of_the_link_are_nobodys_wish(group: Address) -> None:
    kind = packets.V2_REPORT if group.version == 4 else packets.MLD_REPORT
    assert list(wishes(one(kind, group))) == []


def test_who_asks_with_an_address_is_a_router() -> None:
    general = struct.pack("!BBHIBBH", packets.QUERY, 100, 0, 0, 2, 125, 0)
    assert list(wishes(igmp(general))) == [Wish(EVERY_GROUP[4], True)]
    assert list(wishes(igmp(general, src=0))) == []
    asked = struct.pack("!BBHHH16xBBH", packets.MLD_QUERY, 0, 0, 1000, 0, 2, 125, 0)
    assert list(wishes(mld(asked))) == [Wish(EVERY_GROUP[6], True)]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        igmp(b""),
        igmp(b"\x16\0\0\0\xef\1\1"),
        igmp(b"\x99\0\0\0\xef\1\1\1"),
        several((4, 0, FOUR))[:-1],
        igmp(struct.pack("!BBHHH", packets.V3_REPORT, 0, 0, 0, 0xFFFF)),
        mld(b"\x83" + bytes(22)),
        mld(b"\x8f" + bytes(5) + b"\0\1" + bytes(8)),
        mld(b"\x83" + bytes(23), alert=b"")[:30],
        frames.udp(frames.Ends(1, 2, 4, 1, 2), 1, 2, bytes(20)),
    ],
)
def test_what_is_not_whole_is_malformed(frame: bytes) -> None:
    with pytest.raises(Malformed):
        list(wishes(frame))


def test_what_is_asked_wins_no_election() -> None:
    four, six = queries(2, 125)
    asked = frames.parse_ip(four)
    assert (asked.src, asked.protocol, len(asked.header)) == (0, packets.IGMP, 24)
    assert frames.checksum(asked.header) == frames.checksum(asked.payload) == 0
    six_asked = frames.unwrapped(frames.parse_ip(six))
    assert six_asked.src == packets.QUERIER > 0xFE80 << 112 | 0xFFFFFFFFFFFFFFF
    ends = (six_asked.src, six_asked.dst, 58, len(six_asked.payload))
    assert frames.checksum(frames.pseudo_header(6, *ends) + six_asked.payload) == 0


class World:
    """The sample's ports, and time that goes on when it is told to."""

    def __init__(self) -> None:
        self.model: Model = sample()
        for record in [*self.model.all(Membership).values(), *self.model.all(Asked).values()]:
            self.model.apply([Change(type(record), record.id, None)])
        self.now = 0.0
        self.memberships = Memberships(clock=lambda: self.now)

    def hears(self, port: int, frame: bytes) -> None:
        packet = PacketIn(1, 0, 3, 1, port, frame)
        self.model.apply(list(self.memberships.handle(View(self.model), packet)))

    def tick(self, seconds: float = 0.0, switch: int = 1) -> list[PacketOut]:
        self.now += seconds
        effects = list(self.memberships.tick(View(self.model), switch))
        self.take(effects)
        return [effect for effect in effects if isinstance(effect, PacketOut)]

    def take(self, effects: Iterable[object]) -> None:
        self.model.apply([effect for effect in effects if isinstance(effect, Change)])

    @property
    def known(self) -> set[tuple[str, Address]]:
        return {*self.model.all(Membership)}


def test_a_switch_is_known_once_its_ports_had_the_time_to_answer() -> None:
    world = World()
    assert world.tick()
    assert not world.model.all(Asked)
    assert not world.tick(memberships.FIRST_RESPONSE_SECONDS)
    assert not world.model.all(Asked)
    world.tick(memberships.GRACE_SECONDS)
    assert [*world.model.all(Asked)] == [1]
    world.take(world.memberships.lost(View(world.model), 1))
    assert not world.model.all(Asked)
    assert world.tick()  # it is back, and asked again


def test_who_no_longer_answers_is_forgotten() -> None:
    world = World()
    world.tick()
    world.hears(11, JOINS["IGMPv2"][0])
    world.hears(13, JOINS["MLDv2 4 0"][0])
    assert world.known == {("blue-1", FOUR), ("blue-any", SIX)}
    for _ in range(3):
        assert world.tick(memberships.INTERVAL_SECONDS)
        world.hears(11, JOINS["IGMPv2"][0])
    assert world.known == {("blue-1", FOUR)}


def test_who_leaves_is_forgotten_at_once_unless_others_may_be_behind() -> None:
    world = World()
    for port in (11, 31, 13):  # blue-1 has allowed address pairs, blue-any no port security
        world.hears(port, JOINS["IGMPv2"][0])
        world.hears(port, LEAVES["IGMPv2"][0])
    assert world.known == {("blue-1", FOUR), ("blue-any", FOUR)}


def test_memberships_go_with_their_port() -> None:
    world = World()
    world.tick()
    world.hears(11, JOINS["IGMPv2"][0])
    binding = world.model.get(Binding, "blue-1")
    assert binding is not None
    world.model.apply([Change(Binding, "blue-1", replace(binding, switch=2))])
    world.tick()
    assert world.known == {("blue-1", FOUR)}
    world.tick(switch=2)
    world.model.apply([Change(Binding, "blue-1", None)])
    world.tick(switch=2)
    assert world.known == set()


def test_a_port_that_left_before_it_was_asked_is_forgotten() -> None:
    world = World()
    world.hears(11, JOINS["IGMPv2"][0])
    world.model.apply([Change(Binding, "blue-1", None)])
    world.tick()
    assert world.known == set()


def test_who_wants_too_much_gets_everything() -> None:
    world = World()
    groups = [Address(4, FOUR.address + n) for n in range(memberships.GROUPS_PER_PORT + 10)]
    world.hears(11, several(*((4, 0, group) for group in groups)))
    kept = {("blue-1", group) for group in groups[: memberships.GROUPS_PER_PORT]}
    assert world.known == {*kept, ("blue-1", EVERY_GROUP[4])}


def test_a_network_has_so_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "GROUPS_PER_NETWORK", 2)
    world = World()
    groups = [Address(4, FOUR.address + n) for n in range(3)]
    for group in groups:
        world.hears(11, several((4, 0, group)))
    for group in groups[1:]:
        world.hears(13, several((4, 0, group)))
    assert {group for _, group in world.known} == {*groups[:2], EVERY_GROUP[4]}
    assert ("blue-any", groups[1]) in world.known
