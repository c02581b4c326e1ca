# SPDX-License-Identifier: Apache-2.0

"""What a firewall that rejects says to the sender: a TCP reset, or ICMP's port unreachable. And
errors about what is not tracked, which pass like others."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controller.feature.effects import PacketIn, PacketOut, resubmitted, to_port
from tenantry.controller.model import View
from tenantry.controller.network.conntrack import untracked
from tenantry.controller.network.router_entry import router_reply
from tenantry.controller.openflow.pipeline import (
    IN_PORT,
    NAT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    OUTSIDE,
    POLICY,
    SOURCE,
    Table,
)
from tenantry.controller.packets import frames
from tenantry.controller.packets.icmp_errors import refuse

LEAVING_PORT, ENTERING_PORT, IN_ROUTER, ERROR = 1, 2, 3, 4
"""POLICY, on the way to the controller: where a packet was rejected; or (ERROR) that a router's
firewall knows nothing of an ICMP error."""


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Tell the sender, or let an error pass. Errors: Malformed."""
    if packet.register(POLICY) == ERROR:
        if untracked(packet.data) is None:
            return []
        return [PacketOut(packet.data, packet.resume(Table.ROUTER_FIREWALL.next))]
    refusal = refuse(frames.parse_ip(packet.data))
    if refusal is None:
        return []
    if packet.register(POLICY) == IN_ROUTER:
        # What came from outside to a translated address, nobody here can answer for.
        translated = packet.register(NAT) and packet.register(SOURCE) == OUTSIDE
        return [] if translated else [router_reply(packet, refusal)]
    turned = packet.data[6:12] + packet.data[:6] + refusal[12:]
    here, origin = packet.register(IN_PORT), packet.register(ORIGIN_PORT)
    if packet.register(POLICY) == LEAVING_PORT or here == origin:
        return [to_port(packet.network, here, turned)]
    from_port = ((NETWORK, packet.network), (IN_PORT, packet.register(OUT_PORT)))
    return [resubmitted(turned, from_port, Table.ROUTER_ADMIT)]
