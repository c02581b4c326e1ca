# SPDX-License-Identifier: Apache-2.0

"""Flows of local IPs; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.arp_nd.tables import NeighboursPriority
from tenantry.apps.l2.tables import OutputPriority
from tenantry.apps.local_ip.records import LocalIp, LocalIpAssociation
from tenantry.apps.local_ip.tables import ANOTHER_BEHIND_IT, LocalIpPriority
from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import (
    Binding,
    Network,
    Port,
    View,
    derived,
    networks_with_ports,
)
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    CT_INVALID,
    CT_NEW,
    CT_TRACKED,
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Match,
    Move,
    Nat,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    IN_PORT,
    MAC,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    TENANT,
    Table,
)
from tenantry.controller.packets.addresses import mapped
from tenantry.controller.packets.frames import ARP, IPV4

UNICAST = (0, 1 << 40)
_NEW = (CT_NEW | CT_TRACKED, CT_NEW | CT_TRACKED | CT_INVALID)


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is for no port that is behind a local IP now."""
    yield Flow(Table.LOCAL_IP, LocalIpPriority.MISS, {}, drop(ANOTHER_BEHIND_IT))


@derived
def local_ips_of(view: View, network_id: str) -> frozenset[str]:
    """The local IPs of a network."""
    return view.ids(LocalIp, network_id=network_id)


def local_ips_on(view: View, switch: int) -> frozenset[str]:
    """The local IPs of the networks that have ports on a switch."""
    networks = networks_with_ports(view, switch)
    return frozenset[str]().union(*(local_ips_of(view, network_id) for network_id in networks))


class Behind(NamedTuple):
    """The port behind a local IP on a switch, and its address."""

    port: Port
    address: int


@derived
def behind(view: View, switch: int, id: str) -> Behind | None:
    """Who has a local IP on a switch; of several, the one with the lowest key."""
    local = view.get(LocalIp, id)
    if local is None:
        return None
    found = []
    for association in view.find(LocalIpAssociation, local_ip_id=id):
        port, binding = view.get(Port, association.port_id), view.get(Binding, association.port_id)
        if port is None or binding is None or binding.switch != switch:
            continue
        on_network = port.network_id == local.network_id and port.admin_state_up
        if on_network and _has(port, association.address):
            found.append(Behind(port, association.address))
    return min(found, key=lambda one: one.port.key, default=None)


def _has(port: Port, address: int) -> bool:
    return any((ip.version, ip.address) == (4, address) for ip in port.fixed_ips)


def owner(view: View, local: LocalIp) -> Port | None:
    """The port that a local IP is the address of: without it there is no such local IP."""
    port = view.get(Port, local.local_port_id)
    return port if port is not None and _has(port, local.address) else None


def compile_local_ip(view: View, switch: int, id: str) -> Iterator[Flow]:
    """There and back, and who is said to have it, if there is a port behind it on this switch."""
    local, here = view.get(LocalIp, id), behind(view, switch, id)
    network = view.get(Network, local.network_id) if local else None
    if local is None or here is None or network is None or not network.admin_state_up:
        return
    true = owner(view, local)
    if true is None:
        return
    on: Match = {NETWORK: network.key}
    to_it: Match = {**on, IN_PORT: TENANT, "eth_type": IPV4, "ipv4_dst": local.address}
    from_it: Match = {**to_it, IN_PORT: here.port.key}
    yield from _asked(view, network, local, here, true)
    yield Flow(Table.TRAP, TrapPriority.LOCAL_IP_ITSELF, from_it, (Goto(Table.TRAP.next),))
    to_port = SetField("eth_dst", here.port.mac)
    if local.ip_mode == "passthrough":
        on_to_it: Actions = (to_port, Goto(Table.TRAP.next))
        yield Flow(Table.TRAP, TrapPriority.LOCAL_IP, to_it, on_to_it)
        return
    zone = Zone.shared(local.key)
    known = (CtClear(), Ct(zone, Table.LOCAL_IP, Nat()))
    yield Flow(Table.TRAP, TrapPriority.LOCAL_IP, to_it, known)
    new: Match = {**on, "eth_type": IPV4, "ipv4_dst": local.address, "ct_state": _NEW}
    begun: Actions = (
        *(Move(IN_PORT, ORIGIN_PORT, 32), Resubmit(Table.CONNECTION_LIMIT)),
        Ct(zone, Table.LOCAL_IP, Nat("dst", here.address), commit=True),
    )
    yield Flow(Table.LOCAL_IP, LocalIpPriority.NEW, new, begun)
    translated: Match = {**on, "eth_type": IPV4, "ipv4_dst": here.address}
    judged: Actions = (to_port, CtClear(), Goto(Table.LOCAL_IP.next))
    yield Flow(Table.LOCAL_IP, LocalIpPriority.TRANSLATED, translated, judged)
    # Once: from nobody's port it comes back here, and leaves.
    answers: Match = {
        **on,
        IN_PORT: here.port.key,
        OUT_PORT: TENANT,
        "eth_dst": UNICAST,
        "eth_type": IPV4,
        "ipv4_src": here.address,
    }
    back: Actions = (
        *(SetField(IN_PORT, 0), Ct(zone, Table.OUTPUT, Nat())),
        SetField(IN_PORT, here.port.key),
    )
    yield Flow(Table.OUTPUT, OutputPriority.LOCAL_IP, answers, back)


def _asked(
    view: View, network: Network, local: LocalIp, here: Behind, true: Port
) -> Iterator[Flow]:
    """The answers to ARP: for all the port's MAC address, for itself whose address it else is."""
    asked: Match = {
        NETWORK: network.key,
        ADDRESS: mapped(4, local.address),
        IN_PORT: TENANT,
        "eth_type": ARP,
    }
    its = (SetField(MAC, here.port.mac),)
    yield Flow(Table.NEIGHBOURS, NeighboursPriority.LOCAL_IP, asked, its)
    plugged_in = true.id != here.port.id and view.get(Binding, true.id) is not None
    others = (SetField(MAC, true.mac),) if plugged_in else ()
    itself: Match = {**asked, IN_PORT: here.port.key}
    yield Flow(Table.NEIGHBOURS, NeighboursPriority.LOCAL_IP_ITSELF, itself, others)
