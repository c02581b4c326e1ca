# SPDX-License-Identifier: Apache-2.0

"""Flows to the service port and back; see the package."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

from tenantry.apps.l2.tables import ClassifyPriority, OutputPriority
from tenantry.apps.service_port.tables import ASKED, GUEST, NO_SERVICE_PORT, ServicePriority
from tenantry.controller.model import Address, Interface, View
from tenantry.controller.network.tunnels import (
    SERVICE_TYPE,
    SERVICE_VNI,
    endpoint,
    service_peers,
    service_ports,
    tunnel_port,
)
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Flow,
    Goto,
    Learn,
    Match,
    Move,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.oxm import TUNNEL_ENDS, Value
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, TUNNEL, Table
from tenantry.controller.packets.addresses import BITS
from tenantry.controller.packets.frames import IPV4, IPV6, TCP
from tenantry.controller.packets.own_addresses import (
    DNS_PORT,
    GUEST_BITS,
    KEY_BITS,
    METADATA_PORT,
    SERVICE_MAC,
    SERVICE_PORT_ADDRESSES,
    SERVICE_PORT_MAC,
)

ETH_TYPES = {4: IPV4, 6: IPV6}
_ADDRESSES = {4: ("ipv4_src", "ipv4_dst"), 6: ("ipv6_src", "ipv6_dst")}

SERVICES = {80: METADATA_PORT, 53: DNS_PORT}
"""The TCP ports that guests ask, and those where the controller listens."""

IDLE_SECONDS = 60
MOST_WAYS_BACK = 1 << 16


def compile_service_port(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Out of the service port and into it, if the switch has one; else by a tunnel to the one that
    has, and back."""
    yield Flow(Table.SERVICE, ServicePriority.MISS, {}, drop(NO_SERVICE_PORT))
    own = view.find(Interface, service=True, switch=switch)
    tunnel = tunnel_port(view, switch, SERVICE_TYPE)
    peers = service_peers(view, switch) if tunnel is not None else ()
    ends = [end for peer in sorted(peers) if (end := endpoint(view, peer)) is not None]
    if own:
        service = own[0].ofport
        yield Flow(
            Table.CLASSIFY, ClassifyPriority.ORDINARY, {"in_port": service, "vlan_vid": 0}, _BACK
        )
        yield from _from_guests(Output(service))
        if tunnel is not None and ends:
            for match in chain(*(_out_of_tunnels(view, switch, end) for end in ends)):
                yield Flow(Table.CLASSIFY, ClassifyPriority.ORDINARY, match, (Goto(Table.SERVICE),))
            yield from _from_hosts(tunnel, ends[0].version, service)
    elif tunnel is not None and ends:
        (end,) = ends
        for match in _out_of_tunnels(view, switch, end):
            yield Flow(Table.CLASSIFY, ClassifyPriority.ORDINARY, match, _BACK)
        yield from _from_guests(_to(end), *_into(tunnel))


_BACK = (Resubmit(Table.SERVICE_BACK), Goto(Table.OUTPUT))


def _from_guests(*out: Action) -> Iterator[Flow]:
    """What guests here ask: who asks is written into it, before it leaves."""
    for (asked, listening), (version, eth_type) in product(SERVICES.items(), ETH_TYPES.items()):
        yield Flow(
            Table.SERVICE,
            ServicePriority.ASKED,
            {"eth_type": eth_type, "ip_proto": TCP, "tcp_dst": asked},
            (*_there(version, asked, listening), *out),
        )


def _from_hosts(tunnel: int, tunnel_version: int, service: int) -> Iterator[Flow]:
    """What guests of other hosts ask, where it is written by now who does; and the answers' way
    into the tunnel."""
    for listening, (version, eth_type) in product(SERVICES.values(), ETH_TYPES.items()):
        yield Flow(
            Table.SERVICE,
            ServicePriority.ASKED,
            {"eth_type": eth_type, "ip_proto": TCP, "tcp_dst": listening},
            (_way_to_host(version, tunnel_version), Output(service)),
        )
    answer: Match = {NETWORK: 0, OUT_PORT: TUNNEL}
    yield Flow(Table.OUTPUT, OutputPriority.ORDINARY, answer, _into(tunnel))


def _out_of_tunnels(view: View, switch: int, end: Address) -> Iterator[dict[str, Value]]:
    """What comes from a host that has joined; from nobody else on the underlay."""
    source, _ = TUNNEL_ENDS[end.version]
    for port in sorted(service_ports(view, switch, end)):
        yield {"in_port": port, "tunnel_id": SERVICE_VNI, source: end.address}


def _to(end: Address) -> SetField:
    return SetField(TUNNEL_ENDS[end.version][1], end.address)


def _into(tunnel: int) -> Actions:
    return SetField("tunnel_id", SERVICE_VNI), Output(tunnel)


def _way_to_host(version: int, tunnel_version: int) -> Learn:
    """What comes for this source from the port that is asked goes to the host that sent it."""
    begins, leads = TUNNEL_ENDS[tunnel_version]
    return _learn(version, ((OUT_PORT, TUNNEL), (leads, begins)))


def _there(version: int, asked: int, listening: int) -> Actions:
    """Say in the source address who asks, and learn the way back."""
    (source, destination), bits = _ADDRESSES[version], BITS[version]
    here = SERVICE_PORT_ADDRESSES[version]
    everything = (1 << KEY_BITS + GUEST_BITS) - 1
    return (
        *(SetField(GUEST, 0), Move(source, GUEST, bits)),
        *(SetField(ASKED, 0), Move(destination, ASKED, bits)),
        SetField(source, here & ~everything),
        Move(IN_PORT, source, KEY_BITS),
        Move(GUEST, source, GUEST_BITS, 0, KEY_BITS),
        *(SetField("tcp_dst", listening), _way_back(version, asked)),
        SetField(destination, here),
        *(SetField("eth_src", SERVICE_MAC), SetField("eth_dst", SERVICE_PORT_MAC)),
    )


def _way_back(version: int, asked: int) -> Learn:
    """What comes for this source from the port that is asked goes back to the guest, as from the
    address that it asked. It is learned when source and port are replaced already."""
    source, destination = _ADDRESSES[version]
    guest, from_whom = ("reg3", "reg7") if version == 4 else (GUEST, ASKED)
    return _learn(
        version,
        (
            *((NETWORK, NETWORK), (OUT_PORT, IN_PORT)),
            *(("eth_dst", "eth_src"), ("eth_src", SERVICE_MAC)),
            *((destination, guest), (source, from_whom), ("tcp_src", asked)),
        ),
    )


def _learn(version: int, load: tuple[tuple[str, str | int], ...]) -> Learn:
    source, destination = _ADDRESSES[version]
    return Learn(
        table=Table.SERVICE_BACK,
        match=(
            *(("eth_type", ETH_TYPES[version]), ("ip_proto", TCP)),
            *((destination, source), ("tcp_src", "tcp_dst")),
        ),
        load=load,
        idle_timeout=IDLE_SECONDS,
        limit=MOST_WAYS_BACK,
        cookie=Cookie.SERVICES,
    )
