# SPDX-License-Identifier: Apache-2.0

"""The language of the switch: its tables, the fields a packet carries between them, the bands of
priority inside a table, the zones of connection tracking, and the layout of cookies.

This page is a contract between features. A table has one owner; contributors may add flows to it;
jumps go forward, by name, but for REENTRIES. Table ids are permanent and have gaps: a feature that
arrives adds one line to :class:`Table`, perhaps its name to a way (SWITCHED, ROUTER_WAY), and every
``.next`` before it leads there; nobody else's file changes.
``docs/pipeline.md`` is generated from this file, and ``tests/unit/test_pipeline.py`` holds the
compiled flows of every feature against it.
"""

from __future__ import annotations

from enum import Enum


class Band:
    """Priorities inside a table, so that flows of different features compose as intended."""

    MISS = 0  # the table's own answer when nothing matched
    DEFAULT = 100  # the ordinary flow
    SPECIFIC = 200  # beats the ordinary flow of the same table
    GUARD = 300  # drops or exceptions that nothing ordinary may override
    FIRST = 60_000  # of rules in an order that a user gave: the first; others below it


class Miss(Enum):
    """What a table does with a packet that none of its flows matched."""

    DROP = "drop"
    NEXT = "next"
    OWN = "own"  # the owner yields a flow at Band.MISS


class Field(str):
    """A register that carries a fact about the packet from table to table.

    The value is the register's OpenFlow or Nicira name, so that a field serves as the key of a
    match. ``bits`` of it are ours, in each of its ``spans`` from the table that writes it to the
    last one that reads it (``FIRST..LAST``, of several with a space between). Names and registers
    are OVN's where OVN has the same field, so that operators know them.
    """

    __slots__ = ("bits", "doc", "name", "spans")

    name: str
    bits: int
    spans: tuple[tuple[str, str], ...]
    doc: str

    def __new__(cls, register: str, *, name: str, bits: int, spans: str, doc: str) -> Field:
        self = super().__new__(cls, register)
        self.name, self.bits, self.doc = name, bits, doc
        ends = (span.partition("..") for span in spans.split())
        self.spans = tuple((first, last) for first, _, last in ends)
        return self

    def alive(self, table: Table) -> bool:
        """Whether the register is this field in a table."""
        return any(Table[first].id <= table.id <= Table[last].id for first, last in self.spans)


