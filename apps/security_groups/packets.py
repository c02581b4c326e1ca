"""ICMP errors about what is not tracked: they pass if they are about a packet of the port's own."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model import Port, View
from controller.model.addresses import link_local
from controller.packet import PacketIn, PacketOut
from controller.pipeline import ENTERING, IN_PORT, OUT_PORT, WAY, Table
from controller.tracking import untracked


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Let it go on, to the port that has sent what it quotes, or from the one that got it. (Errors
    about a connection pass likewise, without a rule.) Errors: Malformed."""
    quoted, entering = untracked(packet.data), packet.register(WAY) == ENTERING[0]
    if quoted is None:
        return
    key = packet.register(OUT_PORT if entering else IN_PORT)
    address = quoted.src if entering else quoted.dst
    table = Table.TO_PORT_ACL if entering else Table.FROM_PORT_ACL
    for port in view.find(Port, key=key):
        if _has(port, quoted.version, address):
            yield PacketOut(packet.data, packet.resume(table.next))


def _has(port: Port, version: int, address: int) -> bool:
    bits = 32 if version == 4 else 128
    own = ((ip.version, ip.address) == (version, address) for ip in port.fixed_ips)
    may = (
        pair.version == version and (pair.first ^ address) >> (bits - pair.prefix_length) == 0
        for pair in port.allowed_pairs
    )
    on_link = (version, address) == (6, link_local(port.mac))
    return on_link or any(own) or any(may)
