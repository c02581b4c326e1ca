# SPDX-License-Identifier: Apache-2.0

"""IP packets in pieces, and what ICMP errors quote."""

from __future__ import annotations

import struct

import pytest

from tenantry.controller.packets import frames
from tenantry.controller.packets.icmp_errors import fragments
from tenantry.controller.packets.malformed import Malformed

SOURCE, DESTINATION = 0x0A000002, 0x0A000003


def fragment(payload: bytes, offset: int = 0, *, more: bool = True) -> frames.Ip:
    frame = frames.ip(frames.Ends(0, 0, 4, SOURCE, DESTINATION), 17, 64, payload)
    flags = struct.pack("!H", offset // 8 | (0x2000 if more else 0))
    return frames.parse_ip(frame[:20] + flags + frame[22:])


@pytest.mark.parametrize(("offset", "more"), [(0, False), (0, True), (1480, True), (2960, False)])
@pytest.mark.parametrize("mtu", [576, 1400, 1450])
def test_what_is_cut_is_the_same_again(mtu: int, offset: int, more: bool) -> None:
    payload = bytes(range(256)) * 5 + bytes(200)
    pieces = [frames.parse_ip(f) for f in fragments(fragment(payload, offset, more=more), mtu)]
    assert b"".join(piece.payload for piece in pieces) == payload
    assert all(len(piece.header + piece.payload) <= mtu for piece in pieces)
    assert all(frames.checksum(piece.header) == 0 for piece in pieces)
    assert [piece.more for piece in pieces] == [True] * (len(pieces) - 1) + [more]
    ends = [struct.unpack_from("!H", piece.header, 6)[0] & 0x1FFF for piece in pieces]
    sizes = [len(piece.payload) for piece in pieces]
    assert ends == [(offset + sum(sizes[:n])) // 8 for n in range(len(pieces))]
    if more:
        assert max(sizes) - min(sizes) <= 8 * len(pieces), "none of them is small"


def quoting(packet: bytes, version: int) -> frames.Ip:
    message = bytes(8) + packet[14:]
    if version == 4:
        return frames.parse_ip(frames.icmp(1 << 24, SOURCE, 64, message))
    return frames.parse_ip(frames.icmpv6(0, 0, 1, SOURCE, message, 64))


def test_what_an_error_quotes() -> None:
    cut = frames.ip(frames.Ends(0, 0, 4, SOURCE, DESTINATION), 17, 64, bytes(20))
    cut = cut[:20] + b"\x20\0" + cut[22:]
    for packet, protocol, whole in (
        (frames.ip(frames.Ends(0, 0, 4, SOURCE, DESTINATION), 47, 64, b""), 47, True),
        (cut, 17, False),
    ):
        quoted = frames.quoted(quoting(packet, 4))
        assert (quoted.src, quoted.dst) == (SOURCE, DESTINATION)
        assert (quoted.protocol, quoted.whole) == (protocol, whole)
    options, part = b"\x2c\1" + bytes(14), b"\x32\0\0\1" + bytes(4)
    for protocol, payload, expected, whole in (
        (47, b"", 47, True),
        (60, options.replace(b"\x2c", b"\x11"), 17, True),
        (60, options + part, 50, False),
        (44, part, 50, False),
    ):
        packet = frames.ip(frames.Ends(0, 0, 6, SOURCE, DESTINATION), protocol, 64, payload)
        quoted = frames.unwrapped(frames.quoted(quoting(packet, 6)))
        assert (quoted.src, quoted.dst) == (SOURCE, DESTINATION)
        assert (quoted.protocol, quoted.whole) == (expected, whole)


@pytest.mark.parametrize("version", [4, 6])
def test_what_an_error_must_quote(version: int) -> None:
    packet = frames.ip(frames.Ends(0, 0, version, SOURCE, DESTINATION), 47, 64, b"")
    for end in range(14, len(packet)):
        with pytest.raises(Malformed):
            frames.quoted(quoting(packet[:end], version))
    extended = frames.ip(frames.Ends(0, 0, 6, SOURCE, DESTINATION), 60, 64, b"\x2c")
    with pytest.raises(Malformed):
        frames.unwrapped(frames.quoted(quoting(extended, 6)))
