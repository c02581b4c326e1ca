# SPDX-License-Identifier: Apache-2.0

"""The pipeline of every switch: its tables, in order, and the registers that features share.

It is a list, on purpose: order, ids and registers are one thing for all features. A table is one
line of :class:`Table`; all else about it (its job, what its flows may match and set, where they may
lead, its ladder of priorities) is said by the feature that owns it, in ``apps/FEATURE/tables.py``,
in the terms of ``contract.py``. Other features may add flows to it, and say so there.

Jumps go forward, by name, but for REENTRIES. Ids are permanent and have gaps: a table that arrives
gets a free one, and every ``.next`` before it leads there; nobody else's file changes.
``docs/pipeline.md`` is generated from all that, and tests hold the flows that features compile
against it.
"""

from __future__ import annotations

from enum import Enum


class Miss(Enum):
    """What a table does with a packet that none of its flows matched."""

    RETURN = "return"  # to whoever has visited it
    NEXT = "next"
    OWN = "own"  # the owner yields a flow of priority MISS


MISS = 0
"""Priority of the flow that answers what nothing matched."""


class Path(Enum):
    """Where a table lies. ``Table.next`` is the next table of the same path."""

    SWITCHED = "switched"  # on the path of a packet in its network
    SWITCHED_ASIDE = "switched, aside"  # its owner's goto leads there, and back to that path
    ROUTED = "routed"  # on the path through a router; the end of it leads to TO_PORT_CT
    ROUTED_ASIDE = "routed, aside"
    VISITED = "visited"  # by resubmit: the packet comes back
    LEARNED = "learned"  # likewise, and the switch itself fills it (OVS learn): nobody else does
    END = "end"  # of what goes nowhere: any flow's goto may lead there, and none leads on


