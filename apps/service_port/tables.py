# SPDX-License-Identifier: Apache-2.0

"""The tables by which guests reach the service port, and their own registers."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import NETWORK, OUT_PORT, Field, Table

GUEST = Field(
    *("xxreg0", "GUEST", "SERVICE..SERVICE_BACK"),
    "the guest's own address, in its low 32 bits if it is an IPv4 address",
    bits=128,
)
ASKED = Field(
    *("xxreg1", "ASKED", "SERVICE..SERVICE_BACK"),
    "the address that the guest asked, likewise",
    bits=128,
)
FIELDS = (GUEST, ASKED)

NO_SERVICE_PORT = Cause(
    *(0x0901, "no_service_port", Whose.SENDER),
    "no way leads from this host to the controller, which answers metadata and DNS",
)


class ServicePriority(Priorities):
    """SERVICE: what is asked there."""

    PROBE_REPLY = 200  # to what the controller has asked itself
    ASKED = 100
    MISS = 0


TABLES = {
    Table.SERVICE: About(
        job="To the service port, where the controller answers TCP, or to the switch that "
        "has it: the source address becomes one that says which port asks, and "
        "SERVICE_BACK learns the way back.",
        priorities=ServicePriority,
        matches=fields("eth_type ip_proto tcp_dst"),
        sets=fields(
            GUEST,
            ASKED,
            "tunnel_id tun_dst tun_ipv6_dst eth_src eth_dst ipv4_src ipv4_dst ipv6_src",
            "ipv6_dst tcp_dst",
        ),
        leads_to=(Table.SERVICE_BACK,),
        drops=(NO_SERVICE_PORT,),
    ),
    Table.SERVICE_BACK: About(
        job="Makes of an answer what the guest expects; filled by the switch itself, visited "
        "by resubmit.",
        priorities=OneRung,
        matches=fields("eth_type ip_proto ipv4_dst ipv6_dst tcp_src"),
        sets=fields(
            NETWORK,
            OUT_PORT,
            "tun_dst tun_ipv6_dst eth_src eth_dst ipv4_src ipv4_dst ipv6_src ipv6_dst",
            "tcp_src",
        ),
    ),
}

ADDS_TO = {
    Table.CLASSIFY: Adds(
        matches=fields("in_port vlan_vid tunnel_id tun_src tun_ipv6_src"),
        leads_to=(Table.SERVICE, Table.SERVICE_BACK, Table.OUTPUT),
    ),
    Table.OUTPUT: Adds(
        matches=fields(NETWORK, OUT_PORT),
        sets=fields("tunnel_id"),
    ),
}
