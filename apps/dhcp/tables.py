# SPDX-License-Identifier: Apache-2.0

"""What this feature adds to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import Adds, fields
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, Table

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(NETWORK, IN_PORT, "eth_type ip_proto udp_src udp_dst icmpv6_type"),
        leads_to=(Table.PUNT_LIMIT,),
    ),
}
