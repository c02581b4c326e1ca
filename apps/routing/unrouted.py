# SPDX-License-Identifier: Apache-2.0

"""What no router passes on, whatever its routes: what is for one link only."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.controller.openflow.flow import Match
from tenantry.controller.openflow.pipeline import INSIDE, OUTSIDE, SOURCE
from tenantry.controller.packets.addresses import LINK_LOCAL
from tenantry.controller.packets.frames import ICMPV6, IPV4, IPV6, UDP
from tenantry.controller.packets.neighbour_discovery import MESSAGES

MULTICAST_4, MULTICAST_6 = (0xE0 << 24, 0xE0 << 24), (0xFF << 120, 0xFF << 120)

OF_THE_LINK = (
    *(130, 131, 132, 143),  # MLD: RFC 2710, RFC 3810
    *MESSAGES,  # neighbour discovery: RFC 4861
    *(141, 142),  # inverse neighbour discovery: RFC 3122
    *(148, 149),  # secure neighbour discovery: RFC 3971
    *(151, 152, 153),  # multicast router discovery: RFC 4286
)
"""Types of ICMPv6 messages that hosts hear from their own link only."""


def nevers() -> Iterator[Match]:
    """Matches of all that, in ROUTE."""
    # RFC 1812, 5.3.7; RFC 4291, 2.5.6 and 2.7.
    yield {"eth_type": IPV4, "ipv4_dst": MULTICAST_4}
    yield {"eth_type": IPV6, "ipv6_dst": MULTICAST_6}
    for source in (INSIDE, OUTSIDE):
        yield {"eth_type": IPV6, "ipv6_src": LINK_LOCAL, SOURCE: source}
    for kind in OF_THE_LINK:
        yield {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind}
    # DHCP servers beyond the link answer by relay agents, which speak to others (RFC 1542, 4.1).
    yield {"eth_type": IPV4, "ip_proto": UDP, "udp_src": 67, "udp_dst": 68}
