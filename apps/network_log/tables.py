# SPDX-License-Identifier: Apache-2.0

"""The table that logs."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Priorities, fields
from tenantry.controller.openflow.pipeline import IN_PORT, OUT_PORT, RULE_DIRECTION, VERDICT, Table


class LogPriority(Priorities):
    """LOG: what is logged."""

    LATER_FRAGMENT = 300  # of a packet in fragments, the first one is
    LOGGED = 100


TABLES = {
    Table.LOG: About(
        job="What of a port's packets is logged: a copy goes to the controller. Visited by "
        "resubmit.",
        priorities=LogPriority,
        matches=fields(IN_PORT, OUT_PORT, RULE_DIRECTION, VERDICT, "eth_type ip_frag"),
    ),
}
