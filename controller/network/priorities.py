# SPDX-License-Identifier: Apache-2.0

"""Ladders of tables in which flows are made here, for several features: read top down.

Each belongs to the owner of its table, who names it in its ``tables.py``.
"""

from __future__ import annotations

from tenantry.controller.openflow.contract import Priorities


class ArpNdReplyPriority(Priorities):
    """ARP_ND_REPLY: what becomes of a question."""

    PROBE = 304  # of a port, for its own address: only strangers could object
    PAIR_MOVED = 304  # an allowed address pair says where it is: the controller hears it, too
    ANNOUNCEMENT = 303  # of a port's own address, as a request
    OF_SEVERAL_GATEWAYS = 303  # asked from the wire, for what any of several could answer
    FOR_ITSELF = 302  # other questions of a port for its own address
    NOT_HERE = 301  # asked from beyond this switch, about what is not on it
    PORT_HERE = 300  # asked from beyond this switch, about a port on it: that answers itself
    DUPLICATE_DETECTION = 202  # RFC 4862, 5.4: all nodes are told
    WITHOUT_OPTION = 201  # a solicitation that has no link-layer address
    KNOWN = 200  # the answer
    FROM_STRANGER = 100  # who asks may have addresses that nobody knows: all must hear it
    MISS = 0  # nobody knows: whoever learns is asked


class RouterAdmitPriority(Priorities):
    """ROUTER_ADMIT: who enters a router."""

    NEIGHBOUR_ANNOUNCED = 201  # to all: the controller gets a copy
    ROUTED_ELSEWHERE = 200  # by another switch, in the router's name
    FROM_OUTSIDE_SWITCH = 101  # by tunnel or wire, where several gateways could take it
    TO_ROUTER = 100  # for a router's MAC address


class RoutePriority(Priorities):
    """ROUTE: a router's own addresses, then what no route may override, then routes."""

    PROBE_REPLY = 393  # to the controller, which asks whether members are alive
    SHARED_ADDRESS = 392  # which the router's gateway must see first
    OWN_FRAGMENT = 391  # for one of its own addresses, in fragments
    OWN_ADDRESS = 390
    NEVER_ROUTED = 380  # multicast, and what is for one link by its source or its kind
    TIME_IS_UP = 370
    LINK_LOCAL_REPLY = 361  # the router's own, to a neighbour
    LINK_LOCAL = 360  # RFC 4291, 2.5.6: whatever the routes say
    EXCEPTION = range(101, 358, 2)  # to a prefix, by the length of it
    PREFIX = range(100, 357, 2)  # by its length: the longest counts
    MISS = 0  # no route


class JudgePriority(Priorities):
    """FROM_PORT_ACL, TO_PORT_ACL, ROUTER_FIREWALL_ACL: by the state of a connection."""

    OTHER_ZONE = 302  # of no connection on the link: perhaps of one that goes further
    ERROR = 301  # about what is not tracked: the controller looks at what it quotes
    INVALID = 300
    RELATED = 200
    REPLY = 100
    MISS = 0  # begins a connection


class VerdictPriority(Priorities):
    """FROM_PORT_VERDICT, TO_PORT_VERDICT, ROUTER_FIREWALL_VERDICT: what becomes of a packet."""

    REJECTED = 301  # by a firewall: the sender is told
    DENIED = 300  # by a firewall
    COMMIT = 200  # allowed and new, and nobody else judges it
    NEW = 101  # allowed and new: logged
    ALLOWED = 100
    MISS = 0  # by no rule
