# SPDX-License-Identifier: Apache-2.0

"""Frames that a guest may make up to reach whom it must not, or to be taken for somebody else.

Each carries MARK, by which whoever hears it knows it. Half of them are sound, so that nothing but
the rules is in their way; the others have been damaged.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address

from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP

MARK = b"marked-hostile"

HOP_BY_HOP, ROUTING, FRAGMENT, ESP, GRE, DESTINATION, IPIP = 0, 43, 44, 50, 47, 60, 4
EVERYBODY = (1 << 48) - 1
GROUPS = (
    (0x333300000001, 0xFF02 << 112 | 1),
    (0x333300000002, 0xFF02 << 112 | 2),
    (0x01005E000001, 0xE0000001),
)


@dataclass(frozen=True)
class End:
    """An interface: its MAC address, and one address of each family."""

    mac: int
    ipv4: int
    ipv6: int


@dataclass(frozen=True)
class Ends:
    """Who sends; whom it is after; the interfaces of its router."""

    own: End
    others: tuple[End, ...]
    routers: tuple[End, ...]

    def text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Ends:
        said = json.loads(text)
        others, routers = (tuple(End(**e) for e in said[name]) for name in ("others", "routers"))
        return Ends(End(**said["own"]), others, routers)


def end(port: dict) -> End:  # type: ignore[type-arg]
    """The end that a port of the API is."""
    found = {4: 0, 6: 0}
    for fixed in port["fixed_ips"]:
        address = ip_address(fixed["ip_address"])
        found[address.version] = int(address)
    return End(int(port["mac_address"].replace(":", ""), 16), found[4], found[6])


def hostile(ends: Ends, seed: int) -> Iterator[bytes]:
    """Frames without end; the same ones for the same seed."""
    chance = random.Random(seed)
    while True:
        yield _Maker(ends, chance).frame()


class _Maker:
    def __init__(self, ends: Ends, chance: random.Random) -> None:
        self.chance = chance
        self.own = ends.own
        everyone = (*ends.others, *ends.routers)
        # Mostly as itself: what is spoofed dies early.
        self.source = chance.choice((ends.own, ends.own, ends.own, *everyone))
        self.target = chance.choice(everyone)
        to = self.target.mac
        self.eth_src = chance.choice((ends.own.mac, ends.own.mac, self.source.mac))
        by_router = chance.choice(ends.routers).mac
        self.eth_dst = chance.choice((to, to, by_router, EVERYBODY, GROUPS[0][0]))

    def frame(self) -> bytes:
        makers: tuple[Callable[[], bytes], ...] = (
            self._ipv4,
            self._ipv4,
            self._ipv6,
            self._ipv6,
            self._arp,
            self._neighbour,
            self._link_icmpv6,
            self._group,
            self._dhcp,
            self._error,
            self._strange,
        )
        frame = self.chance.choice(makers)()
        if self.chance.random() < 0.1:
            frame = self._tagged(frame)
        return frame if self.chance.random() < 0.5 else self._damaged(frame)

    # --- what is inside ----------------------------------------------------------------------

    def _ports(self) -> tuple[int, int]:
        known = (22, 53, 67, 68, 80, 546, 547, 4789, 6081, 6653)
        pick = self.chance.choice
        return pick((*known, self.chance.randrange(1 << 16))), pick(known)

    def _transport(self, version: int) -> tuple[int, bytes]:
        """A protocol, and a message of it."""
        pick = self.chance.choice
        protocol = pick((TCP, TCP, UDP, UDP, ICMP, ICMPV6, SCTP, GRE, ESP, IPIP, 41, 255))
        if protocol == TCP:
            flags = pick((2, 16, 18, 4, 1, 0, 63))
            head = struct.pack("!HHIIBBHHH", *self._ports(), 1, 1, 0x50, flags, 1024, 0, 0)
        elif protocol in (UDP, SCTP):
            head = struct.pack("!HHHH", *self._ports(), 8 + len(MARK), 0)
        elif protocol in (ICMP, ICMPV6):
            kinds = (
                (0, 3, 5, 8, 11, 13, 17) if protocol == ICMP else (1, 2, 128, 129, 137, 139, 148)
            )
            head = bytes((pick(kinds), pick((0, 1, 3)), 0, 0, 0, 0, 0, 0))
        else:
            head = self.chance.randbytes(8)
        payload = head + MARK + self.chance.randbytes(self.chance.randrange(0, 1300))
        return protocol, self._summed(version, protocol, payload)

    def _summed(self, version: int, protocol: int, payload: bytes) -> bytes:
        place = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}.get(protocol)
        if place is None:
            return payload
        pseudo = b""
        if protocol != ICMP:
            ends = self._addresses(version)
            pseudo = frames.pseudo_header(version, *ends, protocol, len(payload))
        summed = frames.checksum(pseudo + payload).to_bytes(2, "big")
        return payload[:place] + summed + payload[place + 2 :]

    def _addresses(self, version: int) -> tuple[int, int]:
        if version == 4:
            return self.source.ipv4, self.target.ipv4
        return self.source.ipv6, self.target.ipv6

    # --- frames ------------------------------------------------------------------------------

    def _ipv4(self) -> bytes:
        protocol, payload = self._transport(4)
        ends = self._addresses(4)
        fragment = self.chance.choice((0, 0, 0, 0x4000, 0x2000, 0x2001, 0x0001, 0x00B9, 0x1FFF))
        options = self.chance.choice((b"", b"", b"", b"\x07\x07\x04" + bytes(5), b"\x83\x03\x04\0"))
        words = 5 + len(options) // 4
        head = struct.pack(
            *("!BBHHHBBHII", 0x40 | words, 0, 4 * words + len(payload)),
            *(self.chance.getrandbits(16), fragment, self.chance.choice((64, 64, 1, 0, 255))),
            *(protocol, 0, *ends),
        )
        head += options
        head = head[:10] + frames.checksum(head).to_bytes(2, "big") + head[12:]
        return self._ethernet(IPV4, head + payload)

    def _ipv6(self) -> bytes:
        protocol, payload = self._transport(6)
        for _ in range(self.chance.choice((0, 0, 0, 1, 2, 5))):
            extension = self.chance.choice((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION))
            if extension == FRAGMENT:
                where = self.chance.choice((0, 1, 8, 0x5A8, 0xFFF9))
                head = struct.pack("!BBHI", protocol, 0, where, self.chance.getrandbits(32))
            else:
                head = bytes((protocol, 0, 1, 4, 0, 0, 0, 0))
            protocol, payload = extension, head + payload
        return self._ip6(protocol, payload, self.chance.choice((64, 64, 1, 0, 255)))

    def _ip6(self, protocol: int, payload: bytes, hops: int, to: int | None = None) -> bytes:
        source, target = self._addresses(6)
        ends = source.to_bytes(16, "big") + (target if to is None else to).to_bytes(16, "big")
        return self._ethernet(
            IPV6, struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + ends + payload
        )

    def _arp(self) -> bytes:
        mac, target = self.source.mac.to_bytes(6, "big"), self.target
        body = struct.pack("!HHBBH", 1, IPV4, 6, 4, self.chance.choice((1, 2, 3, 8)))
        body += mac + self.source.ipv4.to_bytes(4, "big")
        body += target.mac.to_bytes(6, "big") + target.ipv4.to_bytes(4, "big")
        return self._ethernet(self.chance.choice((0x0806, 0x0806, 0x8035)), body + MARK)

    def _neighbour(self) -> bytes:
        """A solicitation or an advertisement, perhaps with a link-layer address of another's."""
        kind = self.chance.choice((135, 136))
        about = self.chance.choice((self.source, self.target)).ipv6.to_bytes(16, "big")
        option = bytes((kind - 134, 1)) + self.source.mac.to_bytes(6, "big")
        flags = self.chance.choice((0, 0x20, 0x60, 0xE0))
        message = bytes((kind, 0, 0, 0, flags, 0, 0, 0)) + about + option + MARK + b"\0\0"
        message = self._summed(6, ICMPV6, message)
        return self._ip6(ICMPV6, message, self.chance.choice((255, 255, 64, 1)))

    def _link_icmpv6(self) -> bytes:
        """What belongs to one link: MLD, solicitations of routers and their advertisements."""
        kind = self.chance.choice((130, 131, 132, 133, 134, 137, 143, 151))
        message = bytes((kind, 0, 0, 0)) + bytes(4) + self.target.ipv6.to_bytes(16, "big") + MARK
        message = self._summed(6, ICMPV6, message)
        to = self.chance.choice((None, GROUPS[0][1], GROUPS[1][1]))
        return self._ip6(ICMPV6, message, self.chance.choice((255, 64, 1)), to)

    def _group(self) -> bytes:
        """What is said of groups, by IGMP and MLDv2: some more of them than there are."""
        count = self.chance.choice((0, 1, 3, 200, 0xFFFF))
        mac, group = self.chance.choice(GROUPS)
        version = 4 if group < 1 << 32 else 6
        group = self.chance.choice((group, group + (self.chance.getrandbits(12) << 12)))
        size = 4 if version == 4 else 16
        records = b"".join(
            bytes((self.chance.randrange(8), 0, 0, self.chance.randrange(3)))
            + group.to_bytes(size, "big")
            for _ in range(min(count, 20))
        )
        kind = self.chance.choice(
            (0x11, 0x12, 0x16, 0x17, 0x22) if version == 4 else (131, 132, 143)
        )
        message = bytes((kind, 0, 0, 0, 0, 0)) + count.to_bytes(2, "big") + records + MARK
        source = self._addresses(version)[0]
        self.eth_dst = mac
        if version == 6:
            ends = (source, group, ICMPV6, len(message))
            summed = frames.checksum(frames.pseudo_header(6, *ends) + message)
            return self._ip6(
                ICMPV6, message[:2] + summed.to_bytes(2, "big") + message[4:], 1, group
            )
        summed = frames.checksum(message).to_bytes(2, "big")
        ends = frames.Ends(self.eth_src, mac, 4, source, group)
        return frames.ip(ends, 2, 1, message[:2] + summed + message[4:])

    def _dhcp(self) -> bytes:
        version = self.chance.choice((4, 6))
        ports = self.chance.choice(
            ((68, 67), (67, 68)) if version == 4 else ((546, 547), (547, 546))
        )
        ends = self._addresses(version)
        data = self.chance.randbytes(self.chance.randrange(300)) + MARK
        return frames.udp(frames.Ends(self.eth_src, self.eth_dst, version, *ends), *ports, data)

    def _error(self) -> bytes:
        """An error about a packet that was never sent, or that somebody else has sent."""
        quoted = frames.ip(
            frames.Ends(1, 2, 4, self.target.ipv4, self.source.ipv4),
            *(self.chance.choice((TCP, UDP, ICMP, GRE)), 64, self.chance.randbytes(8)),
        )[14:]
        message = bytes((self.chance.choice((3, 4, 5, 11, 12)), self.chance.randrange(5)))
        message += bytes(6) + quoted + MARK
        message = self._summed(4, ICMP, message)
        ends = self._addresses(4)
        return frames.ip(frames.Ends(self.eth_src, self.eth_dst, 4, *ends), ICMP, 64, message)

    def _strange(self) -> bytes:
        kinds = (0x88CC, 0x8847, 0x8863, 0x8864, 0x894F, 0x88E7, 0x9000, 0x22F3, 0x0026, 0x86DD)
        return self._ethernet(self.chance.choice(kinds), self.chance.randbytes(40) + MARK)

    def _ethernet(self, eth_type: int, payload: bytes) -> bytes:
        macs = self.eth_dst.to_bytes(6, "big") + self.eth_src.to_bytes(6, "big")
        return macs + eth_type.to_bytes(2, "big") + payload

    def _tagged(self, frame: bytes) -> bytes:
        tag = struct.pack(
            "!HH", self.chance.choice((0x8100, 0x88A8)), self.chance.randrange(1 << 16)
        )
        return frame[:12] + tag * self.chance.choice((1, 1, 2)) + frame[12:]

    def _damaged(self, frame: bytes) -> bytes:
        """A few octets of the headers changed, or the frame cut off behind its mark."""
        damaged = bytearray(frame)
        mark = frame.find(MARK)
        for _ in range(self.chance.randrange(1, 4)):
            at = self.chance.randrange(12, max(13, min(mark, 80)))
            damaged[at] = self.chance.choice(
                (0, 1, 0xFF, damaged[at] ^ (1 << self.chance.randrange(8)))
            )
        if self.chance.random() < 0.2:
            del damaged[mark + len(MARK) :]
        return bytes(damaged)