class Table(Enum):
    """Every table: its permanent id, the feature that owns it, what a miss does, its path."""

    CLASSIFY = 0, "l2", Miss.OWN, Path.SWITCHED
    FROM_PORT_QOS = 5, "qos", Miss.NEXT, Path.SWITCHED
    FROM_PORT_PACKETS = 6, "qos", Miss.NEXT, Path.SWITCHED_ASIDE
    PORT_SECURITY = 10, "port_security", Miss.OWN, Path.SWITCHED
    SENDER = 12, "port_security", Miss.OWN, Path.SWITCHED_ASIDE
    LB_ITSELF = 14, "load_balancer", Miss.OWN, Path.SWITCHED_ASIDE
    TRAP = 15, "punt", Miss.NEXT, Path.SWITCHED
    PUNT_LIMIT = 16, "punt", Miss.OWN, Path.VISITED
    VIP = 17, "load_balancer", Miss.OWN, Path.SWITCHED_ASIDE
    LOCAL_IP = 18, "local_ip", Miss.OWN, Path.SWITCHED_ASIDE
    HEALTH = 19, "health", Miss.OWN, Path.SWITCHED_ASIDE
    FROM_PORT_CT = 20, "security_groups", Miss.NEXT, Path.SWITCHED
    SG_IDENTITY = 21, "security_groups", Miss.OWN, Path.VISITED
    FROM_PORT_TRACK = 22, "security_groups", Miss.NEXT, Path.SWITCHED_ASIDE
    ZONES = 23, "security_groups", Miss.OWN, Path.VISITED
    SG_POLICY = 24, "security_groups", Miss.RETURN, Path.VISITED
    FROM_PORT_ACL = 25, "security_groups", Miss.OWN, Path.SWITCHED_ASIDE
    MEMBERS = 26, "security_groups", Miss.RETURN, Path.VISITED
    FROM_PORT_VERDICT = 27, "security_groups", Miss.OWN, Path.SWITCHED_ASIDE
    FAR_END = 28, "security_groups", Miss.RETURN, Path.VISITED
    RULES = 29, "security_groups", Miss.RETURN, Path.VISITED
    ARP_ND = 30, "arp_nd", Miss.NEXT, Path.SWITCHED
    NEIGHBOURS = 31, "arp_nd", Miss.RETURN, Path.VISITED
    ARP_ND_REPLY = 32, "arp_nd", Miss.OWN, Path.SWITCHED_ASIDE
    IDENTITY = 33, "port_security", Miss.RETURN, Path.VISITED
    ND_REPLY = 34, "arp_nd", Miss.OWN, Path.SWITCHED_ASIDE
    SERVICE = 36, "service_port", Miss.OWN, Path.SWITCHED_ASIDE
    SERVICE_BACK = 37, "service_port", Miss.RETURN, Path.LEARNED
    FIREWALL_PORT = 38, "firewall", Miss.RETURN, Path.VISITED
    FIREWALL_RULES = 39, "firewall", Miss.RETURN, Path.VISITED
    ROUTER_ADMIT = 40, "routing", Miss.NEXT, Path.SWITCHED
    ROUTER_IN = 42, "routing", Miss.OWN, Path.ROUTED
    ROUTER_SOURCE = 44, "nat", Miss.NEXT, Path.ROUTED
    ROUTER_NAT_IN = 45, "nat", Miss.NEXT, Path.ROUTED
    ROUTER_NAT_IN_DONE = 46, "nat", Miss.NEXT, Path.ROUTED
    ROUTER_LB = 47, "load_balancer", Miss.NEXT, Path.ROUTED
    METERING = 48, "metering", Miss.RETURN, Path.VISITED
    METERING_RULES = 49, "metering", Miss.RETURN, Path.VISITED
    LB_SPLIT = 50, "load_balancer", Miss.RETURN, Path.VISITED
    LB_MEMBER = 51, "load_balancer", Miss.OWN, Path.SWITCHED_ASIDE
    LB_STICKY = 52, "load_balancer", Miss.RETURN, Path.LEARNED
    ROUTER_LB_BACK = 54, "load_balancer", Miss.OWN, Path.ROUTED_ASIDE
    ROUTE = 55, "routing", Miss.OWN, Path.ROUTED
    ROUTE_PATH = 56, "routing", Miss.OWN, Path.ROUTED_ASIDE
    ROUTER_REPLY = 57, "routing", Miss.OWN, Path.ROUTED_ASIDE
    ROUTER_QOS = 58, "qos", Miss.NEXT, Path.ROUTED
    ROUTER_PACKETS = 59, "qos", Miss.NEXT, Path.ROUTED_ASIDE
    NEXT_HOP = 60, "routing", Miss.OWN, Path.ROUTED
    NEXT_HOP_FOUND = 61, "routing", Miss.OWN, Path.ROUTED
    ROUTER_FIREWALL = 62, "firewall", Miss.NEXT, Path.ROUTED
    ROUTER_FIREWALL_ACL = 63, "firewall", Miss.OWN, Path.ROUTED_ASIDE
    ROUTER_FIREWALL_VERDICT = 64, "firewall", Miss.OWN, Path.ROUTED_ASIDE
    ROUTER_NAT_OUT = 65, "nat", Miss.NEXT, Path.ROUTED
    ROUTER_NAT_REPLY = 66, "nat", Miss.NEXT, Path.ROUTED_ASIDE
    ROUTER_NAT_DONE = 67, "nat", Miss.NEXT, Path.ROUTED
    ROUTER_OUT = 68, "routing", Miss.OWN, Path.ROUTED
    L2_LOOKUP = 70, "l2", Miss.OWN, Path.SWITCHED
    L2_LEARNED = 72, "l2", Miss.RETURN, Path.LEARNED
    MULTICAST = 74, "multicast", Miss.NEXT, Path.SWITCHED
    FLOOD = 75, "l2", Miss.NEXT, Path.SWITCHED
    FLOOD_PART = 76, "l2", Miss.RETURN, Path.VISITED
    FLOOD_COPY = 77, "l2", Miss.OWN, Path.VISITED
    FLOOD_BRANCH = 78, "l2", Miss.RETURN, Path.VISITED
    PVLAN_SENDER = 79, "pvlan", Miss.RETURN, Path.VISITED
    TO_PORT_CT = 80, "security_groups", Miss.NEXT, Path.SWITCHED
    PVLAN = 81, "pvlan", Miss.OWN, Path.SWITCHED_ASIDE
    TO_PORT_TRACK = 82, "security_groups", Miss.NEXT, Path.SWITCHED_ASIDE
    CONNECTION_LIMIT = 83, "security_groups", Miss.RETURN, Path.VISITED
    COMMIT = 84, "security_groups", Miss.RETURN, Path.VISITED
    TO_PORT_ACL = 85, "security_groups", Miss.OWN, Path.SWITCHED_ASIDE
    LOG = 86, "network_log", Miss.RETURN, Path.VISITED
    TO_PORT_VERDICT = 87, "security_groups", Miss.OWN, Path.SWITCHED_ASIDE
    TO_PORT_QOS = 90, "qos", Miss.NEXT, Path.SWITCHED
    TO_PORT_PACKETS = 91, "qos", Miss.NEXT, Path.SWITCHED_ASIDE
    OUTPUT = 95, "l2", Miss.OWN, Path.SWITCHED
    DROP = 97, "drops", Miss.OWN, Path.END
    DROPPED = 98, "drops", Miss.RETURN, Path.LEARNED
    CAPTURE = 99, "tap", Miss.RETURN, Path.VISITED

    def __init__(self, id: int, owner: str, miss: Miss, path: Path) -> None:
        self.id, self.owner, self.miss, self.path = id, owner, miss, path

    def __repr__(self) -> str:
        return f"Table.{self.name}"

    @property
    def next(self) -> Table:
        """The table a packet goes on to, on its path."""
        return _NEXT[self]


