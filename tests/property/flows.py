# SPDX-License-Identifier: Apache-2.0

"""Hypothesis strategies for flows: any that we can write, and those that Open vSwitch accepts."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    CONTROLLER,
    CT_INVALID,
    CT_TRACKED,
    TO_INGRESS,
    Action,
    Bucket,
    CheckLarger,
    Ct,
    CtClear,
    DecTtl,
    Failover,
    Flow,
    Goto,
    Group,
    Learn,
    Limit,
    Meter,
    Move,
    Multipath,
    Nat,
    Of,
    Output,
    PopVlan,
    Punt,
    PushVlan,
    Resubmit,
    Sample,
    SetField,
    SetQueue,
)
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.oxm import (
    FRAGMENT,
    LATER_FRAGMENT,
    OXM,
    VLAN_PRESENT,
    Leading,
    Value,
)
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, Table

_BITS = {"vlan_vid": 13, "vlan_pcp": 3, "ip_dscp": 6}


def bits(field: str) -> int:
    """How many bits of a field's bytes are the field."""
    return _BITS.get(field, OXM[field].bytes * 8)


def numbers(width: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << width) - 1)


def values(field: str, *, maskable: bool = True) -> st.SearchStrategy[Value]:
    """An exact value or, for a field that can have one, a value under a mask."""
    exact = numbers(bits(field))
    masked = st.tuples(exact, exact).map(lambda pair: (pair[0] & pair[1], pair[1]))
    return st.one_of(exact, masked) if maskable else exact


_ORIGINAL = {field for field in OXM if field.startswith(("ct_nw_", "ct_ipv6_", "ct_tp_"))}
NOT_OS_KENS = {
    "nxm_in_port",
    "tun_src",
    "tun_dst",
    "nd_reserved",
    "nd_options_type",
    "ip_ttl",
    "ip_frag",
    *_ORIGINAL,
}
"""Fields that os-ken does not know, or (ip_ttl, ip_frag) puts before what they need: only Open
vSwitch's own words are held against ours."""
OS_KENS = sorted(OXM.keys() - NOT_OS_KENS)
fields = st.sampled_from(OS_KENS)
tables = st.sampled_from(list(Table))

_REGISTERS = {
    **{f"reg{n}": {n} for n in range(16)},
    **{f"xreg{n}": {2 * n, 2 * n + 1} for n in range(8)},
    **{f"xxreg{n}": {4 * n + part for part in range(4)} for n in range(2)},
}


def _without_overlaps(chosen: Iterable[str]) -> list[str]:
    """No register is matched twice."""
    taken: set[int] = set()
    found = []
    for field in sorted(chosen):
        if taken.isdisjoint(_REGISTERS.get(field, ())):
            taken |= _REGISTERS.get(field, set())
            found.append(field)
    return found


matches: st.SearchStrategy[dict[str, Value]] = st.sets(fields, max_size=8).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {field: values(field) for field in _without_overlaps(chosen)}
    )
)


def _set_fields(field: str) -> st.SearchStrategy[SetField]:
    return numbers(bits(field)).map(lambda value: SetField(field, value))


moves = st.builds(
    Move,
    *(st.sampled_from(["eth_src", "arp_spa", "ipv6_src", "xxreg0", "xreg2", "reg3"]),) * 2,
    *(st.integers(1, 32), st.integers(0, 15), st.integers(0, 15)),
)
plain_actions: st.SearchStrategy[Action] = st.one_of(
    fields.flatmap(_set_fields),
    st.builds(Output, numbers(32)),
    st.just(PushVlan()),
    st.just(PopVlan()),
    st.builds(Resubmit, tables),
    st.just(DecTtl()),
    st.builds(Group, numbers(32)),
    st.builds(SetQueue, numbers(32)),
    st.builds(Sample, st.integers(1, 0xFFFF), *(numbers(32),) * 3),
    moves,
)
groups = st.builds(
    Failover,
    st.integers(0, 0xFFFFFF00),
    st.lists(
        st.builds(Bucket, numbers(32), st.lists(plain_actions, max_size=4).map(tuple)), max_size=5
    ).map(tuple),
)
"""Fast failover groups of any buckets, valid or not."""

learns = st.builds(
    Learn,
    table=tables,
    match=st.sampled_from(
        [
            ((NETWORK, NETWORK), ("eth_dst", "eth_src")),
            (("eth_type", 0x0800), ("ip_proto", 6), ("tcp_src", 80)),
        ]
    ),
    load=st.tuples(
        st.tuples(st.sampled_from([IN_PORT, OUT_PORT]), numbers(32)),
        st.sampled_from([("eth_dst", "eth_src"), ("xxreg0", "xxreg1"), ("eth_src", 1)]),
    ),
    idle_timeout=numbers(16),
    limit=st.integers(1, 0xFFFFFFFF),
    cookie=st.builds(Cookie.learned, numbers(24), numbers(32)),
)


