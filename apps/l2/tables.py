# SPDX-License-Identifier: Apache-2.0

"""The tables of L2 switching, where other features add what leads off the switch."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import FLOOD_PART, IN_PORT, NETWORK, OUT_PORT, Table

BY_WIRE, BY_TUNNEL = 0, 0xFFFF
"""The values of FLOOD_PART that lead off this switch; the ports on it are in the parts from 1 on.
"""

LEARNERS = 1 << 16
"""The bit of FLOOD_PART that leaves of a part only the ports that learn."""


GROUP_SOURCE = Cause(
    *(0x0101, "group_source", Whose.SWITCH_PORT),
    "its source is a MAC address of a group, which no host has",
)
BRIDGE_PROTOCOL = Cause(
    *(0x0102, "bridge_protocol", Whose.SWITCH_PORT),
    "it is of a bridge's protocol (STP, LACP, LLDP ...), which no bridge passes on",
)
NO_SUCH_TAG = Cause(
    *(0x0103, "no_such_tag", Whose.SWITCH_PORT),
    "it has a VLAN tag that none of the port's sub-ports, or no network here, has",
)
SWITCHED_OFF = Cause(
    *(0x0104, "switched_off", Whose.SWITCH_PORT),
    "its port or network is switched off, or nobody has said whose port of the switch it is",
)
NOT_ANSWERED = Cause(
    *(0x0105, "not_answered", Whose.SENDER),
    "it is for the controller, which has no answer to that",
)
UNKNOWN_DESTINATION = Cause(
    *(0x0106, "unknown_destination", Whose.FLOODED),
    "nobody on the network has the MAC address that it is for",
)
NOBODY_HEARS = Cause(
    *(0x0107, "nobody_hears", Whose.FLOODED),
    "it is for all on the network, and nobody is there",
)
NO_WAY_OUT = Cause(
    *(0x0108, "no_way_out", Whose.RECEIVER),
    "the port that it is for is no longer on this host, or no tunnel or wire leads to its network",
)
TOO_MUCH_TO_MANY = Cause(
    *(0x0109, "too_much_to_many", Whose.METER),
    "the port sends more broadcasts and multicast than it may",
    (("port", MeterUse.TO_MANY),),
)


class ClassifyPriority(Priorities):
    """CLASSIFY: where a packet is from."""

    TAP = 400  # a copy is made of it first; or it is one, from another host
    NEVER_FORWARDED = 300  # group addresses as sources, bridge protocols: nobody may send them
    PROBE = 204  # of the controller's, whether somebody is alive
    MOVED_HERE = 203  # what a guest says where it has just begun to run
    PAIR_BROADCAST = 202  # to a group, from the MAC address of an allowed address pair
    PAIR_MAC = 201  # from the MAC address of an allowed address pair: learned
    BROADCAST = 200  # to a group, as ORDINARY, but counted by itself
    ORDINARY = 100  # by port of the switch and tag
    TAGGED = 1  # with a tag that is nobody's
    MISS = 0


class L2LookupPriority(Priorities):
    """L2_LOOKUP: where a MAC address is."""

    PROBE_REPLY = 400  # to the controller, which asks whether members are alive
    SERVICE = 300  # the controller's own: what it has not answered by now goes nowhere
    KNOWN = 100  # of the model, or of many
    MISS = 0  # by what was learned


class FloodPartPriority(Priorities):
    """FLOOD_PART: copies."""

    COPIED_ALREADY = 200  # by the switch that it started from
    COPIES = 100


class MissOnly(Priorities):
    """Of tables that do the same to each packet."""

    MISS = 0


class OutputPriority(Priorities):
    """OUTPUT: out of the switch."""

    BALANCED_ELSE = 306  # as the next two, by another load balancer
    BALANCED = 305  # from a member of a load balancer, by address and port
    BALANCED_ADDRESS_ELSE = 304
    BALANCED_ADDRESS = 303  # from the address of one, whatever the ports are
    LOCAL_IP = 300  # from the port behind one, to a port here
    TAP = 250  # as ORDINARY, and a copy is made of it
    TO_GATEWAY = 200  # by tunnel, to the first gateway that is there
    ORDINARY = 100
    MISS = 0


TABLES = {
    Table.CLASSIFY: About(
        job="From the port a packet came in by, and its VLAN tag, to NETWORK and IN_PORT. "
        "What no flow knows is dropped: the switch fails closed.",
        priorities=ClassifyPriority,
        matches=fields("in_port vlan_vid eth_src eth_dst eth_type ip_proto icmpv6_type"),
        sets=fields(NETWORK, IN_PORT),
        leads_to=(Table.L2_LEARNED,),
        drops=(GROUP_SOURCE, BRIDGE_PROTOCOL, NO_SUCH_TAG, SWITCHED_OFF, TOO_MUCH_TO_MANY),
    ),
    Table.L2_LOOKUP: About(
        job="Destination MAC addresses that the model knows. Others go on by way of "
        "L2_LEARNED, to where something may have been learned.",
        priorities=L2LookupPriority,
        matches=fields(NETWORK, "eth_dst"),
        sets=fields(OUT_PORT),
        leads_to=(Table.L2_LEARNED, Table.FLOOD.next),
        drops=(NOT_ANSWERED,),
    ),
    Table.L2_LEARNED: About(
        job="MAC addresses that the switch learned from ports without port security and from "
        "the physical network; visited by resubmit, sets OUT_PORT and returns.",
        priorities=OneRung,
        matches=fields(NETWORK, "eth_dst"),
        sets=fields(OUT_PORT),
    ),
    Table.FLOOD: About(
        job="Broadcast, multicast and unknown unicast (OUT_PORT 0): one copy to each place "
        "where the network is. A packet whose OUT_PORT is known passes by.",
        priorities=OneRung,
        matches=fields(NETWORK, OUT_PORT),
        sets=fields(FLOOD_PART),
        leads_to=(Table.FLOOD_PART,),
        drops=(UNKNOWN_DESTINATION, NOBODY_HEARS),
    ),
    Table.FLOOD_PART: About(
        job="A network's ports on this switch, in parts that fit one flow, and what is "
        "beyond it; visited by resubmit.",
        priorities=FloodPartPriority,
        matches=fields(NETWORK, FLOOD_PART),
        sets=fields(OUT_PORT),
        leads_to=(Table.FLOOD_COPY, Table.FLOOD.next),
    ),
    Table.FLOOD_COPY: About(
        job="A copy for a port that may get only so much: what its meter drops, others get. "
        "So it goes on in a branch of its own, as Open vSwitch makes of a question about a "
        "packet's size; visited by resubmit.",
        priorities=MissOnly,
        sets=fields(FLOOD_PART),
        leads_to=(Table.FLOOD_BRANCH,),
    ),
    Table.FLOOD_BRANCH: About(
        job="The branch that is always taken: no packet is larger than 65,535 octets.",
        priorities=OneRung,
        matches=fields(FLOOD_PART),
        leads_to=(Table.FLOOD.next,),
    ),
    Table.OUTPUT: About(
        job="From OUT_PORT to a port of the switch, with the tag that belongs on the wire "
        "there, or into a tunnel.",
        priorities=OutputPriority,
        matches=fields(NETWORK, OUT_PORT),
        sets=fields("vlan_vid"),
        drops=(NO_WAY_OUT,),
    ),
}
