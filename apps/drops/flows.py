# SPDX-License-Identifier: Apache-2.0

"""Flows by which drops are counted; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.drops.tables import DropPriority
from tenantry.controller.model import View
from tenantry.controller.openflow.drops import WHOSE_BITS, Whose
from tenantry.controller.openflow.flow import Actions, Flow, Learn, Match, Resubmit
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.pipeline import DROP_CAUSE, OUT_PORT, UNKNOWN, Table

IDLE_SECONDS = 6 * 3600
"""For which a count is remembered that does not grow."""

MOST_ACCOUNTS = 1 << 14
"""Of a switch: some dozens of causes, and a thousand ports, of which few drop by several."""


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is learned, by whose account it is; the same for all ports and all causes."""
    yield Flow(Table.DROP, DropPriority.MISS, {}, ())
    for whose in Whose:
        match: Match = {DROP_CAUSE: (whose.number << 16, WHOSE_BITS)}
        if whose is Whose.FLOODED:
            for nobody in (0, UNKNOWN):
                alone = {**match, OUT_PORT: nobody}
                yield Flow(Table.DROP, DropPriority.BY_CAUSE, alone, _counted(whose))
        elif whose.fields:
            yield Flow(Table.DROP, DropPriority.BY_CAUSE, match, _counted(whose))


def _counted(whose: Whose) -> Actions:
    learn = Learn(
        table=Table.DROPPED,
        match=tuple((field, field) for field in (DROP_CAUSE, *whose.fields)),
        load=((DROP_CAUSE, 0),),
        idle_timeout=IDLE_SECONDS,
        limit=MOST_ACCOUNTS,
        cookie=Cookie.DROPS,
    )
    return (learn, Resubmit(Table.DROPPED))
