# SPDX-License-Identifier: Apache-2.0

"""The tables where packets end that go nowhere."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, OneRung, Priorities, fields
from tenantry.controller.openflow.pipeline import DROP_CAUSE, ENTERED, IN_PORT, OUT_PORT, Table


class DropPriority(Priorities):
    """DROP: whose account."""

    BY_CAUSE = 100
    MISS = 0  # of a flood that has gone to somebody


TABLES = {
    Table.DROP: About(
        job="The end of what goes nowhere, and of a flood: for each cause and each port that "
        "DROPPED does not have yet, the switch learns a flow there, which counts.",
        priorities=DropPriority,
        matches=fields(DROP_CAUSE, OUT_PORT),
        leads_to=(Table.DROPPED,),
    ),
    Table.DROPPED: About(
        job="Counts what is dropped, by cause and by whose packet it was; filled by the switch "
        "itself, visited by resubmit.",
        priorities=OneRung,
        matches=fields(DROP_CAUSE, IN_PORT, OUT_PORT, ENTERED, "in_port"),
        sets=fields(DROP_CAUSE),
    ),
}