NETWORK = Field(
    "metadata",
    name="NETWORK",
    bits=32,
    spans="CLASSIFY..OUTPUT",
    doc="key of the network the packet is in; 0 only before CLASSIFY, and of what passes "
    "between the service port and the guests of other hosts",
)
IN_PORT = Field(
    "reg14",
    name="IN_PORT",
    bits=32,
    spans="CLASSIFY..OUTPUT",
    doc="key of the logical port the packet came from; PHYSICAL if from the physical network, "
    "TUNNEL if from another switch",
)
OUT_PORT = Field(
    "reg15",
    name="OUT_PORT",
    bits=32,
    spans="ARP_ND..OUTPUT",
    doc="key of the logical port the packet goes to; 0 while undecided; PHYSICAL, TUNNEL ...",
)
FLOOD_PART = Field(
    "reg8",
    name="FLOOD_PART",
    bits=32,
    spans="FLOOD..FLOOD_PART",
    doc="which part of a network's ports FLOOD_PART copies to",
)
ADDRESS = Field(
    "xxreg0",
    name="ADDRESS",
    bits=128,
    spans="PORT_SECURITY..SENDER ARP_ND..ND_REPLY",
    doc="an address that a packet claims or asks for; IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2)",
)
MAC = Field(
    "xreg2",
    name="MAC",
    bits=64,
    spans="PORT_SECURITY..SENDER ARP_ND..ND_REPLY",
    doc="the MAC address that goes with ADDRESS; above it, from bit 48 on, its IP version or 0; "
    "and A_ROUTER",
)
OWNED = Field(
    "reg9",
    name="OWNED",
    bits=32,
    spans="PORT_SECURITY..SENDER ARP_ND..ND_REPLY",
    doc="OWN if IN_PORT may call MAC and ADDRESS its own; OTHERS",
)
ALSO_OWNED = Field(
    "reg8",
    name="ALSO_OWNED",
    bits=32,
    spans="PORT_SECURITY..SENDER",
    doc="OWNED of what the packet says first of its sender, while the second is asked",
)
GUEST = Field(
    "xxreg0",
    name="GUEST",
    bits=128,
    spans="SERVICE..SERVICE_BACK",
    doc="the guest's own address, in its low 32 bits if it is an IPv4 address",
)
ASKED = Field(
    "xxreg1",
    name="ASKED",
    bits=128,
    spans="SERVICE..SERVICE_BACK",
    doc="the address that the guest asked, likewise",
)
ROUTER = Field(
    "reg12",
    name="ROUTER",
    bits=32,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="key of the router that has the packet",
)
ENTERED = Field(
    "reg11",
    name="ENTERED",
    bits=32,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="key of the router's port that the packet came in by",
)
EXIT = Field(
    "reg6",
    name="EXIT",
    bits=32,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="key of the router's port that the packet leaves by",
)
SOURCE = Field(
    "reg10",
    name="SOURCE",
    bits=32,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="where the packet is from: INSIDE, FLOATING, ITSELF or OUTSIDE",
)
NAT = Field(
    "reg9",
    name="NAT",
    bits=32,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="TRANSLATE if the source's address must not be seen where the packet goes; TRANSLATED; "
    "UNPROVEN",
)
FLAGS = Field(
    "reg8",
    name="FLAGS",
    bits=3,
    spans="ROUTER_ADMIT..ROUTER_OUT",
    doc="LARGER if the packet does not fit the network that it is to go to; HERE if this gateway "
    "is to take it, whatever others could; PINNED if the active one must",
)
PUNTED = Field(
    "reg7",
    name="PUNTED",
    bits=32,
    spans="TRAP..TRAP ARP_ND_REPLY..ND_REPLY ROUTER_ADMIT..ROUTER_OUT",
    doc="why the controller gets the packet, for the feature that sends it there",
)
PATH = Field(
    "reg4",
    name="PATH",
    bits=32,
    spans="ROUTE..ROUTE_PATH",
    doc="which of several next hops, from 0",
)
NEXT_HOP = Field(
    "xxreg0",
    name="NEXT_HOP",
    bits=128,
    spans="ROUTER_ADMIT..NEXT_HOP_FOUND",
    doc="address of the next router or of the host itself; IPv4 as in ADDRESS",
)
NEXT_HOP_MAC = Field(
    "xreg2",
    name="NEXT_HOP_MAC",
    bits=64,
    spans="NEXT_HOP..NEXT_HOP_FOUND",
    doc="its MAC address; or, as in MAC, its IP version, while nobody has said",
)
ORIGIN = Field(
    "reg13",
    name="ORIGIN",
    bits=32,
    spans="CLASSIFY..OUTPUT",
    doc="key of the tenant's port on this switch that the packet is from, if its source address is "
    "still that port's own; 0",
)
MEMBER = Field(
    "reg10",
    name="MEMBER",
    bits=32,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="a port's key, of which GROUPS makes the identity that goes with it",
)
LOCAL = Field(
    "reg11",
    name="LOCAL",
    bits=32,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="the identity on whose behalf a packet is judged: a port's, then each of its groups'",
)
PEER = Field(
    "reg12",
    name="PEER",
    bits=32,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="the identity of the port here that began the connection; 0 if it was none here",
)
REMOTE = Field(
    "reg9",
    name="REMOTE",
    bits=32,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="the remote group that the rules in question name; 0: those that name none",
)
WAY = Field(
    "reg8",
    name="WAY",
    bits=4,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="which rules are asked: EGRESS or INGRESS of what tracks connections, and (without "
    "tracking) LEAVING or ENTERING",
)
VERDICT = Field(
    "reg7",
    name="VERDICT",
    bits=32,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="ALLOWED if a rule was found",
)
ZONE = Field(
    "reg6",
    name="ZONE",
    bits=16,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="the zone in which the packet's connection is tracked at the port in question",
)
FAR_ADDRESS = Field(
    "xxreg0",
    name="FAR_ADDRESS",
    bits=128,
    spans="FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT",
    doc="the address at the other end of the connection; IPv4 as in ADDRESS",
)
POLICY = Field(
    "reg5",
    name="POLICY",
    bits=32,
    spans="GROUP..RULES FIREWALL_PORT..FIREWALL_RULES ROUTER_FIREWALL..ROUTER_FIREWALL_VERDICT "
    "TO_PORT_TRACK..TO_PORT_VERDICT",
    doc="key of a port whose firewall is asked, with INGRESS_POLICY if for that; then of a policy",
)
DECISION = Field(
    "reg4",
    name="DECISION",
    bits=32,
    spans="GROUP..RULES FIREWALL_PORT..FIREWALL_RULES ROUTER_FIREWALL..ROUTER_FIREWALL_VERDICT "
    "TO_PORT_TRACK..TO_PORT_VERDICT",
    doc="what a firewall says: DENIED or REJECTED, or 0",
)
FIELDS = (
    *(NETWORK, IN_PORT, OUT_PORT, FLOOD_PART),
    *(ADDRESS, MAC, OWNED, ALSO_OWNED),
    *(GUEST, ASKED),
    *(ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS, PUNTED, PATH, NEXT_HOP, NEXT_HOP_MAC),
    *(ORIGIN, MEMBER, LOCAL, PEER, REMOTE, WAY, VERDICT, ZONE, FAR_ADDRESS),
    *(POLICY, DECISION),
)