ports = st.tuples(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF)).map(sorted)
nats = st.builds(
    lambda kind, address, ports: Nat(kind, address, *ports),
    st.sampled_from(["src", "dst"]),
    st.integers(1, 0xFFFFFFFF),
    st.one_of(st.just(()), ports),
)
nats6 = st.builds(
    lambda kind, address, ports: Nat(kind, address, *(ports or (0, 0)), version=6),
    st.sampled_from(["src", "dst"]),
    st.integers(1, (1 << 128) - 1),
    st.one_of(st.just(()), ports),
)
MARK = Move("reg13", "ct_mark", 24)
later_tables = tables.filter(lambda table: table.id > 0)
ip_actions: st.SearchStrategy[Action] = st.one_of(
    st.just(DecTtl()),
    st.builds(lambda *words: Ct(*words), numbers(16), later_tables, st.just(Nat()), st.booleans()),
    st.builds(lambda *words: Ct(*words, commit=True), numbers(16), later_tables, nats),
    later_tables.map(lambda table: Ct("reg6", table)),
    st.builds(
        lambda zone, nat, mark: Ct(zone, nat=nat, commit=True, mark=mark),
        st.one_of(numbers(16), st.just("reg6")),
        st.one_of(st.none(), nats),
        st.one_of(st.none(), st.just(Move("reg13", "ct_mark", 32)), st.just(MARK)),
    ),
    st.just(CtClear()),
    st.builds(
        lambda table, bits: Learn(
            *(table, (("eth_type", 0x0800), ("ipv4_src", Leading("ipv4_src", bits)))),
            *((("reg4", 7),), 60, 100, Cookie.learned(7, 0)),
        ),
        tables,
        st.integers(1, 32),
    ),
    st.builds(Punt, st.integers(1, 0xFFFF)),
    st.builds(
        Multipath,
        st.integers(1, 64),
        st.sampled_from(["reg4", "reg15"]),
        st.booleans(),
        numbers(16),
    ),
    st.builds(CheckLarger, st.integers(1, 0xFFFF), st.sampled_from(["reg8", "reg0"])),
)
"""Actions on IPv4, of every form that we write."""


def action_lists(actions: st.SearchStrategy[Action]) -> st.SearchStrategy[tuple[Action, ...]]:
    """Some actions, perhaps a meter before them, and perhaps a goto at the end."""

    def perhaps(action: st.SearchStrategy[Action]) -> st.SearchStrategy[tuple[Action, ...]]:
        return st.one_of(st.just(()), action.map(lambda one: (one,)))

    return st.tuples(
        perhaps(st.builds(Meter, st.integers(1, 0xFFFF0000))),
        st.lists(actions, max_size=6).map(tuple),
        perhaps(st.builds(Goto, tables)),
    ).map(lambda three: three[0] + three[1] + three[2])


limits = st.builds(Limit, numbers(32), numbers(32), numbers(32), st.sampled_from(Of))
flows = st.builds(Flow, tables, numbers(16), matches, action_lists(plain_actions))
"""Flows of every field, masked or not, and of every action but Learn, valid or not."""

# --- what Open vSwitch accepts -------------------------------------------------------------------

_FAMILIES: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "any": ({}, ()),
    "ipv4": ({"eth_type": 0x0800}, ("ipv4_src", "ipv4_dst", "ip_dscp")),
    "ipv6": ({"eth_type": 0x86DD}, ("ipv6_src", "ipv6_dst", "ip_dscp")),
    "arp": (
        {"eth_type": 0x0806},
        ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
    ),
    "tcp": ({"eth_type": 0x0800, "ip_proto": 6}, ("ipv4_src", "tcp_src", "tcp_dst")),
    "udp6": ({"eth_type": 0x86DD, "ip_proto": 17}, ("ipv6_dst", "udp_src", "udp_dst")),
    "icmp": ({"eth_type": 0x0800, "ip_proto": 1}, ("icmpv4_type", "icmpv4_code")),
    "icmpv6": ({"eth_type": 0x86DD, "ip_proto": 58}, ("icmpv6_type", "icmpv6_code")),
    "solicitation": (
        {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0},
        ("ipv6_nd_target", "ipv6_nd_sll", "nd_reserved", "ip_ttl", "ip_frag"),
    ),
    "advertisement": (
        {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 136, "icmpv6_code": 0},
        ("ipv6_nd_target", "ipv6_nd_tll", "nd_options_type"),
    ),
}
"""Kinds of packet: what a match must say first (its prerequisites), and what it may say then."""

