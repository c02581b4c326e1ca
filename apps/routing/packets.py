# SPDX-License-Identifier: Apache-2.0

"""What a router says by the controller: that a packet goes nowhere, and who its neighbours are.

Pure: from the packet and the model to what is to be sent. A packet comes with all that the pipeline
knew of it; what goes on from here goes on where it was (PacketIn.resume).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from tenantry.apps.nat.records import PortForwarding
from tenantry.apps.routing import nexthops
from tenantry.apps.routing.nexthops import EXPIRED, FOR_ITSELF, HEARD, NO_ROUTE, TOO_BIG, UNRESOLVED
from tenantry.apps.routing.tables import NEXT_HOP
from tenantry.controller.feature.effects import (
    Neighbour,
    Neighbourhood,
    NeighbourReply,
    PacketIn,
    PacketOut,
    ResolveNeighbour,
)
from tenantry.controller.model import Change, Interface, Network, Port, View
from tenantry.controller.network.records import FloatingIp, HeldDown, Router
from tenantry.controller.network.router_entry import flood_packet, returned_packet, router_reply
from tenantry.controller.network.routers import (
    active,
    gateway_addresses,
    gateways,
    own_gateway_address,
    router_interfaces,
    shared_snat_address,
)
from tenantry.controller.openflow.flow import SetField
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    GATEWAY_HERE,
    NAT,
    NEXT_HOP_MAC,
    OUT_PORT,
    OUTSIDE,
    PUNT_REASON,
    ROUTER,
    SOURCE,
    Table,
)
from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import is_link_local, link_local, unmapped
from tenantry.controller.packets.frames import UDP, Ip
from tenantry.controller.packets.icmp_errors import Error, build, fragments, refuse
from tenantry.controller.packets.neighbour_discovery import announcement, question, speaker


def handle(view: View, packet: PacketIn) -> Iterable[object]:
    """Answer for the router. Errors: Malformed."""
    why = packet.register(PUNT_REASON)
    if why == HEARD:
        return _heard(view, packet)
    original = frames.parse_ip(packet.data)
    if why == UNRESOLVED:
        return _seek(view, packet, original)
    if why == TOO_BIG:
        return _too_big(view, packet, original)
    if why == FOR_ITSELF:
        refusal = refuse(original)
        return [router_reply(packet, refusal)] if refusal else []
    error = {EXPIRED: Error.TIME_EXCEEDED, NO_ROUTE: Error.NO_ROUTE}[why]
    return _error(view, packet, error, original)


def _error(
    view: View, packet: PacketIn, error: Error, original: Ip, mtu: int = 0
) -> Iterator[PacketOut]:
    """An error to where the packet came from, as from the address it came by."""
    seen = _as_sent(view, packet, original)
    source = _address(view, packet, original.version)
    if seen is None:
        data = build(error, original, original.dst, mtu)
        if data:
            yield returned_packet(packet, data)
    elif source is not None:
        data = build(error, seen, source, mtu)
        if data:
            yield router_reply(packet, data)


def _address(view: View, packet: PacketIn, version: int) -> int | None:
    for port in view.find(Port, key=packet.register(ENTERED)):
        for ip in port.fixed_ips:
            if ip.version == version:
                return ip.address
    return None


def _as_sent(view: View, packet: PacketIn, original: Ip) -> Ip | None:
    """The packet with the destination that its sender wrote; None if only connection tracking
    knows that. (It does not of a fragment: then the port may be another.)"""
    if original.version == 6 or not packet.register(NAT):
        return original
    for router in view.find(Router, key=packet.register(ROUTER)):
        found = view.find(FloatingIp, router_id=router.id, fixed_address=original.dst)
        for floating in found[:1]:
            return frames.with_addresses(original, dst=floating.address)
        if packet.register(SOURCE) != OUTSIDE:
            return original
        return None if original.whole else _shared(view, packet, router, original)
    return original


def _shared(view: View, packet: PacketIn, router: Router, fragment: Ip) -> Ip | None:
    """A fragment with the address that its sender saw: of a forwarded port, or that many share."""
    known = fragment.protocol == UDP and fragment.first
    port = frames.ports(fragment)[1] if known else None
    for forwarding in view.find(PortForwarding, router_id=router.id):
        floating = view.get(FloatingIp, forwarding.floatingip_id)
        (external, _), (low, high) = forwarding.external, forwarding.internal
        its = forwarding.protocol == "udp" and forwarding.address == fragment.dst
        if its and floating is not None and port is not None and low <= port <= high:
            asked = (external + port - low).to_bytes(2, "big")
            seen = fragment._replace(payload=fragment.payload[:2] + asked + fragment.payload[4:])
            return frames.with_addresses(seen, dst=floating.address)
    own = own_gateway_address(view, packet.switch, router.id)
    here = packet.register(FLAGS) & GATEWAY_HERE
    address = own.address if own and not here else shared_snat_address(view, router)
    return frames.with_addresses(fragment, dst=address) if address else None


def _too_big(view: View, packet: PacketIn, original: Ip) -> Iterator[PacketOut]:
    """An IPv4 packet that may be cut is cut; others are refused (RFC 1191, RFC 8201). Of a fragment
    that is cut once more the sender is told, too: tracking may find the pieces too small, and who
    listens sends such as need not be cut."""
    for port in view.find(Port, key=packet.register(EXIT)):
        network = view.get(Network, port.network_id)
        if network is None:
            return
        if original.more or not original.may_fragment:
            yield from _error(view, packet, Error.TOO_BIG, original, network.mtu)
        if not original.may_fragment:
            return
        for data in fragments(original, network.mtu):
            yield PacketOut(
                data[:6] + packet.data[6:12] + data[12:],
                packet.resume(Table.NEXT_HOP, SetField(FLAGS, 0)),
            )


def _seek(view: View, packet: PacketIn, original: Ip) -> Iterator[ResolveNeighbour]:
    """Find the next hop, and let the packet go on; or say that it is not there."""
    for network in view.find(Network, key=packet.network):
        neighbour = Neighbour(network.id, *unmapped(packet.address(NEXT_HOP)))
        yield ResolveNeighbour(neighbour, partial(_found, view, packet, original))


def _found(view: View, packet: PacketIn, original: Ip, mac: int | None) -> Iterator[PacketOut]:
    if mac is None:
        yield from _error(view, packet, Error.HOST_UNREACHABLE, original)
        return
    found = (SetField(OUT_PORT, 0), SetField(NEXT_HOP_MAC, mac))
    yield PacketOut(packet.data, packet.resume(Table.NEXT_HOP_FOUND, *found))


# --- neighbours ------------------------------------------------------------------------------


def _heard(view: View, packet: PacketIn) -> Iterator[NeighbourReply]:
    version, address, mac = speaker(packet.data)
    for network in view.find(Network, key=packet.network):
        if mac and not mac >> 40 & 1:
            yield NeighbourReply(Neighbour(network.id, version, address), mac)


def _questions(view: View, neighbour: Neighbour) -> Iterator[tuple[int, PacketOut]]:
    """Who has the address? Where something unknown may be."""
    asking = nexthops.asker(view, *neighbour)
    if asking is None:
        return
    switch, leg = asking
    # RFC 4861, 7.2.2: what is of the link is best asked for as what is of the link.
    of_link = neighbour.version == 6 and is_link_local(neighbour.address)
    address = link_local(leg.port.mac) if of_link else leg.address(neighbour.version)
    if address is not None:
        data = question(neighbour.version, leg.port.mac, address, neighbour.address)
        yield switch, flood_packet(leg.network, leg.port.key, data)


ROUTERS = Neighbourhood(nexthops.wanted, _questions)


def announce(was: View, view: View, change: Change) -> Iterator[tuple[int, PacketOut]]:
    """The addresses of a gateway port that is new, or has moved to this switch."""
    record = change.record
    if change.type is HeldDown:
        for router_id in sorted(view.ids(Router)):
            if change.id in gateways(view, router_id):
                yield from _announced(view, router_id)
    if isinstance(record, Port) and record.is_gateway:
        yield from _announced(view, record.router_id)
    elif isinstance(record, Interface) and record.physical_network:
        for router_id in sorted(view.ids(Router)):
            if record.switch in gateways(view, router_id):
                yield from _announced(view, router_id)


def _announced(view: View, router_id: str) -> Iterator[tuple[int, PacketOut]]:
    at = active(view, router_id)
    own = {
        face.address: face for face in gateway_addresses(view, router_id) if len(face.switches) == 1
    }
    for leg in router_interfaces(view, router_id):
        if leg.gateway and at is not None:
            for ip in leg.port.fixed_ips:
                face = own.get(ip.address) if ip.version == 4 else None
                mac, switch = (face.mac, face.switches[0]) if face else (leg.port.mac, at)
                data = announcement(ip.version, mac, ip.address, router=True)
                yield switch, flood_packet(leg.network, leg.port.key, data)