PHYSICAL = 0xFFFF0000
"""OUT_PORT and IN_PORT of the physical network that a provider network is on."""

UNKNOWN = 0xFFFF0001
"""OUT_PORT of what may be behind any port that learns, and behind no other."""

ROUTED = 0xFFFF0002
"""OUT_PORT of a router's own address, if this switch answers for it to the physical network."""

HOME = 0xFFFF0003
"""OUT_PORT of what goes to its router's gateway, as it came."""

TUNNEL = 0xFFFF0004
"""OUT_PORT and IN_PORT of the tunnels to other switches; the tunnel's own fields say which."""

BEYOND_HERE = (PHYSICAL, 0xFFFFFFFF ^ PHYSICAL ^ TUNNEL)
"""IN_PORT of whatever comes from beyond this switch, as (value, mask)."""

LARGER, HERE, PINNED = 1, 2, 4
"""Bits of FLAGS."""

OWN, OTHERS = 1, 2
"""Bits of OWNED. OTHERS: there may be addresses behind IN_PORT that the model does not know, so the
rest of the network must hear whose they are."""

INSIDE, FLOATING, ITSELF, OUTSIDE = range(4)
"""SOURCE: a network of the router; there, with a floating IP that this switch translates; the
router; by its gateway port, whatever the address."""

TRANSLATE, TRANSLATED, UNPROVEN = 1, 2, 3
"""NAT: the source is to be translated, if INSIDE or FLOATING; or it is a floating IP by now; or
connection tracking has translated a floating IP, by what it knew, and it must be seen to what."""


EGRESS, INGRESS = (1, 3), (2, 3)
LEAVING, ENTERING = (4, 12), (8, 12)
"""WAY, as (value, mask). The first two are of the rules' own: which way a connection was begun, as
seen from the port. The others are of the packet: leaving the port, or entering it."""

ALLOWED = 1 << 31
"""VERDICT: some rule allows it."""

TRACKED, SECURED, OF_PORT, UNJUDGED = 1 << 31, 1 << 30, 1 << 29, 1 << 28
"""LOCAL and PEER, beside the key of a security group: that it tracks connections; always; that the
key is a port's, one of several groups. UNJUDGED alone: a port without port security. A tenant's
port that is neither has no flows yet, and nothing passes."""

INGRESS_POLICY = 1 << 31
DENIED, REJECTED = 1, 2


def version_bits(version: int) -> int:
    """MAC of no MAC address with an ADDRESS of this IP version: so ::/0 is no IPv4 address."""
    return version << 48


A_ROUTER_BIT = 63
A_ROUTER = 1 << A_ROUTER_BIT
"""The bit of MAC and NEXT_HOP_MAC that says that a router has the address: hosts may send it what
is for others."""

