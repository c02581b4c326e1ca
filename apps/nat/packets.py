# SPDX-License-Identifier: Apache-2.0

"""ICMP errors that quote what a floating IP's translation has changed, and who has moved.

An error quotes the packet that it is about, as it was where the error arose; whoever sent that
packet knows it only as it was before the translation (RFC 5508, 4). The outer addresses are right
already, the quoted ones are put right here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.apps.nat.flows import ARRIVING
from tenantry.apps.nat.forwarded import BEGINNING, resent_fragments
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Binding, Change, Interface, Network, Port, View
from tenantry.controller.network.records import FloatingIp, HeldDown, Router
from tenantry.controller.network.router_entry import flood_packet
from tenantry.controller.network.routers import gateway, translating_switch, translating_switches
from tenantry.controller.openflow.flow import SetField
from tenantry.controller.openflow.pipeline import PUNT_REASON, ROUTER, Table
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import Ip
from tenantry.controller.packets.neighbour_discovery import announcement


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Put the quoted packet right, and let the error go on; or begin a connection. Errors:
    Malformed."""
    if packet.register(PUNT_REASON) == BEGINNING:
        for router in view.find(Router, key=packet.register(ROUTER)):
            yield from resent_fragments(view, router, packet)
        return
    arriving = packet.register(PUNT_REASON) == ARRIVING
    error = frames.parse_ip(packet.data)
    quoted = frames.quoted(error)
    for router in view.find(Router, key=packet.register(ROUTER)):
        right = _arrived(view, router, quoted) if arriving else _left(view, router, quoted)
        if right is not None:
            message = error.payload[: frames.QUOTE] + right.header + right.payload
            data = frames.with_icmp(packet.data, error, message)
            table = Table.ROUTER_NAT_IN_DONE if arriving else Table.ROUTER_NAT_DONE
            yield PacketOut(data, packet.resume(table.next, SetField(PUNT_REASON, 0)))


def _arrived(view: View, router: Router, quoted: Ip) -> Ip | None:
    """It was sent as from a floating IP; the sender wrote the fixed address."""
    for floating in view.find(FloatingIp, router_id=router.id, address=quoted.src):
        return frames.with_addresses(quoted, src=floating.fixed_address)
    return None


def _left(view: View, router: Router, quoted: Ip) -> Ip | None:
    """It arrived at a fixed address; its sender wrote the floating IP."""
    for floating in view.find(FloatingIp, router_id=router.id, fixed_address=quoted.dst):
        return frames.with_addresses(quoted, dst=floating.address)
    return None


def announce(was: View, view: View, change: Change) -> Iterator[tuple[int, PacketOut]]:
    """Floating IPs that are new, or have moved to another switch: their neighbours outside must not
    wait until they ask."""
    record = change.record
    if isinstance(record, FloatingIp):
        yield from _announced(view, record)
    elif isinstance(record, Binding):
        for bound in view.find(FloatingIp, fixed_port_id=record.id):
            yield from _announced(view, bound)
    elif change.type is HeldDown or (isinstance(record, Interface) and record.physical_network):
        switch = record.switch if isinstance(record, Interface) else change.id
        for id in sorted(view.ids(FloatingIp)):
            floating = view.get(FloatingIp, id)
            if floating is not None and switch in translating_switches(view, floating):
                yield from _announced(view, floating)


def _announced(view: View, floating: FloatingIp) -> Iterator[tuple[int, PacketOut]]:
    switch = translating_switch(view, floating)
    port, network = view.get(Port, floating.port_id), view.get(Network, floating.network_id)
    leg = gateway(view, floating.router_id) if floating.router_id else None
    if switch is None or port is None or network is None or leg is None:
        return
    yield (
        switch,
        flood_packet(
            network, leg.port.key, announcement(4, port.mac, floating.address, router=True)
        ),
    )
