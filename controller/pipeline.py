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
    first="L2_LOOKUP",
    last="OUTPUT",
    doc="key of the logical port the packet goes to; 0 while undecided",
)
FLOOD_PART = Field(
    "reg8",
    name="FLOOD_PART",
    bits=32,
    first="FLOOD",
    last="FLOOD_PART",
    doc="which part of a network's ports FLOOD_PART copies to",
)
FIELDS = (NETWORK, IN_PORT, OUT_PORT, FLOOD_PART)

PHYSICAL = 0xFFFF0000
"""OUT_PORT and IN_PORT of the physical network that a provider network is on."""

BEYOND = 0
"""The FLOOD_PART that leads off this switch; the ports on it are in the parts from 1 on."""


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
        "provider",
    )
    L2_LOOKUP = (
        70,
        "l2",
        Miss.OWN,
        "metadata eth_dst",
        "Destination MAC addresses that the model knows. Others go on by way of L2_LEARNED.",
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
        """The table a packet goes on to; what is visited only by resubmit is passed over."""
        return _NEXT[self]


_SUBROUTINES = frozenset({Table.L2_LEARNED, Table.FLOOD_PART})
_STAGES = [table for table in Table if table not in _SUBROUTINES]
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

    @staticmethod
    def learned(network_key: int, port_key: int) -> int:
        return Cookie.LEARNED_APP << Cookie.HASH_BITS | network_key << 32 | port_key