FOUND = (0, 0x7FFF << 48)
"""MAC and NEXT_HOP_MAC, as (value, mask), if NEIGHBOURS knew the address: the version is gone."""

TENANT = (0, 1 << 31)
"""IN_PORT of any tenant's port, as (value, mask): the keys of ports stay below."""

PORTS = range(1, 199_000)
"""The keys of ports: 0 is nobody. A port's meter has its key, and Linux has 200,000 meters at most
(DP_METER_NUM_MAX; Open vSwitch's own datapath 2^18)."""

LOG_METER, OTHERS_METER = PORTS.stop, PORTS.stop + 1
"""The meters of the network log, and of packets for the controller that are no tenant's."""

BEGUN_METER, TAKEN_METER = 199_100, 199_200
"""What is added to the number of a share (see Binding) for the meters of the connections that its
ports begin, and of those that begin with them elsewhere."""

STRANGER = PHYSICAL
"""ct_mark of a connection that nobody here has begun; no port has this key."""

BEYOND, TUNNELED = 0, 0xFFFF
"""The values of FLOOD_PART that lead off this switch, by wire and by tunnel; the ports on it are in
the parts from 1 on."""

LEARNERS = 1 << 16
"""The bit of FLOOD_PART that leaves of a part only the ports that learn."""


