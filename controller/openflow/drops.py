# SPDX-License-Identifier: Apache-2.0

"""Why a packet is dropped: each drop has a cause with a name, and is counted by it.

Whose flow drops a packet says why (:func:`drop`), as the last thing that it does: the cause goes
into a register, and the packet to DROP. There the switch learns a flow for this cause and this
port, in DROPPED, which counts from then on. So a drop that nobody meets costs nothing, and no flow
that is wanted is one of a port's. What is merely visited (Path.VISITED) returns, and drops nothing:
whoever has visited it judges.

A cause is declared in the ``tables.py`` of the feature that drops, which says of its tables which
causes are named there (``contract.Adds.drops``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from tenantry.controller.openflow.flow import Actions, Goto, Resubmit, SetField
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import DROP_CAUSE, ENTERED, IN_PORT, OUT_PORT, Table


class Whose(Enum):
    """On whose account a cause counts: a number, which is in the register beside the cause, and the
    fields that say who it is."""

    SWITCH_PORT = 1, ("in_port",)
    """Of the switch's own port that it came by: it has no logical port yet."""
    SENDER = 2, (IN_PORT,)
    RECEIVER = 3, (OUT_PORT,)
    ROUTED = 4, (IN_PORT, ENTERED)
    """The sender's, and that of the router's port which has got it."""
    FLOODED = 5, (IN_PORT,)
    """The sender's, if its flood has gone to nobody: OUT_PORT is what it was before."""
    METER = 6, ()
    """A meter drops it, and counts by itself; no flow does."""

    def __init__(self, number: int, fields: tuple[str, ...]) -> None:
        self.number, self.fields = number, fields


class Cause(NamedTuple):
    """Why packets are dropped. ``number`` is permanent: the app's id, then eight bits. ``name`` is
    for machines; ``words`` are for a tenant, of "it", the packet. ``meters`` are those that drop
    for it: the kind of unit of the app's that has them, and what they are for."""

    number: int
    name: str
    whose: Whose
    words: str
    meters: tuple[tuple[str, MeterUse], ...] = ()

    @property
    def value(self) -> int:
        """What DROP_CAUSE is."""
        return self.whose.number << 16 | self.number


UNFORESEEN = Cause(
    *(0x0001, "unforeseen", Whose.SENDER),
    "no flow knows what to do with it, which is a fault of the controller's",
)
"""Of tables that are entered only by what some flow of theirs takes."""


def drop(cause: Cause) -> Actions:
    """The end of what goes nowhere: the last actions of a flow."""
    return (SetField(DROP_CAUSE, cause.value), Goto(Table.DROP))


def drop_in_bucket(cause: Cause) -> Actions:
    """The same where nothing can go on: in a bucket of a group."""
    return (SetField(DROP_CAUSE, cause.value), Resubmit(Table.DROP))


WHOSE_BITS = 0xFF << 16
"""The bits of DROP_CAUSE that are the number of a Whose."""


class Account(NamedTuple):
    """What a learned flow of DROPPED counts: of which cause (its number, and whose it is), and the
    values of the fields that say who."""

    number: int
    whose: Whose
    fields: Mapping[str, int]


def account(match: Mapping[str, int]) -> Account | None:
    """What the match of a flow in DROPPED says; None if no flow of ours is such.

    The flow's own packets are those after the first, of which it was learned.
    """
    cause = match.get(DROP_CAUSE, 0)
    for whose in Whose:
        if whose.number == cause >> 16 and {DROP_CAUSE, *whose.fields} == match.keys():
            fields = {field: match[field] for field in whose.fields}
            return Account(cause & 0xFFFF, whose, fields)
    return None
