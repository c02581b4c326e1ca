# SPDX-License-Identifier: Apache-2.0

"""A guest that has moved: its first words at the new place say that it runs there now.

QEMU announces a guest that it has resumed by RARP, and guests do so themselves by ARP or by an
unsolicited neighbour advertisement.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controller.feature.effects import PacketIn, PortMigrated
from tenantry.controller.model import Port, Standby, View


def handle(view: View, packet: PacketIn) -> Iterable[PortMigrated]:
    """The port is to be where this packet came from, if it stands by there."""
    for port in view.find(Port, key=packet.port):
        standby = view.get(Standby, (port.id, packet.switch))
        if standby is not None and standby.ofport == packet.ofport:
            yield PortMigrated(port.id, standby.host)
