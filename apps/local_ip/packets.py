# SPDX-License-Identifier: Apache-2.0

"""Who has been told where a local IP is, on one host, is told when that changes there."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.local_ip.flows import behind, owner
from tenantry.apps.local_ip.records import LocalIp, LocalIpAssociation
from tenantry.controller.feature.effects import PacketOut, to_ports
from tenantry.controller.model import Binding, Change, Network, View
from tenantry.controller.packets.neighbour_discovery import announcement


def announce(was: View, now: View, change: Change) -> Iterator[tuple[int, PacketOut]]:
    """A port came to be behind a local IP on a switch, or is no longer."""
    if change.type is Binding:
        ports = {change.id}
        found = [one for v in (was, now) for one in v.find(LocalIpAssociation, port_id=change.id)]
    elif change.type is LocalIpAssociation:
        found = [one for v in (was, now) if (one := v.get(LocalIpAssociation, change.id))]
        ports = {one.port_id for one in found}
    else:
        return
    bindings = (view.get(Binding, id) for view in (was, now) for id in ports)
    switches = {binding.switch for binding in bindings if binding}
    for id in sorted({one.local_ip_id for one in found}):
        local = now.get(LocalIp, id)
        network = now.get(Network, local.network_id) if local else None
        for switch in sorted(switches):
            mac = _mac(now, switch, id)
            if local is None or network is None or mac in (None, _mac(was, switch, id)):
                continue
            here = behind(now, switch, id)
            data = announcement(4, mac or 0, local.address, router=False)
            for packet in to_ports(now, switch, network, data, but=here.port.id if here else ""):
                yield switch, packet


def _mac(view: View, switch: int, id: str) -> int | None:
    """The MAC address that a local IP has on a switch."""
    here, local = behind(view, switch, id), view.get(LocalIp, id)
    if here is not None:
        return here.port.mac
    true = owner(view, local) if local else None
    return true.mac if true and view.get(Binding, true.id) else None