class Table(Enum):
    """Every table: id, owner, miss, the fields it may match, its job in a sentence, contributors.

    Tables marked as learned are filled by the switch itself (OVS ``learn``); the reconciler never
    touches what it has learned.
    """

    CLASSIFY = (
        0,
        "l2",
        Miss.DROP,
        "in_port vlan_vid tunnel_id tun_src tun_ipv6_src eth_src eth_dst eth_type ip_proto "
        "icmpv6_type",
        "From the port a packet came in by, and its VLAN tag, to NETWORK and IN_PORT. "
        "What no flow knows is dropped: the switch fails closed.",
        "provider overlay service_port",
    )
    PORT_SECURITY = (
        10,
        "port_security",
        Miss.OWN,
        "reg14 eth_type ip_proto ipv4_src ipv4_dst udp_src udp_dst arp_op arp_spa "
        "ipv6_src icmpv6_type ipv6_nd_sll ipv6_nd_tll",
        "What a packet says of its sender, MAC and IP address, is looked up in IDENTITY. Ports "
        "without port security and the physical network pass by.",
    )
    SENDER = (
        12,
        "port_security",
        Miss.DROP,
        "reg8 reg9 eth_type ip_proto ip_frag udp_src udp_dst icmpv6_type",
        "Lets pass whose sender is who it says; drops what only routers and DHCP servers send, and "
        "what hides behind extension headers what it is.",
    )
    TRAP = (
        15,
        "punt",
        Miss.NEXT,
        "metadata reg14 eth_type eth_src eth_dst arp_op arp_spa ip_proto ipv4_src ipv4_dst "
        "ipv6_src ipv6_dst udp_src udp_dst tcp_dst icmpv6_type icmpv6_code",
        "What the controller answers: DHCP, router solicitations, DNS, metadata; and what it hears "
        "of neighbours that ask from elsewhere than it knows.",
        "dhcp dns metadata routing",
    )
    PUNT_LIMIT = (
        16,
        "punt",
        Miss.OWN,
        "reg14",
        "How many packets of a port go to the controller, or as announcements to all, in a second, "
        "by a meter of its own; all that is no tenant's port shares one. Visited by resubmit.",
    )
    FROM_PORT_CT = (
        20,
        "security_groups",
        Miss.NEXT,
        "reg14 eth_type ip_proto ip_ttl ipv4_dst ipv6_src ipv6_dst udp_src udp_dst icmpv6_type "
        "icmpv6_code",
        "Who sends, by IN_PORT, and the zone of the connection. What a network cannot do without, "
        "ARP, neighbour discovery and DHCP, passes by, if it is for the link.",
    )
    GROUPS = (
        21,
        "security_groups",
        Miss.OWN,
        "reg10",
        "From a port's key, in MEMBER, to the identity that its security groups give it; visited "
        "by resubmit.",
    )
    FROM_PORT_TRACK = (
        22,
        "security_groups",
        Miss.NEXT,
        "reg11 eth_type ip_proto",
        "Looks the connection up. Ports without port security pass by.",
    )
    ZONES = (
        23,
        "security_groups",
        Miss.OWN,
        "metadata reg8 eth_dst eth_type ipv4_src ipv4_dst ipv6_src ipv6_dst",
        "The zone of a connection: with a network's own addresses the network's, with others that "
        "of all networks which routers join. Visited by resubmit.",
    )
    GROUP = (
        24,
        "security_groups",
        Miss.DROP,
        "reg11 reg8",
        "For LOCAL, the groups of a port, and for a group the remote groups that its rules name: "
        "each is asked. Visited by resubmit.",
    )
    FROM_PORT_ACL = (
        25,
        "security_groups",
        Miss.OWN,
        "reg11 reg6 ct_state eth_type ip_proto icmpv4_type icmpv6_type",
        "What leaves a port is judged by its groups' egress rules; answers by the ingress rules "
        "that had let the question in.",
    )
    MEMBERS = (
        26,
        "security_groups",
        Miss.DROP,
        "reg9 reg12 xxreg0",
        "Whether the other end is in REMOTE: by its identity if it is here, else by its address. "
        "Visited by resubmit.",
    )
    FROM_PORT_VERDICT = (
        27,
        "security_groups",
        Miss.OWN,
        "reg7 reg4 ct_state",
        "What no rule allowed is dropped.",
        "firewall",
    )
    FAR_END = (
        28,
        "security_groups",
        Miss.DROP,
        "reg8 eth_type",
        "The other end's address, for MEMBERS; visited by resubmit.",
    )
    RULES = (
        29,
        "security_groups",
        Miss.DROP,
        "reg11 reg8 reg9 ct_state eth_type ct_nw_proto ct_nw_src ct_nw_dst ct_ipv6_src ct_ipv6_dst "
        "ct_tp_src ct_tp_dst ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst "
        "tcp_dst udp_dst sctp_dst icmpv4_type icmpv4_code icmpv6_type icmpv6_code",
        "The rules. They are matched with what the packet's connection was begun with, so that one "
        "flow judges both directions. Visited by resubmit.",
    )
    ARP_ND = (
        30,
        "arp_nd",
        Miss.NEXT,
        "reg14 eth_type arp_op ip_proto icmpv6_type icmpv6_code ip_ttl ipv6_src",
        "Who has an address? Known ones are answered here; unknown ones may be behind ports that "
        "learn.",
    )
    NEIGHBOURS = (
        31,
        "arp_nd",
        Miss.DROP,
        "metadata reg14 xxreg0",
        "The addresses of each network that the model knows, and their MAC addresses; visited by "
        "resubmit, sets MAC and, if the address is here, OUT_PORT.",
        "nat",
    )
    ARP_ND_REPLY = (
        32,
        "arp_nd",
        Miss.OWN,
        "metadata reg14 reg15 reg9 xreg2 eth_type arp_op arp_spa ip_proto icmpv6_type ipv6_src "
        "ipv6_nd_sll",
        "Turns the question into its answer and sends it back. One from the physical network goes "
        "to the port it is about, if that is on this switch: every other switch hears it, too.",
        "routing nat",
    )
    IDENTITY = (
        33,
        "port_security",
        Miss.DROP,
        "reg14 xreg2 xxreg0",
        "Which MAC and IP addresses a port may call its own; visited by resubmit, sets OWNED.",
    )
    ND_REPLY = (
        34,
        "arp_nd",
        Miss.DROP,
        "eth_type ip_proto icmpv6_type",
        "The last of a neighbour advertisement: its option, which a solicitation has not.",
    )
    SERVICE = (
        36,
        "service_port",
        Miss.DROP,
        "eth_type ip_proto tcp_dst",
        "To the service port, where the controller answers TCP, or to the switch that has it: the "
        "source address becomes one that says which port asks, and SERVICE_BACK learns the way "
        "back.",
    )
    SERVICE_BACK = (
        37,
        "service_port",
        Miss.DROP,
        "eth_type ip_proto ipv4_dst ipv6_dst tcp_src",
        "Makes of an answer what the guest expects; filled by the switch itself, visited by "
        "resubmit.",
        "",
        True,
    )
    FIREWALL_PORT = (
        38,
        "firewall",
        Miss.DROP,
        "reg5",
        "The policy of a port's firewall, for a direction; a port that has none is let through. "
        "Visited by resubmit.",
    )
    FIREWALL_RULES = (
        39,
        "firewall",
        Miss.DROP,
        "reg5 ct_state eth_type ct_nw_proto ct_nw_src ct_nw_dst ct_ipv6_src ct_ipv6_dst "
        "ct_tp_src ct_tp_dst ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst "
        "tcp_src tcp_dst udp_src udp_dst sctp_src sctp_dst",
        "The rules of policies, in their order. Visited by resubmit.",
    )
    ROUTER_ADMIT = (
        40,
        "routing",
        Miss.NEXT,
        "metadata reg14 eth_src eth_dst eth_type arp_op ip_proto icmpv6_type",
        "What is for a router's MAC address is routed. All else is switched.",
        "nat",
    )
    ROUTER_IN = (
        42,
        "routing",
        Miss.DROP,
        "in_port reg10 ct_state eth_type ip_proto icmpv6_type ipv4_dst ipv6_src ipv6_dst",
        "By kind: IP is routed; answers to what the controller asked of neighbours go there. What "
        "a port has begun becomes known before it may leave changed.",
        "security_groups",
    )
    ROUTER_SOURCE = (
        44,
        "nat",
        Miss.NEXT,
        "reg12 reg10 ipv4_src eth_type ip_proto ip_frag tcp_src udp_src",
        "Whether the source has a floating IP that is translated on this switch.",
    )
    ROUTER_NAT_IN = (
        45,
        "nat",
        Miss.NEXT,
        "reg12 reg10 reg8 eth_type ip_proto ip_frag ipv4_dst tcp_dst udp_dst icmpv4_type",
        "Destinations that are translated: floating IPs as they are, what is forwarded by port or "
        "comes back to a shared address by connection tracking.",
    )
    ROUTER_NAT_IN_DONE = (
        46,
        "nat",
        Miss.NEXT,
        "reg12 reg10 reg9 ct_state eth_type ip_proto ip_frag icmpv4_type ipv4_dst",
        "What was translated; errors about what went out by a floating IP need more than that.",
    )
    ROUTE = (
        55,
        "routing",
        Miss.OWN,
        "reg12 reg11 reg10 reg9 reg8 eth_type ip_proto ip_ttl ip_frag ipv4_src ipv4_dst ipv6_src "
        "ipv6_dst udp_src udp_dst icmpv6_type",
        "The longest prefix of each router's routes, by priority. Before them its own addresses, "
        "and packets whose time is up.",
        "nat",
    )
    ROUTE_PATH = (
        56,
        "routing",
        Miss.DROP,
        "reg12 reg4 eth_type ipv4_dst ipv6_dst",
        "The next hops of routes that have several, by PATH.",
    )
    ROUTER_REPLY = (
        57,
        "routing",
        Miss.OWN,
        "eth_type ip_proto icmpv4_type icmpv6_type ip_frag ct_state ct_nw_proto",
        "What is for the router itself: echoes are answered, and routed back.",
    )
    NEXT_HOP = (
        60,
        "routing",
        Miss.OWN,
        "metadata xxreg0 reg8 eth_type",
        "The MAC address of the next hop: neighbours that answered, or those of the model.",
    )
    NEXT_HOP_FOUND = (
        61,
        "routing",
        Miss.OWN,
        "xreg2 eth_type",
        "On to the next hop; what has none goes to the controller, which asks for it.",
    )
    ROUTER_FIREWALL = (
        62,
        "firewall",
        Miss.NEXT,
        "reg11 reg6 reg10 ct_zone eth_type ip_proto",
        "What comes in or leaves by a router's port that has a firewall: its connection is looked "
        "up.",
    )
    ROUTER_FIREWALL_ACL = (
        63,
        "firewall",
        Miss.OWN,
        "ct_state eth_type ip_proto icmpv4_type icmpv6_type",
        "Asks the firewalls of both ports.",
    )
    ROUTER_FIREWALL_VERDICT = (
        64,
        "firewall",
        Miss.DROP,
        "reg4 reg11 reg6 ct_state eth_type",
        "Lets through what both let through. A new connection becomes known.",
    )
    ROUTER_NAT_OUT = (
        65,
        "nat",
        Miss.NEXT,
        "reg12 reg9 reg10 reg8 metadata eth_type ip_proto ip_frag ipv4_src ipv6_dst "
        "tcp_src udp_src tcp_dst udp_dst icmpv4_type",
        "Sources that are translated: floating IPs as they are, others to a shared address.",
    )
    ROUTER_NAT_REPLY = (
        66,
        "nat",
        Miss.NEXT,
        "reg12 reg8 ct_state eth_type",
        "Answers of what is forwarded by port bear its floating IP now; others do not.",
    )
    ROUTER_NAT_DONE = (
        67,
        "nat",
        Miss.NEXT,
        "reg12 reg9 reg10 reg8 metadata eth_type ip_proto icmpv4_type ipv4_src",
        "Nothing leaves with an address that was to be translated, and was not.",
    )
    ROUTER_OUT = (
        68,
        "routing",
        Miss.OWN,
        "reg15 reg12 reg11 reg10 reg9 reg8 reg6",
        "A routed packet is on its next network: it goes to its port, or is switched there, or is "
        "for another router.",
    )
    L2_LOOKUP = (
        70,
        "l2",
        Miss.OWN,
        "metadata eth_dst",
        "Destination MAC addresses that the model knows. Others go on by way of L2_LEARNED, to "
        "where something may have been learned.",
        "provider overlay routing",
    )
    L2_LEARNED = (
        72,
        "l2",
        Miss.DROP,
        "metadata eth_dst",
        "MAC addresses that the switch learned from ports without port security and from the "
        "physical network; visited by resubmit, sets OUT_PORT and returns.",
        "",
        True,
    )
    FLOOD = (
        75,
        "l2",
        Miss.NEXT,
        "metadata reg15",
        "Broadcast, multicast and unknown unicast (OUT_PORT 0): one copy to each place where "
        "the network is. A packet whose OUT_PORT is known passes by.",
    )
    FLOOD_PART = (
        76,
        "l2",
        Miss.DROP,
        "metadata reg8 reg14",
        "A network's ports on this switch, in parts that fit one flow, and what is beyond it; "
        "visited by resubmit.",
        "provider overlay",
    )
    TO_PORT_CT = (
        80,
        "security_groups",
        Miss.NEXT,
        "in_port metadata ct_state eth_type ip_proto ip_ttl ipv4_src ipv6_src ipv6_dst "
        "udp_src udp_dst icmpv6_type icmpv6_code",
        "Who receives, by OUT_PORT, and who sent; the zone of the connection. ARP, neighbour "
        "discovery, router advertisements and DHCP pass by, if they are from the link.",
    )
    TO_PORT_TRACK = (
        82,
        "security_groups",
        Miss.NEXT,
        "reg11 reg15 reg6 ct_zone ct_state eth_type ip_proto",
        "Looks the connection up, unless FROM_PORT_TRACK did so in the same zone.",
    )
    TO_PORT_ACL = (
        85,
        "security_groups",
        Miss.OWN,
        "reg11 reg6 ct_state eth_type ip_proto icmpv4_type icmpv6_type",
        "What enters a port is judged by its groups' ingress rules; answers by the egress rules "
        "that had let the question out.",
    )
    CONNECTION_LIMIT = (
        83,
        "security_groups",
        Miss.DROP,
        "reg13 reg15",
        "How many connections a port may begin, and how many may begin with it elsewhere: each by "
        "a meter that few share with it. Visited by resubmit.",
    )
    COMMIT = (
        84,
        "security_groups",
        Miss.DROP,
        "reg13 ct_mark eth_type",
        "A connection becomes known, where it was looked up, if the port that begins it may have "
        "one more; or, if that is not here, the one that it is for. Visited by resubmit.",
    )
    LOG = (
        86,
        "network_log",
        Miss.DROP,
        "reg14 reg15 reg8 reg7 eth_type ip_frag",
        "What of a port's packets is logged: a copy goes to the controller. Visited by resubmit.",
    )
    TO_PORT_VERDICT = (
        87,
        "security_groups",
        Miss.OWN,
        "reg7 reg4 ct_state eth_type",
        "What no rule allowed is dropped. A new connection becomes known.",
        "firewall",
    )
    OUTPUT = (
        95,
        "l2",
        Miss.DROP,
        "metadata reg15 eth_dst",
        "From OUT_PORT to a port of the switch, with the tag that belongs on the wire there, or "
        "into a tunnel.",
        "provider overlay service_port",
    )

    def __init__(
        self,
        id: int,
        owner: str,
        miss: Miss,
        matches: str,
        doc: str,
        contributors: str = "",
        learned: bool = False,
    ) -> None:
        self.id = id  # the OpenFlow table number: permanent, never reused
        self.owner = owner  # the app that answers for the table
        self.miss = miss
        self.matches = frozenset(matches.split())  # the fields that flows here may match on
        self.doc = doc
        self.contributors = frozenset(contributors.split())  # other apps that may add flows
        self.learned = learned

    def __repr__(self) -> str:
        return f"Table.{self.name}"

    @property
    def next(self) -> Table:
        """The table a packet goes on to, on its way (SWITCHED, ROUTER_WAY)."""
        return _NEXT[self]


