# SPDX-License-Identifier: Apache-2.0

"""The tables of port security, and its own register."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import ADDRESS, IN_PORT, MAC, OWNED, Field, Table

ALSO_OWNED = Field(
    *("reg8", "ALSO_OWNED", "PORT_SECURITY..SENDER"),
    "OWNED of what the packet says first of its sender, while the second is asked",
)
FIELDS = (ALSO_OWNED,)

NOT_ITS_ADDRESS = Cause(
    *(0x0301, "not_its_address", Whose.SENDER),
    "the sender's address is not one of the port's (port security)",
)
FORBIDDEN_MESSAGE = Cause(
    *(0x0302, "forbidden_message", Whose.SENDER),
    "only routers and DHCP servers send it (port security)",
)
HIDDEN_MESSAGE = Cause(
    *(0x0303, "hidden_message", Whose.SENDER),
    "it hides in fragments what kind of message it is (port security)",
)


class PortSecurityPriority(Priorities):
    """PORT_SECURITY: what a packet says of its sender, by its kind."""

    PASSES_BY = 300  # without port security, or from beyond the switch
    NO_ADDRESS_YET = 202  # IPv6 messages of who has no address yet
    ND_WITHOUT_OPTION = 201
    MESSAGE = 200  # that says it otherwise than others of its family
    FAMILY = 100
    MISS = 0  # a MAC address only


class SenderPriority(Priorities):
    """SENDER: who may go on."""

    ND_IN_FRAGMENTS = 301  # RFC 6980, 5
    FORBIDDEN = 300  # whoever it is: what routers and DHCP servers send
    OWNED = 100
    MISS = 0


TABLES = {
    Table.PORT_SECURITY: About(
        job="What a packet says of its sender, MAC and IP address, is looked up in IDENTITY. "
        "Ports without port security and the physical network pass by.",
        priorities=PortSecurityPriority,
        matches=fields(
            IN_PORT,
            "eth_type arp_spa ip_proto ipv4_src ipv4_dst ipv6_src udp_src udp_dst",
            "icmpv6_type ipv6_nd_sll ipv6_nd_tll",
        ),
        sets=fields(ADDRESS, MAC, OWNED, ALSO_OWNED),
        leads_to=(Table.SENDER, Table.IDENTITY),
    ),
    Table.SENDER: About(
        job="Lets pass whose sender is who it says; drops what only routers and DHCP servers "
        "send, and what hides behind extension headers what it is.",
        priorities=SenderPriority,
        matches=fields(OWNED, ALSO_OWNED, "eth_type ip_proto ip_frag udp_src udp_dst icmpv6_type"),
        drops=(NOT_ITS_ADDRESS, FORBIDDEN_MESSAGE, HIDDEN_MESSAGE),
    ),
    Table.IDENTITY: About(
        job="Which MAC and IP addresses a port may call its own; visited by resubmit, sets OWNED.",
        priorities=OneRung,
        matches=fields(IN_PORT, ADDRESS, MAC),
        sets=fields(OWNED),
    ),
}