SWITCHED_PATH = tuple(table for table in Table if table.path is Path.SWITCHED)
"""The path of a packet in one network."""

ROUTED_PATH = tuple(table for table in Table if table.path is Path.ROUTED)
"""The path through a router, from ROUTER_ADMIT; from its end a packet goes to TO_PORT_CT, or enters
ROUTER_ADMIT again in the network where it is now."""

_NEXT: dict[Table, Table] = {
    table: next(stage for stage in stages if stage.id > table.id)
    for stages, paths in (
        (SWITCHED_PATH, (Path.SWITCHED, Path.SWITCHED_ASIDE)),
        ((*ROUTED_PATH, Table.TO_PORT_CT), (Path.ROUTED, Path.ROUTED_ASIDE)),
    )
    for table in Table
    if table.path in paths and table is not Table.OUTPUT
}

REENTRIES = {
    (Table.CLASSIFY, Table.CLASSIFY): "one that has been copied",
    (Table.ROUTER_OUT, Table.ROUTER_ADMIT): "a routed packet, on its next network",
    (Table.ROUTER_ADMIT, Table.ROUTER_ADMIT): "one that another switch has routed",
    (Table.FROM_PORT_ACL, Table.FROM_PORT_ACL): "of no connection in one zone: now the other zone",
    (Table.TO_PORT_ACL, Table.TO_PORT_ACL): "likewise",
    (
        Table.ARP_ND_REPLY,
        Table.ARP_ND_REPLY,
    ): "a question that this gateway is to answer: its group",
    (Table.ROUTER_IN, Table.ROUTER_IN): "one whose connection has become known",
    (Table.TO_PORT_CT, Table.TO_PORT_CT): "one of which nothing is known any more",
    (Table.LOCAL_IP, Table.LOCAL_IP): "one whose connection is known by now",
    (Table.VIP, Table.LB_ITSELF): "one that may be for who has asked",
    (Table.LB_ITSELF, Table.LB_ITSELF): "one of which it is known whether it goes back",
    (Table.VIP, Table.VIP): "one that may be an answer to who has asked itself",
    (Table.LB_MEMBER, Table.VIP): "one that has a member by now",
    (Table.LB_MEMBER, Table.LB_MEMBER): "one whose member is not in rotation: another",
    (Table.ROUTER_LB, Table.ROUTER_LB): "one whose connection is known by now, or asked elsewhere",
    (Table.LB_MEMBER, Table.ROUTER_LB): "one that has a member by now, at a gateway",
    (Table.ROUTER_NAT_OUT, Table.ROUTER_LB_BACK): "an answer to a load balancer's client",
    (Table.ROUTER_LB_BACK, Table.ROUTER_LB_BACK): "of another load balancer with the same member",
    (Table.ROUTER_NAT_OUT, Table.ROUTER_NAT_OUT): "what a router says as a load balancer",
    (Table.OUTPUT, Table.OUTPUT): "from a local IP or a load balancer by now, or to be copied then",
    (Table.PVLAN, Table.TO_PORT_CT): "one that the port may get",
    (Table.ROUTE, Table.ROUTE): "one that no other gateway can take: see GATEWAY_HERE",
    (Table.ROUTER_REPLY, Table.ROUTE): "a router's answer, which is routed like any packet",
}
"""The only ways back. Each hop takes a TTL, and Open vSwitch ends at 64. (What is VISITED may be
visited from anywhere: it returns.)"""


