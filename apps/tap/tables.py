# SPDX-License-Identifier: Apache-2.0

"""What taps add to others' tables, and their own register."""

from __future__ import annotations

from tenantry.controller.openflow.contract import Adds, fields
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, Field, Table

CAME_BY = Field(
    *("reg11", "CAME_BY", "CLASSIFY..CLASSIFY OUTPUT..OUTPUT"),
    "the port of the switch that the packet came in by, while copies of it are made: one may leave "
    "by that, too",
    bits=16,
)
FIELDS = (CAME_BY,)

ADDS_TO = {
    Table.CLASSIFY: Adds(
        matches=fields(IN_PORT, "in_port vlan_vid tunnel_id"),
        sets=fields(IN_PORT, CAME_BY, "nxm_in_port vlan_vid tunnel_id tun_dst tun_ipv6_dst"),
        leads_to=(Table.CLASSIFY,),
    ),
    Table.OUTPUT: Adds(
        matches=fields(NETWORK, OUT_PORT),
        sets=fields(CAME_BY, "nxm_in_port vlan_vid tunnel_id tun_dst tun_ipv6_dst"),
    ),
}
