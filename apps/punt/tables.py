# SPDX-License-Identifier: Apache-2.0

"""The tables by which packets go to the controller, whichever feature answers them."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import IN_PORT, Table

TOO_MUCH_TO_ANSWER = Cause(
    *(0x0501, "too_much_to_answer", Whose.METER),
    "the port asks the controller more than 100 times a second",
    (("port", MeterUse.PUNT),),
)


class TrapPriority(Priorities):
    """TRAP: what the controller hears."""

    FROM_WHERE_KNOWN = 200  # a neighbour that asks from where it is known to be: no news
    TRAPPED = 100
    PROBE_REPLY = 60  # to a load balancer's monitor: no part of what is balanced
    LOCAL_IP_ITSELF = 51  # from the port that is behind it
    VIP = 45  # what is for a load balancer
    LOCAL_IP = 50  # what is for a local IP, and so for a port here


class PuntLimitPriority(Priorities):
    """PUNT_LIMIT: whose meter."""

    PORT = 100
    MISS = 0  # of all that is no tenant's port


TABLES = {
    Table.TRAP: About(
        job="What the controller answers: DHCP, router solicitations, DNS, metadata; and "
        "what it hears of neighbours that ask from elsewhere than it knows.",
        priorities=TrapPriority,
    ),
    Table.PUNT_LIMIT: About(
        job="How many packets of a port go to the controller, or as announcements to all, in "
        "a second, by a meter of its own; all that is no tenant's port shares one. "
        "Visited by resubmit.",
        priorities=PuntLimitPriority,
        matches=fields(IN_PORT),
        drops=(TOO_MUCH_TO_ANSWER,),
    ),
}
