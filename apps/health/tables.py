# SPDX-License-Identifier: Apache-2.0

"""The table of health monitors, and what they add to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, ROUTER, Field, Table

MONITORED = Field(
    *("reg5", "MONITORED", "HEALTH..HEALTH ROUTE..ROUTE L2_LOOKUP..L2_LOOKUP"),
    "key of the member that an error about a monitor's datagram comes from; of what is no error, "
    "the higher octet of the port at which the controller, or the VIP, is",
)
FIELDS = (MONITORED,)

NOBODY_THERE = Cause(
    *(0x1E01, "nobody_there", Whose.SENDER),
    "a monitor asks a member that is plugged in nowhere, or that no route leads to",
)


class HealthPriority(Priorities):
    """HEALTH: whom it is for."""

    MEMBER = 100
    MISS = 0


TABLES = {
    Table.HEALTH: About(
        job="What the controller asks members of load balancers, by an address that stands for the "
        "member: to the switch where it begins as if from the VIP, and there on its way in the "
        "tenant's network.",
        priorities=HealthPriority,
        matches=fields("eth_type ip_proto ipv4_dst ipv6_dst"),
        sets=fields(
            NETWORK,
            IN_PORT,
            MONITORED,
            "tcp_src udp_src sctp_src",
            "nxm_in_port tunnel_id tun_dst tun_ipv6_dst eth_src eth_dst ipv4_src ipv4_dst ipv6_src",
            "ipv6_dst",
        ),
        leads_to=(Table.ROUTER_ADMIT,),
        drops=(NOBODY_THERE,),
    ),
}

_ANSWERS = fields(
    "eth_type ip_proto ipv4_src ipv4_dst ipv6_src ipv6_dst tcp_src tcp_dst udp_src udp_dst",
    "sctp_src sctp_dst icmpv4_type icmpv4_code icmpv6_type icmpv6_code",
)
_BACK = fields(
    MONITORED,
    "tcp_dst sctp_dst",
    "nxm_in_port tunnel_id tun_dst tun_ipv6_dst eth_src eth_dst ipv4_src ipv4_dst ipv6_src",
    "ipv6_dst",
)

ADDS_TO = {
    Table.CLASSIFY: Adds(
        matches=fields(
            "in_port vlan_vid tunnel_id tun_src tun_ipv6_src eth_type ipv4_dst ipv6_dst"
        ),
        leads_to=(Table.HEALTH,),
    ),
    Table.TRAP: Adds(matches=fields(NETWORK, IN_PORT) | _ANSWERS),
    Table.SERVICE: Adds(matches=fields("eth_type ipv4_src ipv4_dst ipv6_src ipv6_dst")),
    Table.ROUTE: Adds(matches=fields(ROUTER) | _ANSWERS, sets=_BACK, leads_to=(Table.PUNT_LIMIT,)),
    Table.L2_LOOKUP: Adds(
        matches=fields(NETWORK) | _ANSWERS, sets=_BACK, leads_to=(Table.PUNT_LIMIT,)
    ),
}
