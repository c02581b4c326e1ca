# SPDX-License-Identifier: Apache-2.0

"""Numbers that must not meet: keys of ports, meters, zones of connection tracking, cookies."""

from __future__ import annotations

from enum import IntEnum

PORTS = range(1, 199_000)
"""The keys of ports: 0 is nobody."""


class MeterUse(IntEnum):
    """What a meter is for: the first byte of its id; the others say whose it is, by key or number.

    Ids are free up to 0xFFFF0000 (OFPM_MAX). What a datapath limits is how many meters there are:
    200,000 in Linux (DP_METER_NUM_MAX), 2^18 in Open vSwitch's own.
    """

    PUNT = 0  # what a port sends to the controller
    FROM_PORT_BITS = 1  # what leaves a port (also a floating IP's, or a router's gateway)
    TO_PORT_BITS = 2
    FROM_PORT_PACKETS = 3  # likewise, by packets
    TO_PORT_PACKETS = 4
    TO_MANY = 5  # what a port says to many
    CAPTURE = 6  # what somebody captures of a port
    BALANCED = 7  # connections that begin with a listener of a load balancer

    def meter(self, key: int) -> int:
        """The id of somebody's meter."""
        return self << 24 | key


LOG_METER, OTHERS_METER = PORTS.stop, PORTS.stop + 1
"""The meters of the network log, and of packets for the controller that are no tenant's."""

BEGUN_METER, TAKEN_METER = 199_100, 199_200
"""What is added to the number of a share (see Binding) for the meters of the connections that its
ports begin, and of those that begin with them elsewhere."""


class Zone:
    """Zones of connection tracking, 16 bits: each is a space of addresses of its own.

    A router has three: one for sources and one for destinations that are translated, one for what
    it routes, as hosts see it. A network has one, for what its hosts say to each other. A load
    balancer has two of the numbers of a router: for destinations (``shared``), and for the sources
    of members that reach themselves by it (``forwarded``).
    """

    ROUTERS = range(1, 10_922)  # and of local IPs and load balancers, which do not have all three
    NETWORKS = range(1, 1 << 15)
    """The keys for which there are zones."""

    BRIDGED = 1 << 15
    """The bit of a network's zone, beside the network's key."""

    @staticmethod
    def shared(router_key: int) -> int:
        return 3 * router_key

    @staticmethod
    def forwarded(router_key: int) -> int:
        return 3 * router_key + 1

    @staticmethod
    def routed(router_key: int) -> int:
        return 3 * router_key + 2

    @staticmethod
    def bridged(network_key: int) -> int:
        return Zone.BRIDGED | network_key


class Cookie:
    """A cookie is an 8-bit app id and a 56-bit hash of the whole flow.

    Two flows are the same if and only if their cookies are, and a flow is what it was written as if
    it hashes to its cookie: that is how the reconciler compares what is wanted with what a switch
    holds.
    """

    HASH_BITS = 56
    LEARNED_APP = 0xFF
    """App id of flows that a switch learned by itself: where, is in the other bits."""

    @staticmethod
    def app_id(cookie: int) -> int:
        return cookie >> Cookie.HASH_BITS

    SERVICES = LEARNED_APP << 56
    """Of the flows in SERVICE_BACK. (All ones would end ovs-vswitchd 3.1, in ``learn``.)"""

    DROPS = LEARNED_APP << 56
    """Of the flows in DROPPED."""

    @staticmethod
    def learned(network_key: int, port_key: int) -> int:
        return Cookie.LEARNED_APP << Cookie.HASH_BITS | network_key << 32 | port_key
