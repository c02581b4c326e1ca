# SPDX-License-Identifier: Apache-2.0

"""Who has been told an address is told when it changes: by the model, which knows the moment."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.arp_nd.flows import addresses
from tenantry.controller.feature.effects import PacketOut, resubmitted, to_ports
from tenantry.controller.model import Binding, Change, Former, Network, Port, View
from tenantry.controller.network.gateways import is_router
from tenantry.controller.network.routers import active
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, PHYSICAL, Table
from tenantry.controller.packets.addresses import mapped, unmapped
from tenantry.controller.packets.neighbour_discovery import announcement


def announce(was: View, now: View, change: Change) -> Iterator[tuple[int, PacketOut]]:
    """Addresses that have another MAC address now. Each switch tells the network's ports on it; the
    one where the port is tells the wire, too, if there is one (for the wires of routers' gateways:
    ``apps/routing``). What a router gets it always announces, for another may have had it whom
    nobody here knew; others, if hosts may remember somebody else."""
    if change.type not in (Port, Binding):
        return
    port = now.get(Port, change.id)
    former = dict(_former(now, port)) if port else {}
    if port is None or not (port.router_id or former):
        return
    network = now.get(Network, port.network_id)
    if network is None or was.get(Network, network.id) is None:
        return  # where nobody was, nobody has been told anything
    told = {
        address: mac
        for address, mac in addresses(now, port).items()
        if port.router_id or former.get(address, mac) != mac
    }
    news = told.items() - _answered(was, port.id).items() if told else ()
    switches = now.distinct(Binding, "switch", network_id=network.id) if news else ()
    beyond = None if port.is_gateway else _home(now, port)
    for one, mac in sorted(news):
        version, address = unmapped(one)
        data = announcement(version, mac, address, router=is_router(now, port))
        for switch in sorted(switches):
            for packet in to_ports(now, switch, network, data, but=port.id):
                yield switch, packet
        if beyond is not None:
            known = ((NETWORK, network.key), (IN_PORT, port.key), (OUT_PORT, PHYSICAL))
            yield beyond, resubmitted(data, known, Table.OUTPUT)


def _answered(view: View, port_id: object) -> dict[int, int]:
    """The addresses of a port that are answered for, and their MAC addresses."""
    port = view.get(Port, port_id)
    return addresses(view, port) if port else {}


def _former(view: View, port: Port) -> Iterator[tuple[int, int]]:
    """The addresses of a port that were elsewhere before, each with its former MAC address."""
    for ip in port.fixed_ips:
        former = view.get(Former, (port.network_id, ip.version, ip.address))
        if former is not None:
            yield mapped(ip.version, ip.address), former.mac


def _home(view: View, port: Port) -> int | None:
    """The switch that speaks for a port to the physical network."""
    if port.router_id:
        return active(view, port.router_id)
    binding = view.get(Binding, port.id)
    return binding.switch if binding else None
