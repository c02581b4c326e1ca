# SPDX-License-Identifier: Apache-2.0

"""Errors about a monitor's datagrams: a member's host says that nobody listens at the port."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.health.tables import MONITORED
from tenantry.controller.feature.effects import PacketIn
from tenantry.controller.feature.probes import Unreachable
from tenantry.controller.model import View
from tenantry.controller.packets import frames
from tenantry.controller.packets.own_addresses import probed


def handle(view: View, packet: PacketIn) -> Iterator[Unreachable]:
    """Whose it is the switch has said; the port is in what is quoted. Errors: Malformed."""
    quoted = frames.unwrapped(frames.quoted(frames.parse_ip(packet.data)))
    if quoted.protocol == frames.UDP:
        _, port = frames.ports(quoted)
        yield Unreachable(quoted.version, probed(quoted.version, packet.register(MONITORED)), port)
