# SPDX-License-Identifier: Apache-2.0

"""Flows that take queries to the resolver; all other DNS passes untouched."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import Network, Subnet, View
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    Actions,
    Flow,
    Goto,
    Match,
    Output,
    Resubmit,
)
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, TENANT, Table
from tenantry.controller.packets.frames import IPV4, IPV6, TCP, UDP

DNS = 53

PUNT: Actions = (Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Queries to the service address of a subnet that has DHCP, by UDP and by TCP."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return
    for subnet in view.find(Subnet, network_id=network_id):
        if subnet.service_address is None or not subnet.enable_dhcp:
            continue
        to_service_address: Match = (
            {"eth_type": IPV4, "ipv4_dst": subnet.service_address}
            if subnet.version == 4
            else {"eth_type": IPV6, "ipv6_dst": subnet.service_address}
        )
        asked = {NETWORK: network.key, IN_PORT: TENANT, **to_service_address}
        udp = {**asked, "ip_proto": UDP, "udp_dst": DNS}
        tcp = {**asked, "ip_proto": TCP, "tcp_dst": DNS}
        yield Flow(Table.TRAP, TrapPriority.TRAPPED, udp, PUNT)
        yield Flow(Table.TRAP, TrapPriority.TRAPPED, tcp, (Goto(Table.SERVICE),))
