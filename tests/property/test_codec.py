# SPDX-License-Identifier: Apache-2.0

"""The codec against two others: os-ken's serialiser byte for byte, and Open vSwitch's own words."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from tenantry.apps import APPS
from tenantry.controller.engine.engine import Engine
from tenantry.controller.openflow import codec, fields, groups_meters
from tenantry.controller.openflow.fields import ORDER
from tenantry.controller.openflow.flow import (
    Action,
    DecTtl,
    Failover,
    Flow,
    Goto,
    Group,
    Limit,
    Meter,
    Move,
    Of,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    Sample,
    SetField,
    SetQueue,
)
from tenantry.controller.openflow.oxm import OXM, Value, value_text
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.openflow.shapes import encode_instructions, encode_match
from tenantry.controller.sample.topology import sample
from tests import ofctl
from tests.conftest import need
from tests.openvswitch import OpenVSwitch
from tests.property import flows as some
from tests.wire import Wire, wire

DATAPATH = ProtocolDesc(ofp.OFP_VERSION)

some_xids = some.numbers(32)

# --- our values as os-ken's objects --------------------------------------------------------------


def oxm(field: str, value: int) -> int | str:
    """os-ken takes addresses as text."""
    return value_text(field, value) if OXM[field].notation in ("mac", "ipv4", "ipv6") else value


_PARTS = {"xreg": 2, "xxreg": 4}


def as_told(match: dict[str, Value] | Any) -> dict[str, Value]:
    """The same match as Open vSwitch tells it: of 32-bit registers, and without needless masks."""
    told: dict[str, Value] = {}
    for field, value in match.items():
        kind = field.rstrip("0123456789")
        parts = _PARTS.get(kind, 1)
        number = int(field[len(kind) :]) * parts if parts > 1 else 0
        width = 32 if parts > 1 else some.bits(field)
        ones = (1 << width) - 1
        whole, mask = value if isinstance(value, tuple) else (value, (1 << width * parts) - 1)
        for part in range(parts):
            shift = width * (parts - 1 - part)
            here = mask >> shift & ones
            name = f"reg{number + part}" if parts > 1 else field
            if here:
                exact = whole >> shift & ones
                told[name] = exact if here == ones else (exact, here)
    return told


def match_of(match: dict[str, Value] | Any) -> parser.OFPMatch:
    told = as_told(match)
    pairs = [
        (field, tuple(oxm(field, part) for part in value))
        if isinstance(value, tuple)
        else (field, oxm(field, value))
        for field, value in sorted(told.items(), key=lambda item: ORDER[item[0]])
    ]
    return parser.OFPMatch(_ordered_fields=pairs)


_NICIRA_NAMES = {"eth_src", "eth_dst", "ipv4_src", "arp_spa", "ipv6_src", "arp_sha"}


def nicira_name(field: str) -> str:
    """os-ken's name of a field as Nicira's actions name it."""
    return f"{field}_nxm" if field in _NICIRA_NAMES else field


def action_of(action: Action) -> parser.OFPAction:
    match action:
        case SetField(field, value):
            return parser.OFPActionSetField(**{str(field): oxm(field, value)})
        case Move(source, destination, bits, source_start, destination_start):
            return parser.NXActionRegMove(
                src_field=nicira_name(source),
                dst_field=nicira_name(destination),
                n_bits=bits,
                src_ofs=source_start,
                dst_ofs=destination_start,
            )
        case Output(port):
            return parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)
        case PushVlan():
            return parser.OFPActionPushVlan(0x8100)
        case DecTtl():
            return parser.OFPActionDecNwTtl()
        case SetQueue(queue):
            return parser.OFPActionSetQueue(queue)
        case Group(id):
            return parser.OFPActionGroup(id)
        case Sample(probability, collectors, domain, point):
            return parser.NXActionSample(probability, collectors, domain, point)
        case PopVlan():
            return parser.OFPActionPopVlan()
        case Resubmit(table):
            return parser.NXActionResubmitTable(in_port=0xFFF8, table_id=table.id)
    raise TypeError(action)


def flow_mod_of(flow: Flow, cookie: int) -> parser.OFPFlowMod:
    applied = [action_of(action) for action in flow.actions if not isinstance(action, Goto | Meter)]
    instructions: list[Any] = []
    if flow.actions and isinstance(flow.actions[0], Meter):
        instructions.append(parser.OFPInstructionMeter(flow.actions[0].id))
    if applied:
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, applied))
    if flow.actions and isinstance(flow.actions[-1], Goto):
        instructions.append(parser.OFPInstructionGotoTable(flow.actions[-1].table.id))
    return parser.OFPFlowMod(
        DATAPATH,
        cookie=cookie,
        table_id=flow.table.id,
        priority=flow.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=match_of(flow.match),
        instructions=instructions,
    )


def serialised(message: Any, xid: int) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


# --- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", some.OS_KENS)
def test_every_field_is_matched_and_set_as_os_ken_does(field: str) -> None:
    ones = (1 << some.bits(field)) - 1
    for value in (0, 1, ones, ones >> 1, (1, 1), (ones, ones), (0, 0)):
        actions = () if isinstance(value, tuple) else (SetField(field, value),)
        flow = Flow(Table.CLASSIFY, 1, {field: value}, actions)
        cookie, body = codec.encode_flow(flow, 1)
        ours = codec.message(codec.FLOW_MOD, 7, body)
        assert ours == serialised(flow_mod_of(flow, cookie), 7)


@given(group=some.groups, exists=st.booleans(), xid=some_xids)
def test_group_mods_equal_os_kens(group: Failover, exists: bool, xid: int) -> None:
    key, body = groups_meters.encode(group, 1)
    buckets = [
        parser.OFPBucket(0, bucket.watch, ofp.OFPG_ANY, [action_of(a) for a in bucket.actions])
        for bucket in group.buckets
    ]
    command = ofp.OFPGC_MODIFY if exists else ofp.OFPGC_ADD
    same = parser.OFPGroupMod(DATAPATH, command, ofp.OFPGT_FF, group.group, buckets)
    assert groups_meters.set_slot(xid, key, body, exists=exists) == serialised(same, xid)
    gone = parser.OFPGroupMod(DATAPATH, ofp.OFPGC_DELETE, ofp.OFPGT_FF, group.group, [])
    assert groups_meters.delete_slot(xid, key) == serialised(gone, xid)
    described = struct.pack("!HBxI", 8 + len(body), ofp.OFPGT_FF, group.group) + body
    reply = codec.message(codec.MULTIPART_REPLY, xid, struct.pack("!HH4x", 7, 0) + described)
    assert groups_meters.read_group_desc(reply) == ([key], False)
    assert not groups_meters.is_flow(key)


@given(limit=some.limits, exists=st.booleans(), xid=some_xids)
def test_meter_mods_equal_os_kens(limit: Limit, exists: bool, xid: int) -> None:
    key, body = groups_meters.encode(limit, 1)
    flags = {Of.PACKETS: ofp.OFPMF_PKTPS, Of.KILOBITS: ofp.OFPMF_KBPS}[limit.of] | ofp.OFPMF_BURST
    bands = [parser.OFPMeterBandDrop(limit.rate, limit.burst)]
    command = ofp.OFPMC_MODIFY if exists else ofp.OFPMC_ADD
    same = parser.OFPMeterMod(DATAPATH, command, flags, limit.meter, bands)
    assert groups_meters.set_slot(xid, key, body, exists=exists) == serialised(same, xid)
    gone = parser.OFPMeterMod(DATAPATH, ofp.OFPMC_DELETE, 0, limit.meter, [])
    assert groups_meters.delete_slot(xid, key) == serialised(gone, xid)
    band = struct.pack("!HHII4x", ofp.OFPMBT_DROP, 16, limit.rate, limit.burst)
    told = struct.pack("!HHI", 8 + len(band), flags, limit.meter) + band
    reply = codec.message(codec.MULTIPART_REPLY, xid, struct.pack("!HH4x", 10, 0) + told)
    assert groups_meters.read_meter_config(reply) == ([key], False)
    assert groups_meters.limit_of(key) == limit
    assert not groups_meters.is_flow(key)


@given(limit=some.limits, other=some.limits)
def test_another_meter_has_another_key_and_the_same_slot(limit: Limit, other: Limit) -> None:
    """Whatever differs but for its id; so a meter that changes is changed where it is."""
    key = groups_meters.meter_key(limit)
    for part in Limit._fields:
        variant = limit._replace(**{part: getattr(other, part)})
        changed = groups_meters.meter_key(variant)
        assert (changed == key) == (variant == limit)
        assert (groups_meters.slot(changed) == groups_meters.slot(key)) == (
            variant.meter == limit.meter
        )


@given(flow=some.flows, app_id=st.integers(0, 254), xid=some_xids)
def test_flow_mods_equal_os_kens(flow: Flow, app_id: int, xid: int) -> None:
    cookie, body = codec.encode_flow(flow, app_id)
    assert codec.message(codec.FLOW_MOD, xid, body) == serialised(flow_mod_of(flow, cookie), xid)


@given(flow=some.flows, bundle=some.numbers(32), xid=some_xids)
def test_flow_mods_in_a_bundle_equal_os_kens(flow: Flow, bundle: int, xid: int) -> None:
    cookie, body = codec.encode_flow(flow, 1)
    inner = flow_mod_of(flow, cookie)
    inner.set_xid(xid)
    flags = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED
    theirs = serialised(parser.OFPBundleAddMsg(DATAPATH, bundle, flags, inner, []), xid)
    assert codec.bundle_flow_mods(xid, bundle, [body]) == theirs


@given(bundle=some.numbers(32), xid=some_xids)
def test_bundle_control_equals_os_kens(bundle: int, xid: int) -> None:
    flags = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED
    for ours, theirs in (
        (codec.BUNDLE_OPEN, ofp.OFPBCT_OPEN_REQUEST),
        (codec.BUNDLE_COMMIT, ofp.OFPBCT_COMMIT_REQUEST),
        (codec.BUNDLE_DISCARD, ofp.OFPBCT_DISCARD_REQUEST),
    ):
        control = parser.OFPBundleCtrlMsg(DATAPATH, bundle, theirs, flags, [])
        assert codec.bundle_control(xid, bundle, ours) == serialised(control, xid)


@given(cookie=some.numbers(64), table=some.numbers(8), xid=some_xids)
def test_deletes_by_cookie_equal_os_kens(cookie: int, table: int, xid: int) -> None:
    delete = parser.OFPFlowMod(
        DATAPATH,
        command=ofp.OFPFC_DELETE,
        table_id=table,
        cookie=cookie,
        cookie_mask=(1 << 64) - 1,
        priority=0,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
    )
    ours = codec.message(codec.FLOW_MOD, xid, codec.delete_flow(cookie, table))
    assert ours == serialised(delete, xid)


@given(xid=some_xids, table=st.integers(0, 254), cookie=some.numbers(64), mask=some.numbers(64))
def test_requests_equal_os_kens(xid: int, table: int, cookie: int, mask: int) -> None:
    stats = parser.OFPFlowStatsRequest(
        DATAPATH,
        table_id=table,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        cookie=cookie,
        cookie_mask=mask,
    )
    assert codec.flow_stats_request(xid, table, cookie, mask) == serialised(stats, xid)
    tables = parser.OFPTableStatsRequest(DATAPATH, 0)
    assert codec.table_stats_request(xid) == serialised(tables, xid)
    meter = parser.OFPMeterStatsRequest(DATAPATH, meter_id=cookie & 0xFFFF)
    assert groups_meters.meter_stats_request(xid, cookie & 0xFFFF) == serialised(meter, xid)
    barrier = codec.message(codec.BARRIER_REQUEST, xid)
    assert barrier == serialised(parser.OFPBarrierRequest(DATAPATH), xid)


# One process reads many flows; shrinking would start thousands, and the message names the flow.
@settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(batch=st.lists(some.valid_flows(), min_size=40, max_size=60))
def test_open_vswitch_reads_bytes_as_it_reads_text(batch: list[Flow]) -> None:
    """Learn included. So the bytes are right, and so is what we tell people they mean."""
    need(shutil.which("ovs-ofctl") is not None, "ovs-ofctl")
    printed = ofctl.read_bytes(codec.encode_flow(flow, 1)[1] for flow in batch)
    written = ofctl.read_text(flow.text() for flow in batch)
    assert [ofctl.without_cookie(line) for line in printed] == written
    assert len(printed) == len(batch)


@pytest.fixture
def switch(dummy_ovs: OpenVSwitch) -> Iterator[tuple[OpenVSwitch, Wire]]:
    dummy_ovs.add_bridge("br-int")
    with wire(dummy_ovs, "br-int") as connection:
        yield dummy_ovs, connection


# Shrinking would add thousands of flows, and the message names the flow.
@settings(max_examples=20, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(batch=st.lists(some.valid_flows(), min_size=40, max_size=60))
def test_open_vswitch_tells_flows_as_they_were_written(
    switch: tuple[OpenVSwitch, Wire], batch: list[Flow]
) -> None:
    """Byte by byte: so a flow that somebody modified shows, whenever he did."""
    ovs, connection = switch
    ovs.ofctl("del-flows", "br-int")
    texts = {codec.encode_flow(flow, 1)[0]: flow.text() for flow in batch}
    bodies = dict(codec.encode_flow(flow, 1) for flow in batch)
    assert connection.write(bodies.values()) == []
    held = list(connection.flows())
    assert [texts[stats.cookie] for stats in held if stats.body] == []
    assert len(held) == len({codec.flow_identity(body) for body in bodies.values()})


def test_open_vswitch_tells_all_that_features_want_as_it_was_written(
    switch: tuple[OpenVSwitch, Wire],
) -> None:
    """On each switch of the sample topology: flows, meters and groups."""
    ovs, connection = switch
    engine = Engine(sample(), APPS)
    assert list(engine.run()) and not engine.failed
    for wanted in engine.wanted.values():
        for words in ("del-flows", "del-groups", "del-meters"):
            ovs.ofctl(words, "br-int")
        keys = [key for key in wanted.flows if not groups_meters.is_flow(key)]
        for key in keys:
            connection.send(groups_meters.set_slot(7, key, wanted.flows[key], exists=False))
        bodies = [body for key, body in wanted.flows.items() if groups_meters.is_flow(key)]
        assert connection.write(bodies) == []
        held = list(connection.flows())
        assert not [stats for stats in held if stats.body]
        assert {stats.cookie for stats in held} == wanted.flows.keys() - set(keys)
        told = connection.ask(
            groups_meters.meter_config_request(1), groups_meters.read_meter_config
        )
        told += connection.ask(groups_meters.group_desc_request(1), groups_meters.read_group_desc)
        assert sorted(told) == sorted(keys) != []


# --- cookies -------------------------------------------------------------------------------------


@given(flow=some.flows, app_id=st.integers(0, 254))
def test_cookie_is_the_flow(flow: Flow, app_id: int) -> None:
    cookie, body = codec.encode_flow(flow, app_id)
    assert cookie >> 56 == app_id
    assert cookie != 0
    assert int.from_bytes(body[:8], "big") == cookie
    backwards = dict(reversed(list(flow.match.items())))
    again = Flow(flow.table, flow.priority, backwards, tuple(flow.actions))
    assert codec.encode_flow(again, app_id) == (cookie, body)


@given(flow=some.flows, other=some.flows)
def test_another_flow_has_another_cookie(flow: Flow, other: Flow) -> None:
    """Also when it differs in one part only; and what would replace it in a switch is told."""
    variants = [other, *(flow._replace(**{part: getattr(other, part)}) for part in Flow._fields)]
    cookie, body = codec.encode_flow(flow, 1)
    for variant in variants:
        other_cookie, other_body = codec.encode_flow(variant, 1)
        same_place = variant[:2] == flow[:2] and as_told(variant.match) == as_told(flow.match)
        # Actions are tuples: PushVlan() == PopVlan() in Python, so compare what they say.
        same = same_place and repr(variant.actions) == repr(flow.actions)
        assert (other_cookie == cookie) == same
        assert (codec.flow_identity(body) == codec.flow_identity(other_body)) == same_place


def test_goto_stands_only_at_the_end() -> None:
    with pytest.raises(TypeError, match="Goto"):
        codec.encode_flow(Flow(Table.CLASSIFY, 1, {}, (Goto(Table.OUTPUT), Output(1))), 1)


@pytest.mark.parametrize(("field", "bits"), [("reg0", 32), ("xxreg0", 128)])
def test_a_value_that_does_not_fit_is_an_error(field: str, bits: int) -> None:
    values: tuple[Value, ...] = (-1, 1 << bits, (1 << bits, 1), (1, -1))
    for value in values:
        with pytest.raises(struct.error):
            codec.encode_flow(Flow(Table.CLASSIFY, 1, {field: value}, ()), 1)


def test_every_field_has_a_place_in_a_match() -> None:
    assert ORDER.keys() | fields.PARTS.keys() == OXM.keys()


def test_a_register_is_matched_once() -> None:
    match = {"xreg0": 1, "reg1": 2}
    with pytest.raises(ValueError, match="twice"):
        codec.encode_flow(Flow(Table.CLASSIFY, 1, match, ()), 1)


# --- reading -------------------------------------------------------------------------------------

STATS = "!HBxIIHHHHH2xQQQ"


SECONDS = 9.5


def stats_entry(flow: Flow, cookie: int, packets: int, *others: int) -> bytes:
    """``ofp_flow_stats`` (OpenFlow 1.4, 7.3.5.2) around a flow-mod's own match and instructions.
    ``others``: timeouts, flags, importance."""
    content = encode_match(flow.match) + encode_instructions(flow.actions)
    age = (int(SECONDS), int(SECONDS % 1 * 1e9))
    head = (48 + len(content), flow.table.id, *age, flow.priority, *(others or (0,) * 4))
    return struct.pack(STATS, *head, cookie, packets, packets * 60) + content


def told(entries: bytes, more: bool = False, xid: int = 1) -> bytes:
    head = bytes((0, 1, 0, int(more), 0, 0, 0, 0))
    return codec.message(codec.MULTIPART_REPLY, xid, head + entries)


@given(
    held=st.lists(st.tuples(some.flows, some.numbers(56)), max_size=5),
    more=st.booleans(),
    xid=some_xids,
)
def test_flow_stats_are_read_as_os_ken_reads_them(
    held: list[tuple[Flow, int]], more: bool, xid: int
) -> None:
    cookies = [codec.encode_flow(flow, 1)[0] for flow, _ in held]
    entries = [
        stats_entry(flow, cookie, packets)
        for cookie, (flow, packets) in zip(cookies, held, strict=True)
    ]
    data = told(b"".join(entries), more, xid)
    flows, more_follow = codec.read_flow_stats(data)
    assert more_follow == more
    assert flows == [
        codec.FlowStats(flow.table.id, flow.priority, cookie, b"", packets, packets * 60, SECONDS)
        for cookie, (flow, packets) in zip(cookies, held, strict=True)
    ]
    theirs = parser.OFPFlowStatsReply.parser(
        SimpleNamespace(ofproto_parser=parser), 5, codec.MULTIPART_REPLY, len(data), xid, data
    )
    assert [entry.cookie for entry in theirs.body] == cookies
    assert [entry.packet_count for entry in theirs.body] == [packets for _, packets in held]


@given(flow=some.flows, other=some.flows, timeout=some.numbers(16), where=st.integers(0, 3))
def test_a_flow_that_is_not_what_its_cookie_says_is_told(
    flow: Flow, other: Flow, timeout: int, where: int
) -> None:
    """Whatever it differs in; and it can be removed, and nothing else with it."""
    cookie, body = codec.encode_flow(flow, 1)
    others = [0, 0, 0, 0]
    others[where] = timeout
    variants = [(flow._replace(**{part: getattr(other, part)}), [0] * 4) for part in Flow._fields]
    for variant, flags in [(flow, others), *variants]:
        ((stats,), _) = codec.read_flow_stats(told(stats_entry(variant, cookie, 7, *flags)))
        same = codec.encode_flow(variant, 1)[0] == cookie and not any(flags)
        assert bool(stats.body) != same
        if not same:
            assert codec.cookie(stats.body) == cookie
            theirs = flow_mod_of(variant._replace(actions=()), cookie)
            theirs.command, theirs.cookie_mask = ofp.OFPFC_DELETE_STRICT, (1 << 64) - 1
            ours = codec.message(codec.FLOW_MOD, 7, codec.delete_exactly(stats.body))
            assert ours == serialised(theirs, 7)
    ((stats,), _) = codec.read_flow_stats(told(stats_entry(flow, cookie ^ 1, 7)))
    assert stats.body[8:] == body[8:]


def test_meter_stats_are_read() -> None:
    """OpenFlow 1.4, 7.3.5.12: a meter with a band of each kind, and a switch that has none."""
    bands = struct.pack("!QQQQ", 7, 700, 1, 100)
    entry = struct.pack("!IH6xIQQII", 5, 40 + len(bands), 1, 10, 1000, 3, 500_000_000) + bands
    assert groups_meters.read_meter_stats(told(entry)) == (10, 1000, 8, 800, 3.5)
    assert groups_meters.read_meter_stats(told(b"")) is None


def test_a_broken_flow_stats_entry_is_an_error_and_no_endless_loop() -> None:
    data = told(stats_entry(Flow(Table.CLASSIFY, 0, {}, ()), 0, 0))
    with pytest.raises(ValueError, match="0 bytes"):
        codec.read_flow_stats(data[:16] + b"\0\0" + data[18:])


@given(
    kind=st.integers(0, 0xFFFE), code=some.numbers(16), data=st.binary(max_size=80), xid=some_xids
)
@example(kind=ofp.OFPET_BUNDLE_FAILED, code=ofp.OFPBFC_MSG_FAILED, data=b"", xid=1)
def test_errors_are_read(kind: int, code: int, data: bytes, xid: int) -> None:
    error = parser.OFPErrorMsg(DATAPATH, type_=kind, code=code, data=data)
    read = codec.read_error(serialised(error, xid))
    assert read == codec.SwitchError(xid, kind, code)
    assert f"type {kind}, code {code}" in codec.error_text(read)


@given(kind=some.numbers(8), xid=some_xids, body=st.binary(max_size=40))
def test_headers_read_back(kind: int, xid: int, body: bytes) -> None:
    header = codec.read_header(codec.message(kind, xid, body))
    assert header == (codec.VERSION, kind, 8 + len(body), xid)


def test_learned_tables() -> None:
    learned = (Table.SERVICE_BACK, Table.LB_STICKY, Table.L2_LEARNED, Table.DROPPED)
    assert {table.id for table in learned} == codec.LEARNED_TABLES
