# SPDX-License-Identifier: Apache-2.0

"""What this feature adds to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import Adds, fields
from tenantry.controller.openflow.pipeline import IN_PORT, Table

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(IN_PORT, "eth_type ip_proto ipv4_dst ipv6_dst tcp_dst"),
        leads_to=(Table.SERVICE,),
    ),
}
