# SPDX-License-Identifier: Apache-2.0

"""What this feature adds to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import Adds, fields
from tenantry.controller.openflow.pipeline import FLOOD_PART, IN_PORT, NETWORK, OUT_PORT, Table

ADDS_TO = {
    Table.CLASSIFY: Adds(
        matches=fields("in_port vlan_vid"),
        sets=fields(NETWORK, IN_PORT),
        leads_to=(Table.L2_LEARNED,),
    ),
    Table.L2_LOOKUP: Adds(
        matches=fields(NETWORK, "eth_dst"),
        sets=fields(OUT_PORT),
        leads_to=(Table.FLOOD.next,),
    ),
    Table.L2_LEARNED: Adds(
        matches=fields(NETWORK, "eth_dst"),
        sets=fields(OUT_PORT),
    ),
    Table.FLOOD_PART: Adds(
        matches=fields(NETWORK, FLOOD_PART),
        sets=fields(OUT_PORT),
        leads_to=(Table.FLOOD.next,),
    ),
    Table.OUTPUT: Adds(
        matches=fields(NETWORK, OUT_PORT),
        sets=fields("vlan_vid"),
    ),
}
