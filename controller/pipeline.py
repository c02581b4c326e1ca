"""The language of the switch: its tables, the fields a packet carries between them, the bands of
priority inside a table, and the layout of cookies.

This page is a contract between features. A table has one owner; contributors may add flows to it;
jumps go forward, by name. Table ids are permanent and have gaps: a feature that arrives adds one
line to :class:`Table` and every ``.next`` before it leads there; nobody else's file changes.
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


class Miss(Enum):
    """What a table does with a packet that none of its flows matched."""

    DROP = "drop"
    NEXT = "next"
    OWN = "own"  # the owner yields a flow at Band.MISS


class Field(str):
    """A register that carries a fact about the packet from table to table.

    The value is the register's OpenFlow or Nicira name, so that a field serves as the key of a
    match. ``bits`` of it are ours, from ``first`` (a table name) that writes it, to ``last`` that
    reads it. Names and registers are OVN's where OVN has the same field, so that operators know
    them.
    """

    __slots__ = ("bits", "doc", "first", "last", "name")

    name: str
    bits: int
    first: str
    last: str
    doc: str

    def __new__(
        cls, register: str, *, name: str, bits: int, first: str, last: str, doc: str
    ) -> Field:
        self = super().__new__(cls, register)
        self.name, self.bits, self.first, self.last, self.doc = name, bits, first, last, doc
        return self


NETWORK = Field(
    "metadata",
    name="NETWORK",
    bits=32,
    first="CLASSIFY",
    last="OUTPUT",
    doc="key of the network the packet is in; 0 only before CLASSIFY",
)
IN_PORT = Field(
    "reg14",
    name="IN_PORT",
    bits=32,
    first="CLASSIFY",
    last="OUTPUT",
    doc="key of the logical port the packet came from; PHYSICAL if from the physical network",
)
OUT_PORT = Field(
    "reg15",
    name="OUT_PORT",
    bits=32,
    first="NEIGHBOURS",
    last="OUTPUT",
    doc="key of the logical port the packet goes to; 0 while undecided; PHYSICAL or UNKNOWN",
)
FLOOD_PART = Field(
    "reg8",
    name="FLOOD_PART",
    bits=32,
    first="FLOOD",
    last="FLOOD_PART",
    doc="which part of a network's ports FLOOD_PART copies to",
)
ADDRESS = Field(
    "xxreg0",
    name="ADDRESS",
    bits=128,
    first="PORT_SECURITY",
    last="ND_REPLY",
    doc="an address that a packet claims or asks for; IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2)",
)
MAC = Field(
    "xreg2",
    name="MAC",
    bits=64,
    first="PORT_SECURITY",
    last="ND_REPLY",
    doc="the MAC address that goes with ADDRESS; above it, from bit 48 on, its IP version or 0",
)
OWNED = Field(
    "reg9",
    name="OWNED",
    bits=32,
    first="PORT_SECURITY",
    last="ND_REPLY",
    doc="OWN if IN_PORT may call MAC and ADDRESS its own; OTHERS; ADDRESS is that of a port HERE",
)
ALSO_OWNED = Field(
    "reg8",
    name="ALSO_OWNED",
    bits=32,
    first="PORT_SECURITY",
    last="SENDER",
    doc="OWNED of what the packet says first of its sender, while the second is asked",
)
GUEST = Field(
    "xxreg0",
    name="GUEST",
    bits=128,
    first="SERVICE",
    last="SERVICE_BACK",
    doc="the guest's own address, in its low 32 bits if it is an IPv4 address",
)
ASKED = Field(
    "xxreg1",
    name="ASKED",
    bits=128,
    first="SERVICE",
    last="SERVICE_BACK",
    doc="the address that the guest asked, likewise",
)
FIELDS = (
    *(NETWORK, IN_PORT, OUT_PORT, FLOOD_PART),
    *(ADDRESS, MAC, OWNED, ALSO_OWNED),
    *(GUEST, ASKED),
)

PHYSICAL = 0xFFFF0000
"""OUT_PORT and IN_PORT of the physical network that a provider network is on."""

UNKNOWN = 0xFFFF0001
"""OUT_PORT of what may be behind any port that learns, and behind no other."""

OWN, OTHERS, HERE = 1, 2, 4
"""Bits of OWNED. OTHERS: there may be addresses behind IN_PORT that the model does not know, so the
rest of the network must hear whose they are."""


def version_bits(version: int) -> int:
    """MAC of no MAC address with an ADDRESS of this IP version: so ::/0 is no IPv4 address."""
    return version << 48


TENANT = (0, 1 << 31)
"""IN_PORT of any tenant's port, as (value, mask): the keys of ports stay below."""