_ORIGINALS: dict[Value, tuple[str, ...]] = {
    0x0800: ("ct_nw_src", "ct_nw_dst", "ct_tp_src"),
    0x86DD: ("ct_ipv6_src", "ct_ipv6_dst", "ct_tp_dst"),
}
"""What a connection was begun with."""
_ALWAYS = ("metadata", "eth_src", "eth_dst", "tunnel_id", *(f"reg{n}" for n in range(16)))
_EXACT_ONLY = {"arp_op", "ip_dscp", "icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code"}
_EXACT_ONLY |= {"ip_ttl", "nd_reserved", "nd_options_type"}
_READ_ONLY = {"arp_op", "ip_frag"}
_VALID_BITS = {"arp_op": 8}  # Open vSwitch keeps no more of it


def _valid_values(field: str) -> st.SearchStrategy[Value]:
    if field in _VALID_BITS:
        return numbers(_VALID_BITS[field])
    if OXM[field].notation == "fragment":
        return st.sampled_from([FRAGMENT, LATER_FRAGMENT])
    if OXM[field].notation == "ipv6":  # ovs-ofctl takes a mask like 2000:: for a length
        full = (1 << 128) - 1
        prefixes = st.integers(1, 128).map(lambda length: full >> 128 - length << 128 - length)
        return st.one_of(
            numbers(128), st.builds(lambda v, mask: (v & mask, mask), numbers(128), prefixes)
        )
    return values(field, maskable=field not in _EXACT_ONLY)


@st.composite
def valid_flows(draw: st.DrawFn) -> Flow:
    """A flow that Open vSwitch takes: prerequisites first, and only jumps forward."""
    first, then = _FAMILIES[draw(st.sampled_from(sorted(_FAMILIES)))]
    match: dict[str, Value] = dict(first)
    table = draw(tables)
    may_match = (*_ALWAYS, *then)
    for field in sorted(draw(st.sets(st.sampled_from(may_match), max_size=5))):
        match[field] = draw(_valid_values(field))
    if draw(st.booleans()):
        mask = CT_TRACKED | draw(numbers(4))  # what is invalid cannot be committed
        match["ct_state"] = (CT_TRACKED | mask & draw(numbers(4)), mask)
    if first.get("eth_type") in _ORIGINALS and draw(st.booleans()):
        match["ct_state"] = (CT_TRACKED, CT_TRACKED | CT_INVALID)
        match |= {"ct_nw_proto": 6, "ct_zone": draw(numbers(16)), "ct_mark": draw(numbers(32))}
        for field in _ORIGINALS[first["eth_type"]]:
            match[field] = draw(_valid_values(field))
    for wide in ("xreg2", "xxreg0"):
        parts = {f"reg{n}" for n in _REGISTERS[wide]}
        if match.keys().isdisjoint(parts) and draw(st.booleans()):
            match[wide] = draw(values(wide))
    if draw(st.booleans()):
        match["in_port"] = draw(st.integers(1, 0xFEFF))
    tagged = draw(st.sampled_from([None, 0, VLAN_PRESENT, VLAN_PRESENT | 77]))
    if tagged is not None:
        match["vlan_vid"] = tagged
        if tagged:
            match["vlan_pcp"] = draw(numbers(3))
    settable = st.sampled_from([field for field in may_match if field not in _READ_ONLY])
    actions: list[Action] = draw(
        st.lists(
            st.one_of(
                settable.flatmap(_set_fields),
                st.builds(Output, st.sampled_from([1, 0xFEFF, CONTROLLER, TO_INGRESS])),
                st.just(Move("eth_src", "xreg2", 48)),
                numbers(4).map(lambda start: Move("reg3", "xxreg0", 7, start, 8 * start)),
                st.builds(Resubmit, tables),
                learns,
            ),
            max_size=6,
        )
    )
    if first.get("eth_type") == 0x0800:
        actions += draw(st.lists(ip_actions, max_size=3))
        if first.get("ip_proto") == 6 and draw(st.booleans()):
            actions.append(Ct(draw(numbers(16)), Table.OUTPUT, Nat(), commit=True, alg=21))
    if first.get("eth_type") == 0x86DD:
        tracked = st.builds(
            lambda zone, table, nat: Ct(zone, table, nat, commit=True), numbers(16), tables, nats6
        )
        actions += draw(st.lists(tracked, max_size=1))
    actions += draw(st.sampled_from([[], [SetField("nxm_in_port", 0)], [CLEAR_IN_PORT]]))
    if draw(st.booleans()):
        vlan = SetField("vlan_vid", VLAN_PRESENT | draw(st.integers(0, 4095)))
        actions += [PushVlan(), vlan, Output(draw(st.integers(1, 0xFEFF))), PopVlan()]
    later = [other for other in Table if other.id > table.id]
    if draw(st.booleans()) and later:
        actions.append(Goto(draw(st.sampled_from(later))))
    return Flow(table, draw(numbers(16)), match, tuple(actions))
