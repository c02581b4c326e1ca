# SPDX-License-Identifier: Apache-2.0

"""The table of local IPs, and what they add to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    IN_PORT,
    MAC,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    Table,
)

ANOTHER_BEHIND_IT = Cause(
    *(0x1201, "another_behind_it", Whose.SENDER),
    "its connection is with a port that is no longer behind the local IP, or is unknown",
)


class LocalIpPriority(Priorities):
    """LOCAL_IP: what connection tracking has made of the destination."""

    TRANSLATED = 200  # to the port's address
    NEW = 100  # not yet
    MISS = 0


TABLES = {
    Table.LOCAL_IP: About(
        job="What was for a local IP, and is for the port behind it: a connection that begins is "
        "translated, if the sender may have one more. What was translated to another port, by a "
        "connection from before, is dropped.",
        priorities=LocalIpPriority,
        matches=fields(NETWORK, "eth_type ipv4_dst ct_state"),
        sets=fields(ORIGIN_PORT, "eth_dst"),
        leads_to=(Table.CONNECTION_LIMIT, Table.LOCAL_IP),
        drops=(ANOTHER_BEHIND_IT,),
    ),
}

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(NETWORK, IN_PORT, "eth_type ipv4_dst"),
        sets=fields("eth_dst"),
        leads_to=(Table.LOCAL_IP,),
    ),
    Table.NEIGHBOURS: Adds(
        matches=fields(NETWORK, IN_PORT, ADDRESS, "eth_type"),
        sets=fields(MAC),
    ),
    Table.OUTPUT: Adds(
        matches=fields(NETWORK, IN_PORT, OUT_PORT, "eth_type eth_dst ipv4_src"),
        sets=fields(IN_PORT),
        leads_to=(Table.OUTPUT,),
    ),
}