SWITCHED = (
    *(Table.CLASSIFY, Table.PORT_SECURITY, Table.TRAP, Table.FROM_PORT_CT, Table.ARP_ND),
    *(Table.ROUTER_ADMIT, Table.L2_LOOKUP, Table.FLOOD, Table.TO_PORT_CT, Table.OUTPUT),
)
"""The way of a packet in one network."""

ROUTER_WAY = (
    *(Table.ROUTER_IN, Table.ROUTER_SOURCE, Table.ROUTER_NAT_IN, Table.ROUTER_NAT_IN_DONE),
    *(Table.ROUTE, Table.NEXT_HOP, Table.NEXT_HOP_FOUND, Table.ROUTER_FIREWALL),
    *(Table.ROUTER_NAT_OUT, Table.ROUTER_NAT_DONE, Table.ROUTER_OUT),
)
"""The way through a router, from ROUTER_ADMIT; from its end a packet goes to TO_PORT_CT, or enters
ROUTER_ADMIT again in the network where it is now. Other tables are visited by resubmit, or by their
owner's goto."""

REENTRIES = {
    (Table.ROUTER_OUT, Table.ROUTER_ADMIT): "a routed packet, on its next network",
    (Table.ROUTER_ADMIT, Table.ROUTER_ADMIT): "one that another switch has routed",
    (
        Table.FROM_PORT_ACL,
        Table.FROM_PORT_ACL,
    ): "of no connection in one zone: looked up in the other",
    (Table.TO_PORT_ACL, Table.TO_PORT_ACL): "likewise",
    (Table.ROUTER_IN, Table.ROUTER_IN): "one whose connection has become known",
    (Table.TO_PORT_CT, Table.TO_PORT_CT): "one of which nothing is known any more",
    (Table.ROUTE, Table.ROUTE): "one that no other gateway can take: see HERE",
    (Table.ROUTER_REPLY, Table.ROUTE): "a router's answer, which is routed like any packet",
}
"""The only ways back. Each hop takes a TTL, and Open vSwitch ends at 64. (Tables on no way may be
visited from anywhere: they return.)"""

_NEXT: dict[Table, Table] = {
    table: next(stage for stage in way if stage.id > table.id)
    for way, others in (
        (SWITCHED, [table for table in Table if not 40 < table.id < 70]),
        ((*ROUTER_WAY, Table.TO_PORT_CT), [table for table in Table if 40 < table.id < 70]),
    )
    for table in others
    if table is not Table.OUTPUT
}


class Zone:
    """Zones of connection tracking, 16 bits: each is a space of addresses of its own.

    A router has three: one for sources and one for destinations that are translated, one for what
    it routes, as hosts see it. A network has one, for what its hosts say to each other.
    """

    ROUTERS = range(1, 10_922)
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

    @staticmethod
    def learned(network_key: int, port_key: int) -> int:
        return Cookie.LEARNED_APP << Cookie.HASH_BITS | network_key << 32 | port_key
