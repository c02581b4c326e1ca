# SPDX-License-Identifier: Apache-2.0

"""What is said to who begins a connection when there is no member to take it: a TCP reset, or
ICMP's port unreachable."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controller.feature.effects import PacketIn, PacketOut, to_port
from tenantry.controller.model import View
from tenantry.controller.packets import frames
from tenantry.controller.packets.icmp_errors import refuse


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Refuse, at once. Errors: Malformed."""
    refusal = refuse(frames.parse_ip(packet.data))
    if refusal is None:
        return []
    turned = packet.data[6:12] + packet.data[:6] + refusal[12:]
    return [to_port(packet.network, packet.port, turned)]
