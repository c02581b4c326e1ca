# SPDX-License-Identifier: Apache-2.0

"""Flows that take questions to the controller, on networks where it answers them."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.dhcp import advertise
from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import Network, Subnet, View
from tenantry.controller.openflow.flow import CONTROLLER, Flow, Match, Output, Resubmit
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, TENANT, Table
from tenantry.controller.packets.frames import ICMPV6, IPV4, IPV6, UDP
from tenantry.controller.packets.neighbour_discovery import ROUTER_SOLICITATION

DHCP: Match = {"eth_type": IPV4, "ip_proto": UDP, "udp_src": 68, "udp_dst": 67}
DHCPV6: Match = {"eth_type": IPV6, "ip_proto": UDP, "udp_src": 546, "udp_dst": 547}
SOLICITATION: Match = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": ROUTER_SOLICITATION}


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """What of a network's hosts is answered here. It is heard by nobody else."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return
    subnets = view.find(Subnet, network_id=network_id)
    served = {subnet.version for subnet in subnets if subnet.enable_dhcp}
    questions = [(4 in served, DHCP), (6 in served, DHCPV6)]
    questions.append((bool(advertise.subnets(view, network_id)), SOLICITATION))
    for answered, question in questions:
        if answered:
            yield Flow(
                Table.TRAP,
                TrapPriority.TRAPPED,
                {NETWORK: network.key, IN_PORT: TENANT, **question},
                (Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER)),
            )
