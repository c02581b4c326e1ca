# SPDX-License-Identifier: Apache-2.0

"""Flows as values: what apps yield, and how a person reads it.

Nothing here knows bytes (``openflow/codec.py`` does) or any feature. Matches and arguments are
integers: addresses are parsed once, when the model is loaded. The text form is that of
``ovs-ofctl add-flow``, which is also what tests and ``tenantry flows`` show.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

from tenantry.controller.openflow.oxm import (
    NXM_NAME,
    OFCTL_NAME,
    OXM,
    Leading,
    Value,
    match_text,
    span,
    value_text,
)
from tenantry.controller.openflow.pipeline import Table


class SetField(NamedTuple):
    """Write a whole field."""

    field: str
    value: int

    def text(self) -> str:
        name = OFCTL_NAME.get(self.field, self.field)
        return f"set_field:{value_text(self.field, self.value)}->{name}"


CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER: as a port to output to, and to enter the pipeline by
TO_INGRESS = 0xFFFFFFF8  # OFPP_IN_PORT: where the packet came from
WHOLE_PACKET = 0xFFFF  # OFPCML_NO_BUFFER: the controller gets all of it


class Output(NamedTuple):
    """Send out of a switch port by number, to CONTROLLER, or BACK; never by its number to where
    the packet came from."""

    port: int

    def text(self) -> str:
        if self.port == CONTROLLER:
            return f"CONTROLLER:{WHOLE_PACKET}"
        return "IN_PORT" if self.port == TO_INGRESS else f"output:{self.port}"


class Move(NamedTuple):
    """Copy ``bits`` bits of one field, from bit ``source_start`` on, into another (0 is the
    lowest). See ovs-actions(7), "move"."""

    source: str
    destination: str
    bits: int
    source_start: int = 0
    destination_start: int = 0

    def text(self) -> str:
        source = span(self.source, self.source_start, self.bits)
        return f"move:{source}->{span(self.destination, self.destination_start, self.bits)}"


class Punt(NamedTuple):
    """A copy of the packet to the controller, as long as the rate of this meter allows; the packet
    itself goes on. See ovs-actions(7), "controller", meter_id."""

    meter: int

    def text(self) -> str:
        return f"controller(max_len={WHOLE_PACKET},meter_id={self.meter})"


class Sample(NamedTuple):
    """Tell a set of collectors of this packet, by IPFIX, with a ``probability`` of 65535; the set
    is a row of OVSDB. See ovs-actions(7), "sample"."""

    probability: int
    collectors: int
    domain: int
    point: int

    def text(self) -> str:
        return (
            f"sample(probability={self.probability},collector_set_id={self.collectors},"
            f"obs_domain_id={self.domain},obs_point_id={self.point})"
        )


class Meter(NamedTuple):
    """Drop what is beyond the rate of this meter (see Limit). Only as the first action."""

    id: int

    def text(self) -> str:
        return f"meter:{self.id}"


class SetQueue(NamedTuple):
    """Queue what is sent from here on there, wherever it leaves by a port that has queues of this
    number (OpenFlow 1.4, 7.2.4). A userspace datapath has none, and sends it like all else."""

    queue: int

    def text(self) -> str:
        return f"set_queue:{self.queue}"


class Group(NamedTuple):
    """Go on as a group (see Failover) says. What it does to the packet is undone after it."""

    id: int

    def text(self) -> str:
        return f"group:{self.id}"


class PushVlan(NamedTuple):
    """Add an 802.1Q tag; a SetField of ``vlan_vid`` (with VLAN_PRESENT) follows."""

    def text(self) -> str:
        return "push_vlan:0x8100"


class PopVlan(NamedTuple):
    """Take the outer tag off."""

    def text(self) -> str:
        return "pop_vlan"


class Resubmit(NamedTuple):
    """Visit a table and come back."""

    table: Table

    def text(self) -> str:
        return f"resubmit(,{self.table.id})"


class Learn(NamedTuple):
    """Add a flow to ``table``, made of the packet that passes. See ovs-actions(7), "learn".

    It matches fields that have the value that another field has now (``{"eth_dst": "eth_src"}``),
    or a constant, or the first bits that a field has now (Leading), and writes fields likewise. At
    most ``limit`` flows carry ``cookie``; they go when this flow goes. ``idle_timeout`` is in
    seconds.
    """

    table: Table
    match: tuple[tuple[str, str | int], ...]
    load: tuple[tuple[str, str | int], ...]
    idle_timeout: int
    limit: int
    cookie: int

    def text(self) -> str:
        match = (_learned_match(field, source) for field, source in self.match)
        load = (_learned_load(field, source) for field, source in self.load)
        return (
            f"learn(table={self.table.id},idle_timeout={self.idle_timeout},priority=100,"
            f"delete_learned,cookie={self.cookie:#x},limit={self.limit},"
            f"{','.join((*match, *load))})"
        )


def _learned_match(field: str, source: str | int) -> str:
    if isinstance(source, int):
        return f"{OFCTL_NAME.get(field, field)}={value_text(field, source)}"
    if isinstance(source, Leading):
        return span(field, OXM[field].bytes * 8 - source.bits, source.bits)
    same = source == field
    return f"{NXM_NAME[field]}[]" if same else f"{NXM_NAME[field]}[]={NXM_NAME[source]}[]"


def _learned_load(field: str, source: str | int) -> str:
    value = hex(source) if isinstance(source, int) else f"{NXM_NAME[source]}[]"
    return f"load:{value}->{NXM_NAME[field]}[]"


class DecTtl(NamedTuple):
    """Take one off the TTL or hop limit. A packet that has none left is dropped."""

    def text(self) -> str:
        return "dec_ttl"


class Nat(NamedTuple):
    """Translation of new connections: the source's or the destination's address (``"src"``,
    ``"dst"``) becomes ``address``, of an IP ``version``, and its port one from ``first_port`` to
    ``last_port`` (0: it stays if it can). Without ``kind`` what is translated already stays so."""

    kind: str = ""
    address: int = 0
    first_port: int = 0
    last_port: int = 0
    version: int = 4

    def text(self) -> str:
        if not self.kind:
            return "nat"
        ports = "" if not self.first_port else f":{self.first_port}"
        more = f"-{self.last_port}" if self.last_port > self.first_port else ""
        if self.version == 4:
            return f"nat({self.kind}={ipaddress.IPv4Address(self.address)}{ports}{more})"
        six = ipaddress.IPv6Address(self.address)
        return f"nat({self.kind}={f'[{six}]' if ports else six}{ports}{more})"


class Ct(NamedTuple):
    """Take the packet through connection tracking in a zone: a number, or the lowest 16 bits of a
    field. With ``table`` the packet goes on there, where ct_state can be matched; without, it
    goes on at once, untracked. ``nat`` translates. ``commit`` makes a new connection known, with
    what ``mark`` moves (to ct_mark); ``alg`` names the helper by its TCP or UDP port (21 is FTP's).
    See ovs-actions(7), "ct"."""

    zone: int | str
    table: Table | None = None
    nat: Nat | None = None
    commit: bool = False
    alg: int = 0
    mark: Move | None = None

    def text(self) -> str:
        zone = self.zone if isinstance(self.zone, int) else span(self.zone, 0, 16)
        words = ["commit"] if self.commit else []
        words += [f"table={self.table.id}"] if self.table else []
        words += [f"zone={zone}"]
        words += [self.nat.text()] if self.nat else []
        words += [f"exec({self.mark.text()})"] if self.mark else []
        words += [f"alg={_ALG[self.alg]}"] if self.alg else []
        return f"ct({','.join(words)})"


class CtClear(NamedTuple):
    """Forget what connection tracking has said of the packet."""

    def text(self) -> str:
        return "ct_clear"


_ALG = {21: "ftp", 69: "tftp"}

CT_NEW, CT_ESTABLISHED, CT_RELATED, CT_REPLY, CT_INVALID, CT_TRACKED = (1 << n for n in range(6))
"""Bits of ct_state; see ovs-fields(7)."""


class Multipath(NamedTuple):
    """Choose one of ``paths`` (at least one) by a hash of addresses, and of ``ports`` if they are
    wanted, the same for both directions; its number, from 0, into a register. Of the others none
    changes when one is gone (highest random weight). With another ``basis`` it is another hash. See
    ovs-actions(7), "multipath"."""

    paths: int
    register: str
    ports: bool = True
    basis: int = 0

    def text(self) -> str:
        register = span(self.register, 0, 32)
        fields = "symmetric_l3l4+udp" if self.ports else "symmetric_l3"
        return f"multipath({fields},{self.basis},hrw,{self.paths},0,{register})"


class CheckLarger(NamedTuple):
    """Whether the frame has more than ``octets``, from its Ethernet header on, into the lowest bit
    of a register. See ovs-actions(7), "check_pkt_larger"."""

    octets: int
    register: str

    def text(self) -> str:
        return f"check_pkt_larger({self.octets})->{span(self.register, 0, 1)}"


CLEAR_IN_PORT = SetField("nxm_in_port", CONTROLLER & 0xFFFF)
"""As if the controller had sent it: it may leave by the port that it came by, which OVS otherwise
does not let it, and goes on after Ct even if the controller has sent it (not so with port 0)."""


class Goto(NamedTuple):
    """Continue in a later table. Only as the last action."""

    table: Table

    def text(self) -> str:
        return f"goto_table:{self.table.id}"


Action: TypeAlias = (
    SetField
    | Move
    | Output
    | PushVlan
    | PopVlan
    | Resubmit
    | Learn
    | DecTtl
    | Ct
    | CtClear
    | Multipath
    | CheckLarger
    | Meter
    | Punt
    | Sample
    | SetQueue
    | Group
    | Goto
)
Actions: TypeAlias = tuple[Action, ...]
Match: TypeAlias = dict[str, Value]
"""What a packet must be: fields, and their values."""


class Flow(NamedTuple):
    """One flow: a pure value. No actions means drop."""

    table: Table
    priority: int
    match: Mapping[str, Value]
    actions: tuple[Action, ...]

    def text(self) -> str:
        """As ``ovs-ofctl add-flow`` reads it."""
        fields = match_text(self.match)
        head = f"table={self.table.id},priority={self.priority}"
        return f"{head}{',' if fields else ''}{fields} actions={actions_text(self.actions)}"


class Of(Enum):
    """What a meter counts: its rate is so many of these a second, its burst so many at once."""

    PACKETS = "pktps"
    KILOBITS = "kbps"  # 1000 bits, from the Ethernet header on


class Limit(NamedTuple):
    """A meter as a value (OpenFlow 1.4, 5.7): it drops what is beyond ``rate`` a second, and lets
    ``burst`` through at once after a rest."""

    meter: int
    rate: int
    burst: int
    of: Of = Of.PACKETS

    def text(self) -> str:
        """As ``ovs-ofctl add-meter`` reads it."""
        return (
            f"meter={self.meter} {self.of.value} burst stats bands=type=drop "
            f"rate={self.rate} burst_size={self.burst}"
        )


class Bucket(NamedTuple):
    """What a group does as long as a port is up, and whatever BFD says of it (OpenFlow 1.4, 5.6.1).
    SetField and Move in their order, then one Output or Resubmit, or nothing: that is a drop."""

    watch: int
    actions: tuple[Action, ...]


class Failover(NamedTuple):
    """A group as a value: the first bucket whose port is up, seen by the switch itself; a packet
    that finds none is dropped."""

    group: int
    buckets: tuple[Bucket, ...]

    def text(self) -> str:
        """As ``ovs-ofctl add-group`` reads it."""
        buckets = (
            f",bucket=watch_port:{bucket.watch},actions={actions_text(bucket.actions)}"
            for bucket in self.buckets
        )
        return f"group_id={self.group},type=ff{''.join(buckets)}"


Item: TypeAlias = Flow | Limit | Failover
"""What a unit yields."""


def actions_text(actions: Iterable[Action]) -> str:
    """Actions as ``ovs-ofctl`` writes them; ``drop`` if there are none."""
    return ",".join(action.text() for action in actions) or "drop"