class Field(str):
    """A register that carries a fact about the packet from table to table.

    The value is the register's OpenFlow or Nicira name, so that a field serves as the key of a
    match. ``bits`` of it are ours, in each of its ``spans`` from the table that writes it to the
    last one that reads it (``FIRST..LAST``, of several with a space between). Names and registers
    are OVN's where OVN has the same field, so that operators know them. A field that only one
    feature reads and writes is declared in its ``tables.py``.
    """

    __slots__ = ("bits", "doc", "name", "spans")

    name: str
    bits: int
    spans: tuple[tuple[str, str], ...]
    doc: str

    def __new__(cls, register: str, name: str, spans: str, doc: str, *, bits: int = 32) -> Field:
        self = super().__new__(cls, register)
        self.name, self.bits, self.doc = name, bits, doc
        ends = (span.partition("..") for span in spans.split())
        self.spans = tuple((first, last) for first, _, last in ends)
        return self

    def alive(self, table: Table) -> bool:
        """Whether the register is this field in a table."""
        return any(Table[first].id <= table.id <= Table[last].id for first, last in self.spans)


_ALWAYS = "CLASSIFY..OUTPUT"
_COUNTED = "DROP..DROPPED"
_SENDER = "PORT_SECURITY..SENDER LB_ITSELF..LB_ITSELF ARP_ND..ND_REPLY"
_ROUTER = "ROUTER_ADMIT..ROUTER_OUT"
JUDGED = "FROM_PORT_CT..RULES TO_PORT_CT..TO_PORT_VERDICT"
"""Spans of the fields with which what leaves a port, and what enters it, is judged."""
_FIREWALL = (
    "SG_POLICY..RULES FIREWALL_PORT..FIREWALL_RULES ROUTER_FIREWALL..ROUTER_FIREWALL_VERDICT "
    "TO_PORT_TRACK..TO_PORT_VERDICT"
)

NETWORK = Field(
    *("metadata", "NETWORK", _ALWAYS),
    "key of the network the packet is in; 0 only before CLASSIFY, and of what passes between the "
    "service port and the guests of other hosts",
)
IN_PORT = Field(
    *("reg14", "IN_PORT", f"{_ALWAYS} {_COUNTED}"),
    "key of the logical port the packet came from; PHYSICAL if from the physical network, TUNNEL "
    "if from another switch",
)
OUT_PORT = Field(
    *("reg15", "OUT_PORT", f"VIP..VIP LB_ITSELF..LB_ITSELF ARP_ND..OUTPUT {_COUNTED}"),
    "key of the logical port the packet goes to; 0 while undecided; PHYSICAL, TUNNEL and so on",
)
ORIGIN_PORT = Field(
    *("reg13", "ORIGIN_PORT", _ALWAYS),
    "key of the tenant's port on this switch that the packet is from, if its source address is "
    "still that port's own; 0",
)
FLOOD_PART = Field(
    *("reg8", "FLOOD_PART", "MULTICAST..FLOOD_BRANCH"),
    "which part of a network's ports FLOOD_PART copies to",
)
ADDRESS = Field(
    *("xxreg0", "ADDRESS", _SENDER),
    "an address that a packet claims or asks for; IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2)",
    bits=128,
)
MAC = Field(
    *("xreg2", "MAC", _SENDER),
    "the MAC address that goes with ADDRESS; above it, from bit 48 on, its IP version or 0; and "
    "A_ROUTER",
    bits=64,
)
OWNED = Field(
    *("reg9", "OWNED", f"{_SENDER} VIP..VIP"),
    "OWN if IN_PORT may call MAC and ADDRESS its own; OTHERS",
)
ROUTER = Field(*("reg12", "ROUTER", _ROUTER), "key of the router that has the packet")
ENTERED = Field(
    *("reg11", "ENTERED", f"{_ROUTER} {_COUNTED}"),
    "key of the router's port that the packet came in by",
)
EXIT = Field(*("reg6", "EXIT", _ROUTER), "key of the router's port that the packet leaves by")
SOURCE = Field(
    *("reg10", "SOURCE", _ROUTER),
    "where the packet is from: INSIDE, FLOATING, ITSELF or OUTSIDE; or BALANCED",
)
NAT = Field(
    *("reg9", "NAT", _ROUTER),
    "TRANSLATE if the source's address must not be seen where the packet goes; TRANSLATED; "
    "UNPROVEN",
)
FLAGS = Field(
    *("reg8", "FLAGS", _ROUTER),
    "LARGER if the packet does not fit the network that it is to go to; GATEWAY_HERE if this "
    "gateway is to take it, whatever others could; PINNED if the active one must",
    bits=3,
)
NEXT_HOP_MAC = Field(
    *("xreg2", "NEXT_HOP_MAC", "NEXT_HOP..NEXT_HOP_FOUND"),
    "MAC address of the next hop; or, as in MAC, its IP version, while nobody has said",
    bits=64,
)
PUNT_REASON = Field(
    *("reg7", "PUNT_REASON", f"TRAP..TRAP ARP_ND_REPLY..ND_REPLY {_ROUTER}"),
    "why the controller gets the packet, for the feature that sends it there",
)
RULE_DIRECTION = Field(
    *("reg8", "RULE_DIRECTION", JUDGED),
    "which rules are asked: EGRESS or INGRESS of what tracks connections, and (without tracking) "
    "LEAVING or ENTERING; before that, LET_THROUGH",
)
VERDICT = Field(*("reg7", "VERDICT", JUDGED), "ALLOWED if a rule was found")
POLICY = Field(
    *("reg5", "POLICY", _FIREWALL),
    "key of a port whose firewall is asked, with INGRESS_POLICY if for that; then of a policy",
)
DECISION = Field(*("reg4", "DECISION", _FIREWALL), "what a firewall says: DENIED or REJECTED, or 0")
DROP_CAUSE = Field(
    *("reg9", "DROP_CAUSE", _COUNTED),
    "why the packet is dropped, and whose account that is on; written by whatever leads to DROP",
)
FIELDS = (
    *(NETWORK, IN_PORT, OUT_PORT, ORIGIN_PORT, FLOOD_PART, ADDRESS, MAC, OWNED),
    *(ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS, NEXT_HOP_MAC, PUNT_REASON),
    *(RULE_DIRECTION, VERDICT, POLICY, DECISION, DROP_CAUSE),
)
"""Those that several features read."""

