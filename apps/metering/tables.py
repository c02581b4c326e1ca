# SPDX-License-Identifier: Apache-2.0

"""The tables of metering."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, OneRung, Priorities, fields
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    NEXT_HOP_MAC,
    ROUTER,
    SOURCE,
    Field,
    Table,
)

COUNTED_LABEL = Field(
    *("reg5", "COUNTED_LABEL", "METERING..METERING_RULES"),
    "key of the label that is asked, with LEAVING if for what leaves by a router's gateway",
)

LEAVING = 1 << 31
"""The bit of COUNTED_LABEL of egress."""

LABELS = range(1, 1 << 24)
"""The keys of labels."""


class MeteringRulesPriority(Priorities):
    """METERING_RULES: whether a label counts a packet."""

    EXCLUDED = 200
    COUNTED = 100


FIELDS = (COUNTED_LABEL,)

TABLES = {
    Table.METERING: About(
        job="The labels that count what passes a router's gateway, by direction; each is asked "
        "once. Visited by resubmit, by what is on its way to its next hop.",
        priorities=OneRung,
        matches=fields(ROUTER, ENTERED, EXIT, SOURCE),
        sets=fields(COUNTED_LABEL),
        leads_to=(Table.METERING_RULES,),
    ),
    Table.METERING_RULES: About(
        job="The rules of labels, at each router: their flows do nothing but count. Visited by "
        "resubmit.",
        priorities=MeteringRulesPriority,
        matches=fields(COUNTED_LABEL, ROUTER, "eth_type ipv4_src ipv4_dst ipv6_src ipv6_dst"),
    ),
}

ADDS_TO = {
    Table.NEXT_HOP_FOUND: Adds(
        matches=fields(ROUTER, NEXT_HOP_MAC, "eth_type"),
        sets=fields("eth_dst ip_ttl"),
        leads_to=(Table.METERING,),
    ),
}
