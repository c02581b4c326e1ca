# SPDX-License-Identifier: Apache-2.0

"""The tables of private VLANs, and their own register."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import (
    IN_PORT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    RULE_DIRECTION,
    Field,
    Table,
)

COMMUNITY = Field(
    *("reg4", "COMMUNITY", "PVLAN_SENDER..PVLAN"),
    "which community of the network the sender is of: the lowest key of its ports; 0: it is "
    "promiscuous, or not of the network; MIXED",
)
FIELDS = (COMMUNITY,)

MIXED = 0xFFFFFFFF
"""COMMUNITY of a MAC address beyond the switch that ports of several may send from: none of them
hears it."""


OTHER_COMMUNITY = Cause(
    *(0x1101, "other_community", Whose.RECEIVER),
    "its sender is neither promiscuous nor of the port's community (pvlan)",
)
OTHER_COMMUNITY_BEYOND = Cause(
    *(0x1102, "other_community_beyond", Whose.SENDER),
    "the port that it is for, on another host, is of another community (pvlan)",
)


class PvlanSenderPriority(Priorities):
    """PVLAN_SENDER: who has sent it."""

    PORT = 201  # a port here
    ORIGIN = 200  # a port here, by way of a router
    BEYOND = 100  # by MAC address


class PvlanPriority(Priorities):
    """PVLAN: who may get it."""

    FROM_PROMISCUOUS = 200
    PORT = 100  # on this switch, if it is promiscuous, or of the sender's community
    SAME_COMMUNITY = 102  # beyond this switch
    OTHER_COMMUNITY = 101  # likewise
    BEYOND = 100  # whoever is beyond it: there it is judged once more
    MISS = 0


TABLES = {
    Table.PVLAN_SENDER: About(
        job="Who, on a network with pvlan, has sent the packet; visited by resubmit, sets "
        "COMMUNITY.",
        priorities=PvlanSenderPriority,
        matches=fields(NETWORK, IN_PORT, ORIGIN_PORT, "eth_src"),
        sets=fields(COMMUNITY),
    ),
    Table.PVLAN: About(
        job="Who may get a packet on a network with pvlan: it goes back to where it came from, "
        "marked. All else is dropped.",
        priorities=PvlanPriority,
        matches=fields(NETWORK, OUT_PORT, COMMUNITY, "eth_dst"),
        sets=fields(RULE_DIRECTION),
        leads_to=(Table.TO_PORT_CT,),
        drops=(OTHER_COMMUNITY, OTHER_COMMUNITY_BEYOND),
    ),
}

ADDS_TO = {
    Table.TO_PORT_CT: Adds(
        matches=fields(NETWORK, RULE_DIRECTION),
        sets=fields(COMMUNITY),
        leads_to=(Table.PVLAN_SENDER, Table.PVLAN),
    ),
}