BEYOND = 0
"""The FLOOD_PART that leads off this switch; the ports on it are in the parts from 1 on."""

LEARNERS = 1 << 16
"""The bit of FLOOD_PART that leaves of a part only the ports that learn."""


class Table(Enum):
    """Every table: id, owner, miss, the fields it may match, its job in a sentence, contributors.

    Tables marked as learned are filled by the switch itself (OVS ``learn``); the reconciler never
    touches them.
    """

    CLASSIFY = (
        0,
        "l2",
        Miss.DROP,
        "in_port vlan_vid eth_src eth_dst",
        "From the port a packet came in by, and its VLAN tag, to NETWORK and IN_PORT. "
        "What no flow knows is dropped: the switch fails closed.",
        "provider service_port",
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
        "reg8 reg9 eth_type ip_proto udp_src icmpv6_type",
        "Lets pass whose sender is who it says; drops what only routers and DHCP servers send.",
    )
    TRAP = (
        15,
        "punt",
        Miss.NEXT,
        "metadata reg14 eth_type eth_dst ip_proto ipv4_src ipv4_dst ipv6_src ipv6_dst "
        "udp_src udp_dst tcp_dst icmpv6_type icmpv6_code",
        "What the controller answers: DHCP, router solicitations, DNS, metadata.",
        "dhcp dns metadata",
    )
    PUNT_LIMIT = (
        16,
        "punt",
        Miss.DROP,
        "reg14",
        "How many packets of a port go to the controller in a second, by a meter of its own; "
        "visited by resubmit.",
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
        Miss.OWN,
        "metadata reg14 reg9 xxreg0",
        "The addresses of each network that the model knows, and their MAC addresses.",
    )
    ARP_ND_REPLY = (
        32,
        "arp_nd",
        Miss.DROP,
        "reg14 reg9 eth_type arp_op ip_proto icmpv6_type ipv6_src ipv6_nd_sll",
        "Turns the question into its answer and sends it back. One from the physical network goes "
        "to the port it is about, if that is on this switch: every other switch hears it, too.",
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
        "To the service port, where the controller answers TCP: the source address becomes one "
        "that says which port asks, and SERVICE_BACK learns the way back.",
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
    L2_LOOKUP = (
        70,
        "l2",
        Miss.OWN,
        "metadata eth_dst",
        "Destination MAC addresses that the model knows. Others go on by way of L2_LEARNED, to "
        "where something may have been learned.",
        "provider",
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
        "metadata reg8",
        "A network's ports on this switch, in parts that fit one flow, and what is beyond it; "
        "visited by resubmit.",
        "provider",
    )
    OUTPUT = (
        95,
        "l2",
        Miss.DROP,
        "metadata reg15",
        "From OUT_PORT to a port of the switch, with the tag that belongs on the wire there.",
        "provider",
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
        """The table a packet goes on to; what is not on every packet's way is passed over."""
        return _NEXT[self]


_ASIDE = frozenset(
    {
        Table.SENDER,
        Table.PUNT_LIMIT,
        Table.NEIGHBOURS,
        Table.ARP_ND_REPLY,
        Table.IDENTITY,
        Table.ND_REPLY,
        Table.SERVICE,
        Table.SERVICE_BACK,
        Table.L2_LEARNED,
        Table.FLOOD_PART,
    }
)
"""Tables that are not on every packet's way: visited by resubmit, or by their owner's goto."""
_STAGES = [table for table in Table if table not in _ASIDE]
_NEXT: dict[Table, Table] = {
    table: next(stage for stage in _STAGES if stage.id > table.id)
    for table in Table
    if table is not Table.OUTPUT
}


class Cookie:
    """A cookie is an 8-bit app id and a 56-bit hash of the whole flow.

    Two flows are the same if and only if their cookies are: that is how the reconciler compares
    what is wanted with what a switch holds, since flows do not read back as they were written.
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
