# SPDX-License-Identifier: Apache-2.0

"""The tables that answer ARP and neighbour discovery."""

from __future__ import annotations

from tenantry.controller.network.priorities import ArpNdReplyPriority
from tenantry.controller.openflow.contract import About, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, Whose
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    IN_PORT,
    MAC,
    NETWORK,
    OUT_PORT,
    OWNED,
    Table,
)

ANSWERED_ELSEWHERE = Cause(
    *(0x0401, "answered_elsewhere", Whose.SENDER),
    "it asks from beyond the host for an address that is on another, which answers",
)


class NdReplyPriority(Priorities):
    """ND_REPLY."""

    ADVERTISEMENT = 100
    MISS = 0


class NeighboursPriority(Priorities):
    """NEIGHBOURS: one row an address."""

    LOCAL_IP_ITSELF = 202  # asked by the port that is behind it: whose it is elsewhere
    LOCAL_IP = 201  # which on this switch a port here has
    ROW = 200
    VIP = 199  # of a load balancer, as long as no interface has it


TABLES = {
    Table.ARP_ND: About(
        job="Who has an address? Known ones are answered here; unknown ones may be behind "
        "ports that learn.",
        priorities=OneRung,
        matches=fields("eth_type arp_op ip_proto ip_ttl icmpv6_type"),
        sets=fields(OUT_PORT, ADDRESS, MAC, OWNED),
        leads_to=(Table.NEIGHBOURS, Table.ARP_ND_REPLY, Table.IDENTITY),
    ),
    Table.NEIGHBOURS: About(
        job="The addresses of each network that the model knows, and their MAC addresses; "
        "visited by resubmit, sets MAC and, if the address is here, OUT_PORT.",
        priorities=NeighboursPriority,
        matches=fields(NETWORK, IN_PORT, ADDRESS),
        sets=fields(OUT_PORT, MAC),
    ),
    Table.ARP_ND_REPLY: About(
        job="Turns the question into its answer and sends it back. One from the physical "
        "network goes to the port it is about, if that is on this switch: every other "
        "switch hears it, too.",
        priorities=ArpNdReplyPriority,
        matches=fields(
            IN_PORT,
            OUT_PORT,
            MAC,
            OWNED,
            "eth_type arp_op arp_spa ip_proto ipv6_src icmpv6_type ipv6_nd_sll",
        ),
        sets=fields(
            OUT_PORT,
            "nxm_in_port eth_src eth_dst arp_op arp_spa arp_tpa arp_sha arp_tha ipv6_src",
            "ipv6_dst icmpv6_type nd_reserved",
        ),
        leads_to=(Table.PUNT_LIMIT, Table.ND_REPLY, Table.FLOOD.next, Table.OUTPUT),
        drops=(ANSWERED_ELSEWHERE,),
    ),
    Table.ND_REPLY: About(
        job="The last of a neighbour advertisement: its option, which a solicitation has not.",
        priorities=NdReplyPriority,
        matches=fields("eth_type ip_proto icmpv6_type"),
        sets=fields(OUT_PORT, "nxm_in_port ipv6_nd_tll nd_options_type"),
        leads_to=(Table.OUTPUT,),
        drops=(UNFORESEEN,),
    ),
}
