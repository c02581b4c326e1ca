# SPDX-License-Identifier: Apache-2.0

"""The pipeline's contract, and every flow that the features compile held against it."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Literal

import pytest

from tenantry.apps import APPS
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import PIPELINE
from tenantry.controller.openflow.flow import OXM, Ct, Flow, Goto, Learn, Move, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    FIELDS,
    NETWORK,
    OUT_PORT,
    REENTRIES,
    ROUTER_WAY,
    SWITCHED,
    Band,
    Cookie,
    Field,
    Miss,
    Table,
)
from tenantry.controller.sample import pipeline_page
from tenantry.controller.sample.pipeline_page import Compiled
from tenantry.controller.sample.topology import sample

FLOWS = pipeline_page.compiled()
STAGES = {*SWITCHED, *ROUTER_WAY}
VISITED = {
    action.table for one in FLOWS for action in one.flow.actions if isinstance(action, Resubmit)
}
BANDS = (Band.DEFAULT, Band.SPECIFIC, Band.GUARD)
BAND_WIDTH = 100


def test_table_ids_never_change() -> None:
    """Add a table here when you make one; never change a line: switches in use hold flows."""
    assert {table.id: table.name for table in Table} == {
        0: "CLASSIFY",
        10: "PORT_SECURITY",
        12: "SENDER",
        15: "TRAP",
        16: "PUNT_LIMIT",
        20: "FROM_PORT_CT",
        21: "GROUPS",
        22: "FROM_PORT_TRACK",
        23: "ZONES",
        24: "GROUP",
        25: "FROM_PORT_ACL",
        26: "MEMBERS",
        27: "FROM_PORT_VERDICT",
        28: "FAR_END",
        29: "RULES",
        30: "ARP_ND",
        31: "NEIGHBOURS",
        32: "ARP_ND_REPLY",
        33: "IDENTITY",
        34: "ND_REPLY",
        36: "SERVICE",
        37: "SERVICE_BACK",
        38: "FIREWALL_PORT",
        39: "FIREWALL_RULES",
        40: "ROUTER_ADMIT",
        42: "ROUTER_IN",
        44: "ROUTER_SOURCE",
        45: "ROUTER_NAT_IN",
        46: "ROUTER_NAT_IN_DONE",
        55: "ROUTE",
        56: "ROUTE_PATH",
        57: "ROUTER_REPLY",
        60: "NEXT_HOP",
        61: "NEXT_HOP_FOUND",
        62: "ROUTER_FIREWALL",
        63: "ROUTER_FIREWALL_ACL",
        64: "ROUTER_FIREWALL_VERDICT",
        65: "ROUTER_NAT_OUT",
        66: "ROUTER_NAT_REPLY",
        67: "ROUTER_NAT_DONE",
        68: "ROUTER_OUT",
        70: "L2_LOOKUP",
        72: "L2_LEARNED",
        75: "FLOOD",
        76: "FLOOD_PART",
        80: "TO_PORT_CT",
        82: "TO_PORT_TRACK",
        83: "CONNECTION_LIMIT",
        84: "COMMIT",
        85: "TO_PORT_ACL",
        86: "LOG",
        87: "TO_PORT_VERDICT",
        95: "OUTPUT",
    }


def test_app_ids_never_change() -> None:
    """Add an app here when you make one; never change a line: cookies in switches bear the id."""
    assert {app.id: app.name for app in APPS} == {
        0: "pipeline",
        1: "l2",
        2: "provider",
        3: "port_security",
        4: "arp_nd",
        5: "punt",
        6: "dhcp",
        7: "dns",
        8: "metadata",
        9: "service_port",
        10: "security_groups",
        11: "routing",
        12: "nat",
        13: "firewall",
        14: "network_log",
        15: "overlay",
        16: "trunk",
    }
    assert len(APPS) == len({app.name for app in APPS})
    assert all(0 <= app.id < Cookie.LEARNED_APP for app in APPS)


def test_tables_name_apps_and_fields_that_exist() -> None:
    apps = {app.name for app in APPS}
    for table in Table:
        assert {table.owner} | table.contributors <= apps, table
        assert table.owner not in table.contributors, table
        assert table.matches <= OXM.keys(), table


def test_ways_go_forward_to_output() -> None:
    for way in (SWITCHED, ROUTER_WAY):
        assert [table.id for table in way] == sorted(table.id for table in way)
    assert SWITCHED[0] is Table.CLASSIFY
    assert SWITCHED[-1] is Table.OUTPUT
    for table in set(Table) - {Table.OUTPUT}:
        assert table.next.id > table.id
    for table in ROUTER_WAY[:-1]:
        assert table.next in ROUTER_WAY, "nothing that is routed leaves the way by chance"


# --- fields --------------------------------------------------------------------------------------


def words(field: Field) -> set[str]:
    """The 32-bit registers that a field lies in; xreg and xxreg are made of them."""
    register = re.fullmatch(r"(x{0,2})reg(\d+)", field)
    if register is None:
        return {str(field)}
    size = 1 << len(register[1])
    first = int(register[2]) * size
    return {f"reg{number}" for number in range(first, first + size)}


def test_words_of_wide_registers() -> None:
    def made(register: str) -> Field:
        return Field(register, name="", bits=1, spans="", doc="")

    assert words(made("xreg1")) == words(made("reg2")) | words(made("reg3"))
    assert words(made("xxreg0")) == {"reg0", "reg1", "reg2", "reg3"}


def test_no_two_fields_share_a_register_while_both_live() -> None:
    for one, other in combinations(FIELDS, 2):
        both = [table for table in Table if one.alive(table) and other.alive(table)]
        assert not (both and words(one) & words(other)), f"{one.name} and {other.name} in {both}"


def test_fields_fit_their_registers() -> None:
    for field in FIELDS:
        assert field.bits <= OXM[field].bytes * 8
        for first, last in field.spans:
            assert Table[first].id <= Table[last].id


# --- flows ---------------------------------------------------------------------------------------


def ids(one: Compiled) -> str:
    return f"s{one.unit.switch} {one.unit}: {one.flow.text()[:60]}"


each_flow = pytest.mark.parametrize("one", FLOWS, ids=ids)


@each_flow
def test_flow_stands_in_a_table_that_is_open_to_its_app(one: Compiled) -> None:
    table, app = one.flow.table, one.unit.app
    assert not table.learned, "the switch itself fills this table"
    if one.flow.priority == Band.MISS:
        assert not one.flow.match
        assert (table.miss, app.name) in {(Miss.OWN, table.owner), (Miss.NEXT, PIPELINE.name)}
    else:
        assert app.name in {table.owner, *table.contributors}


@each_flow
def test_flow_matches_what_its_table_allows(one: Compiled) -> None:
    assert {str(field) for field in one.flow.match} <= one.flow.table.matches


@each_flow
def test_flow_has_a_priority_of_a_band(one: Compiled) -> None:
    priority = one.flow.priority
    if one.flow.table is Table.FIREWALL_RULES and priority > Band.GUARD + BAND_WIDTH:
        assert priority <= Band.FIRST, "rules in an order that a user gave"
        return
    assert priority == Band.MISS or any(band <= priority < band + BAND_WIDTH for band in BANDS), (
        priority
    )


@each_flow
def test_flow_jumps_forward(one: Compiled) -> None:
    for action in one.flow.actions:
        if isinstance(action, Goto):
            assert may_be_gone_to(action.table)
            assert action.table.id > one.flow.table.id
            assert action is one.flow.actions[-1]
        elif isinstance(action, Resubmit):
            again = (one.flow.table, action.table) in REENTRIES
            assert again or action.table not in STAGES or action.table.id > one.flow.table.id
        elif isinstance(action, Ct):
            if action.table is not None:
                assert may_be_gone_to(action.table) or one.unit.app.name == action.table.owner
                again = (one.flow.table, action.table) in REENTRIES
                assert again or action.table.id > one.flow.table.id
        elif isinstance(action, Learn):
            assert action.table.learned
            assert action.table.id > one.flow.table.id


def may_be_gone_to(table: Table) -> bool:
    """What is visited by resubmit returns to whoever visits it."""
    return table in STAGES or table not in VISITED


@each_flow
def test_flow_reads_and_writes_fields_where_they_live(one: Compiled) -> None:
    table = one.flow.table
    for name in one.flow.match:
        assert living(name, table) is not None, f"reads {name}"
    for action in one.flow.actions:
        if isinstance(action, SetField):
            field = living(action.field, table)
            assert field is not None, f"writes {action.field}"
            assert 0 <= action.value < 1 << (field.bits if field else OXM[action.field].bytes * 8)
        elif isinstance(action, Move):
            assert living(action.source, table) is not None, f"reads {action.source}"
            assert living(action.destination, table) is not None, f"writes {action.destination}"
        elif isinstance(action, Learn):
            for field, source in action.match:
                assert living(field, action.table) is not None, f"matches {field}"
                assert living(str(source), table) is not None, f"reads {source}"
            for field, source in action.load:
                assert field in {NETWORK, OUT_PORT} or living(field, action.table) is not None
                assert living(str(source), table) is not None, f"reads {source}"
            assert Cookie.app_id(action.cookie) == Cookie.LEARNED_APP


def living(name: str, table: Table) -> Field | Literal[False] | None:
    """The field of ours that a register is in this table; False for what is no register, and None
    for one that means nothing here."""
    fields = [field for field in FIELDS if field == name or name in words(field)]
    if not fields:
        return None if "reg" in name else False
    return next((field for field in fields if field.alive(table)), None)


def test_every_table_has_an_answer_to_what_nothing_matched() -> None:
    answers = {(one.unit.switch, one.flow.table) for one in FLOWS if one.flow.priority == Band.MISS}
    for switch in {one.unit.switch for one in FLOWS}:
        for table in Table:
            assert ((switch, table) in answers) == (table.miss is not Miss.DROP), table


def test_no_two_flows_contradict_each_other() -> None:
    engine = Engine(sample(), APPS)
    for _ in engine.run():
        pass
    for wanted in engine.wanted.values():
        assert len(wanted.flows) > 10
        assert wanted.conflicts() == []


def test_learned_cookies_tell_network_and_port_apart() -> None:
    cookies = {Cookie.learned(network, port) for network in (1, 2) for port in (1, 2, 0xFFFF0000)}
    assert len(cookies) == 6
    assert {Cookie.app_id(cookie) for cookie in cookies} == {Cookie.LEARNED_APP}


def test_a_flow_without_actions_reads_as_drop() -> None:
    assert Flow(Table.CLASSIFY, 300, {}, ()).text() == "table=0,priority=300 actions=drop"
