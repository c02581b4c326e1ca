# SPDX-License-Identifier: Apache-2.0

"""Flows as values: what apps yield, and how a person reads it.

Nothing here knows bytes (``openflow/codec.py`` does) or any feature. Matches and arguments are
integers: addresses are parsed once, when the model is loaded. The text form is that of
``ovs-ofctl add-flow``, which is also what tests and ``tenantry flows`` show.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from tenantry.controller.openflow.pipeline import Table

Value: TypeAlias = int | tuple[int, int]
"""An exact value, or (value, mask)."""

VLAN_PRESENT = 0x1000
"""The bit of ``vlan_vid`` that says that a tag is there (OFPVID_PRESENT, OpenFlow 1.4 A.2.3.7).
``vlan_vid`` 0 means no tag; VLAN_PRESENT alone means a priority tag, that is VLAN id 0."""


class Oxm(NamedTuple):
    """A field that can be matched or set: its OXM or NXM class and number, width and notation."""

    cls: int
    number: int
    bytes: int
    notation: str = "hex"  # of ovs-ofctl: hex, decimal, mac, ipv4, ipv6, port, fragment


_NXM1, _ERICSSON, _OPENFLOW, _PACKET_REGS = 0x0001, 0x1000, 0x8000, 0x8001

OXM: dict[str, Oxm] = {
    "in_port": Oxm(_OPENFLOW, 0, 4, "decimal"),
    "nxm_in_port": Oxm(0x0000, 0, 2, "port"),  # the same of 16 bits, which can be set
    "metadata": Oxm(_OPENFLOW, 2, 8),
    "eth_dst": Oxm(_OPENFLOW, 3, 6, "mac"),
    "eth_src": Oxm(_OPENFLOW, 4, 6, "mac"),
    "eth_type": Oxm(_OPENFLOW, 5, 2),
    "vlan_vid": Oxm(_OPENFLOW, 6, 2),
    "vlan_pcp": Oxm(_OPENFLOW, 7, 1, "decimal"),
    "ip_dscp": Oxm(_OPENFLOW, 8, 1, "decimal"),
    "ip_proto": Oxm(_OPENFLOW, 10, 1, "decimal"),
    "ipv4_src": Oxm(_OPENFLOW, 11, 4, "ipv4"),
    "ipv4_dst": Oxm(_OPENFLOW, 12, 4, "ipv4"),
    "tcp_src": Oxm(_OPENFLOW, 13, 2, "decimal"),
    "tcp_dst": Oxm(_OPENFLOW, 14, 2, "decimal"),
    "udp_src": Oxm(_OPENFLOW, 15, 2, "decimal"),
    "udp_dst": Oxm(_OPENFLOW, 16, 2, "decimal"),
    "sctp_src": Oxm(_OPENFLOW, 17, 2, "decimal"),
    "sctp_dst": Oxm(_OPENFLOW, 18, 2, "decimal"),
    "icmpv4_type": Oxm(_OPENFLOW, 19, 1, "decimal"),
    "icmpv4_code": Oxm(_OPENFLOW, 20, 1, "decimal"),
    "arp_op": Oxm(_OPENFLOW, 21, 2, "decimal"),
    "arp_spa": Oxm(_OPENFLOW, 22, 4, "ipv4"),
    "arp_tpa": Oxm(_OPENFLOW, 23, 4, "ipv4"),
    "arp_sha": Oxm(_OPENFLOW, 24, 6, "mac"),
    "arp_tha": Oxm(_OPENFLOW, 25, 6, "mac"),
    "ipv6_src": Oxm(_OPENFLOW, 26, 16, "ipv6"),
    "ipv6_dst": Oxm(_OPENFLOW, 27, 16, "ipv6"),
    "icmpv6_type": Oxm(_OPENFLOW, 29, 1, "decimal"),
    "icmpv6_code": Oxm(_OPENFLOW, 30, 1, "decimal"),
    "ipv6_nd_target": Oxm(_OPENFLOW, 31, 16, "ipv6"),
    "ipv6_nd_sll": Oxm(_OPENFLOW, 32, 6, "mac"),
    "ipv6_nd_tll": Oxm(_OPENFLOW, 33, 6, "mac"),
    "tunnel_id": Oxm(_OPENFLOW, 38, 8),
    **{f"reg{n}": Oxm(_NXM1, n, 4) for n in range(16)},
    "ip_frag": Oxm(_NXM1, 26, 1, "fragment"),
    "tun_src": Oxm(_NXM1, 31, 4, "ipv4"),
    "tun_dst": Oxm(_NXM1, 32, 4, "ipv4"),
    "tun_ipv6_src": Oxm(_NXM1, 109, 16, "ipv6"),
    "tun_ipv6_dst": Oxm(_NXM1, 110, 16, "ipv6"),
    "ip_ttl": Oxm(_NXM1, 29, 1, "decimal"),
    **{f"xxreg{n}": Oxm(_NXM1, 111 + n, 16) for n in range(2)},
    **{f"xreg{n}": Oxm(_PACKET_REGS, n, 8) for n in range(8)},
    "ct_state": Oxm(_NXM1, 105, 4),
    "ct_zone": Oxm(_NXM1, 106, 2),
    "ct_mark": Oxm(_NXM1, 107, 4),
    # Of the connection that a packet is part of, as it was begun: see ovs-fields(7).
    "ct_nw_proto": Oxm(_NXM1, 119, 1, "decimal"),
    "ct_nw_src": Oxm(_NXM1, 120, 4, "ipv4"),
    "ct_nw_dst": Oxm(_NXM1, 121, 4, "ipv4"),
    "ct_ipv6_src": Oxm(_NXM1, 122, 16, "ipv6"),
    "ct_ipv6_dst": Oxm(_NXM1, 123, 16, "ipv6"),
    "ct_tp_src": Oxm(_NXM1, 124, 2, "decimal"),
    "ct_tp_dst": Oxm(_NXM1, 125, 2, "decimal"),
    "nd_reserved": Oxm(_ERICSSON, 1, 4, "decimal"),
    "nd_options_type": Oxm(_ERICSSON, 2, 1, "decimal"),
}


TUNNEL_ENDS = {4: ("tun_src", "tun_dst"), 6: ("tun_ipv6_src", "tun_ipv6_dst")}
"""By the IP version of a tunnel: where it begins and where it leads."""

FRAGMENT, LATER_FRAGMENT = (1, 1), (2, 2)
"""ip_frag of any fragment, and of all but a packet's first, which alone has the ports (or the type
of ICMP); as (value, mask)."""

_FRAGMENTS: dict[Value, str] = {FRAGMENT: "yes", LATER_FRAGMENT: "later"}

# ovs-ofctl's own names, where they differ from OpenFlow's; in matches it has kept older ones.
_OFCTL_NAME = {
    "nxm_in_port": "in_port",
    "ipv4_src": "ip_src",
    "ipv4_dst": "ip_dst",
    "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code",
    "ip_ttl": "nw_ttl",
    "ipv6_nd_target": "nd_target",
    "ipv6_nd_sll": "nd_sll",
    "ipv6_nd_tll": "nd_tll",
    "tunnel_id": "tun_id",
}
_OFCTL_MATCH_NAME = {
    **_OFCTL_NAME,
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "tcp_src": "tp_src",
    "tcp_dst": "tp_dst",
    "udp_src": "tp_src",
    "udp_dst": "tp_dst",
    "sctp_src": "tp_src",
    "sctp_dst": "tp_dst",
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
}


def value_text(field: str, value: int) -> str:
    """An integer in the notation of its field: ``fa:16:3e:00:00:01``, ``10.0.0.1``, ``0x5``."""
    notation = OXM[field].notation
    if notation == "mac":
        return ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
    if notation == "ipv4":
        return str(ipaddress.IPv4Address(value))
    if notation == "ipv6":
        return str(ipaddress.IPv6Address(value))
    if notation == "port" and value == CONTROLLER & 0xFFFF:
        return "CONTROLLER"
    return str(value) if notation in ("decimal", "port") else hex(value)


def _mask_text(field: str, mask: int) -> str:
    """A mask in the notation of its field; that of an address by its length, if it is a prefix."""
    size, ones = OXM[field].bytes * 8, mask.bit_count()
    if OXM[field].notation in ("ipv4", "ipv6") and mask == (1 << size) - (1 << size - ones):
        return str(ones)
    return value_text(field, mask)


def match_text(match: Mapping[str, Value]) -> str:
    """A match as ``ovs-ofctl`` writes it."""
    parts = []
    for field in sorted(match, key=match_order):
        value = match[field]
        name = _OFCTL_MATCH_NAME.get(field, field)
        if OXM[field].notation == "fragment":
            parts.append(f"{name}={_FRAGMENTS[value]}")
        elif isinstance(value, tuple):
            parts.append(f"{name}={value_text(field, value[0])}/{_mask_text(field, value[1])}")
        else:
            parts.append(f"{name}={value_text(field, value)}")
    return ",".join(parts)


# They are extensions, but need eth_type and more of what is OpenFlow's own.
_LAST = {"ip_ttl", "ip_frag", "nd_reserved", "nd_options_type"} | {
    name for name in OXM if name.startswith(("ct_nw_", "ct_ipv6_", "ct_tp_"))
}
_ORDER = {
    name: rank
    for rank, name in enumerate(
        sorted(OXM, key=lambda name: (name in _LAST, OXM[name].cls, OXM[name].number))
    )
}
match_order = _ORDER.__getitem__
"""Sort key that puts every field behind its prerequisites: by OXM class and number."""


class SetField(NamedTuple):
    """Write a whole field."""

    field: str
    value: int

    def text(self) -> str:
        name = _OFCTL_NAME.get(self.field, self.field)
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
        source = _span(self.source, self.source_start, self.bits)
        return f"move:{source}->{_span(self.destination, self.destination_start, self.bits)}"


def _span(field: str, start: int, bits: int) -> str:
    """``NXM_NX_REG3[0..7]``; a whole field without numbers."""
    whole = bits == OXM[field].bytes * 8
    numbers = "" if whole else str(start) if bits == 1 else f"{start}..{start + bits - 1}"
    return f"{_NXM_NAME[field]}[{numbers}]"


_NXM_NAME = {
    "eth_dst": "NXM_OF_ETH_DST",
    "eth_src": "NXM_OF_ETH_SRC",
    "ipv4_src": "NXM_OF_IP_SRC",
    "ipv4_dst": "NXM_OF_IP_DST",
    "tcp_src": "NXM_OF_TCP_SRC",
    "tcp_dst": "NXM_OF_TCP_DST",
    "ct_mark": "NXM_NX_CT_MARK",
    "nd_reserved": "ERICOXM_OF_ICMPV6_ND_RESERVED",
    "ct_zone": "NXM_NX_CT_ZONE",
    "arp_spa": "NXM_OF_ARP_SPA",
    "arp_tpa": "NXM_OF_ARP_TPA",
    "arp_sha": "NXM_NX_ARP_SHA",
    "arp_tha": "NXM_NX_ARP_THA",
    "ipv6_src": "NXM_NX_IPV6_SRC",
    "ipv6_dst": "NXM_NX_IPV6_DST",
    "ipv6_nd_target": "NXM_NX_ND_TARGET",
    "ipv6_nd_sll": "NXM_NX_ND_SLL",
    "ipv6_nd_tll": "NXM_NX_ND_TLL",
    "tun_src": "NXM_NX_TUN_IPV4_SRC",
    "tun_dst": "NXM_NX_TUN_IPV4_DST",
    "tun_ipv6_src": "NXM_NX_TUN_IPV6_SRC",
    "tun_ipv6_dst": "NXM_NX_TUN_IPV6_DST",
    "metadata": "OXM_OF_METADATA",
    **{f"xxreg{n}": f"NXM_NX_XXREG{n}" for n in range(2)},
    **{f"reg{n}": f"NXM_NX_REG{n}" for n in range(16)},
    **{f"xreg{n}": f"OXM_OF_PKT_REG{n}" for n in range(8)},
}
"""Names as ``move`` and ``learn`` write them."""


class Punt(NamedTuple):
    """A copy of the packet to the controller, as long as the rate of this meter allows; the packet
    itself goes on. See ovs-actions(7), "controller", meter_id."""

    meter: int

    def text(self) -> str:
        return f"controller(max_len={WHOLE_PACKET},meter_id={self.meter})"


class Meter(NamedTuple):
    """Drop what is beyond the rate of this meter (see Limit). Only as the first action."""

    id: int

    def text(self) -> str:
        return f"meter:{self.id}"


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
    or a constant, and writes fields likewise. At most ``limit`` flows carry ``cookie``; they go
    when this flow goes. ``idle_timeout`` is in seconds.
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
        return f"{_OFCTL_NAME.get(field, field)}={value_text(field, source)}"
    same = source == field
    return f"{_NXM_NAME[field]}[]" if same else f"{_NXM_NAME[field]}[]={_NXM_NAME[source]}[]"


def _learned_load(field: str, source: str | int) -> str:
    value = hex(source) if isinstance(source, int) else f"{_NXM_NAME[source]}[]"
    return f"load:{value}->{_NXM_NAME[field]}[]"


class DecTtl(NamedTuple):
    """Take one off the TTL or hop limit. A packet that has none left is dropped."""

    def text(self) -> str:
        return "dec_ttl"


class Nat(NamedTuple):
    """Translation of new connections: the source's or the destination's address (``"src"``,
    ``"dst"``) becomes ``address``, of IPv4, and its port one from ``first_port`` to ``last_port``
    (0: it stays if it can). Without ``kind`` what is translated already stays so."""

    kind: str = ""
    address: int = 0
    first_port: int = 0
    last_port: int = 0

    def text(self) -> str:
        if not self.kind:
            return "nat"
        ports = "" if not self.first_port else f":{self.first_port}"
        more = f"-{self.last_port}" if self.last_port > self.first_port else ""
        return f"nat({self.kind}={ipaddress.IPv4Address(self.address)}{ports}{more})"


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
        zone = self.zone if isinstance(self.zone, int) else _span(self.zone, 0, 16)
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
    changes when one is gone (highest random weight). See ovs-actions(7), "multipath"."""

    paths: int
    register: str
    ports: bool = True

    def text(self) -> str:
        register = _span(self.register, 0, 32)
        fields = "symmetric_l3l4+udp" if self.ports else "symmetric_l3"
        return f"multipath({fields},0,hrw,{self.paths},0,{register})"


class CheckLarger(NamedTuple):
    """Whether the frame has more than ``octets``, from its Ethernet header on, into the lowest bit
    of a register. See ovs-actions(7), "check_pkt_larger"."""

    octets: int
    register: str

    def text(self) -> str:
        return f"check_pkt_larger({self.octets})->{_span(self.register, 0, 1)}"


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
    | Group
    | Goto
)


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


class Limit(NamedTuple):
    """A meter as a value (OpenFlow 1.4, 5.7): it drops what is beyond so many packets a second,
    of which it lets ``burst`` through at once."""

    meter: int
    packets_per_second: int
    burst: int

    def text(self) -> str:
        """As ``ovs-ofctl add-meter`` reads it."""
        return (
            f"meter={self.meter} pktps burst stats bands=type=drop "
            f"rate={self.packets_per_second} burst_size={self.burst}"
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
