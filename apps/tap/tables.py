# SPDX-License-Identifier: Apache-2.0

"""The table of captures, what taps add to others' tables, and their own registers."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, Field, Table

CAME_BY = Field(
    *("reg11", "CAME_BY", "CLASSIFY..CLASSIFY OUTPUT..OUTPUT"),
    "the port of the switch that the packet came in by, while copies of it are made: one may leave "
    "by that, too",
    bits=16,
)
CAPTURED = Field(
    *("reg10", "CAPTURED", "CLASSIFY..CLASSIFY OUTPUT..CAPTURE"),
    "key of the capture that a packet is offered to, with SENT if the port has sent it",
)
DELIVERED = Field(
    *("reg6", "DELIVERED", "OUTPUT..OUTPUT"), "YES: the packet goes to its port now; copies follow"
)
FIELDS = (CAME_BY, CAPTURED, DELIVERED)

SENT = 1 << 31
"""The bit of CAPTURED that says so."""

YES = 1 << 31
"""The bit of DELIVERED that says so. Nothing else that is in this register before has it."""


class CapturePriority(Priorities):
    """CAPTURE: which packets were asked for; of one that fits two, either says the same."""

    ASKED = 100


TABLES = {
    Table.CAPTURE: About(
        job="Copies to the controller what somebody captures just now, if it is what they asked "
        "for, at the rate that a capture may have; visited by resubmit.",
        priorities=CapturePriority,
        matches=fields(
            CAPTURED,
            "eth_src eth_dst eth_type ip_proto ipv4_src ipv4_dst ipv6_src ipv6_dst arp_spa arp_tpa",
            "tcp_src tcp_dst udp_src udp_dst",
        ),
    ),
}

ADDS_TO = {
    Table.CLASSIFY: Adds(
        matches=fields(IN_PORT, "in_port vlan_vid tunnel_id"),
        sets=fields(
            *(IN_PORT, CAME_BY, CAPTURED), "nxm_in_port vlan_vid tunnel_id tun_dst tun_ipv6_dst"
        ),
        leads_to=(Table.CLASSIFY, Table.CAPTURE),
    ),
    Table.OUTPUT: Adds(
        matches=fields(NETWORK, OUT_PORT, DELIVERED),
        sets=fields(
            *(DELIVERED, CAME_BY, CAPTURED),
            "nxm_in_port vlan_vid tunnel_id tun_dst tun_ipv6_dst",
        ),
        leads_to=(Table.CAPTURE, Table.OUTPUT),
    ),
}
