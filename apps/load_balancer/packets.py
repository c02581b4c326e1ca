# SPDX-License-Identifier: Apache-2.0

"""What is said to who begins a connection when there is no member to take it, or goes on with one
whose member is gone: a TCP reset, or ICMP's port unreachable."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.apps.load_balancer.tables import REFUSED_IN
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import View
from tenantry.controller.openflow.flow import Ct, Nat, Resubmit, SetField
from tenantry.controller.openflow.pipeline import NETWORK, OUT_PORT, Table
from tenantry.controller.packets import frames
from tenantry.controller.packets.icmp_errors import refuse


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Refuse, at once: in the name of a member that is gone, if the connection was with one, by way
    of the zone that makes it the load balancer's, and knows of the end. Errors: Malformed."""
    refusal = refuse(frames.parse_ip(packet.data))
    if refusal is None:
        return []
    turned = packet.data[6:12] + packet.data[:6] + refusal[12:]
    zone = packet.register(REFUSED_IN)
    on = Ct(zone, Table.OUTPUT, Nat()) if zone else Resubmit(Table.OUTPUT)
    to_it = (SetField(NETWORK, packet.network), SetField(OUT_PORT, packet.port))
    return [PacketOut(turned, (*to_it, on))]