PHYSICAL = 0xFFFF0000
"""OUT_PORT and IN_PORT of the physical network that a provider network is on."""

UNKNOWN = 0xFFFF0001
"""OUT_PORT of what may be behind any port that learns, and behind no other."""

ROUTED = 0xFFFF0002
"""OUT_PORT of a router's own address, if this switch answers for it to the physical network."""

TO_GATEWAY = 0xFFFF0003
"""OUT_PORT of what goes to its router's gateway, as it came."""

TUNNEL = 0xFFFF0004
"""OUT_PORT and IN_PORT of the tunnels to other switches; the tunnel's own fields say which."""

FROM_WIRE_OR_TUNNEL = (PHYSICAL, 0xFFFFFFFF ^ PHYSICAL ^ TUNNEL)
"""IN_PORT of whatever comes from beyond this switch, as (value, mask)."""

TENANT = (0, 1 << 31)
"""IN_PORT of any tenant's port, as (value, mask): the keys of ports stay below."""

NO_TENANT = (1 << 31, 1 << 31)
"""OUT_PORT of whatever is not a port on this switch, likewise."""

LET_THROUGH = 1 << 31
"""The bit of RULE_DIRECTION, in TO_PORT_CT, of what the network's pvlan lets through. Nothing else
that is in this register before has it."""

OWN, OTHERS = 1, 2
"""Bits of OWNED. OTHERS: there may be addresses behind IN_PORT that the model does not know, so the
rest of the network must hear whose they are."""

LARGER, GATEWAY_HERE, PINNED = 1, 2, 4
"""Bits of FLAGS."""

INSIDE, FLOATING, ITSELF, OUTSIDE = range(4)
"""SOURCE: a network of the router; there, with a floating IP that this switch translates; the
router; by its gateway port, whatever the address."""

FROM_NETWORKS = (INSIDE, 0xFFFFFFFF ^ FLOATING)
"""SOURCE of what a network of the router has sent, with a floating IP or without, as (value,
mask)."""

BALANCED = 4 | FLOATING
"""SOURCE of a member's answer to a load balancer's client: it is to leave from here, as that."""

TRANSLATE, TRANSLATED, UNPROVEN = 1, 2, 3
"""NAT: the source is to be translated, if INSIDE or FLOATING; or it is a floating IP by now; or
connection tracking has translated a floating IP, by what it knew, and it must be seen to what."""


def version_bits(version: int) -> int:
    """MAC of no MAC address with an ADDRESS of this IP version: so ::/0 is no IPv4 address."""
    return version << 48


def flood_part(part: str) -> int:
    """FLOOD_PART of a part of a network's ports (see Binding), from 1 on."""
    return int(part.partition("/")[2]) + 1


A_ROUTER_BIT = 63
A_ROUTER = 1 << A_ROUTER_BIT
"""The bit of MAC and NEXT_HOP_MAC that says that a router has the address: hosts may send it what
is for others."""

FOUND = (0, 0x7FFF << 48)
"""MAC and NEXT_HOP_MAC, as (value, mask), if NEIGHBOURS knew the address: the version is gone."""
