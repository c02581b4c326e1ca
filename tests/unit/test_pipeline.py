# SPDX-License-Identifier: Apache-2.0

"""The pipeline's contract, and every flow that the features compile held against it."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path as File

import pytest

from tenantry.apps import APPS
from tenantry.apps.l2.tables import NO_WAY_OUT
from tenantry.apps.punt.tables import TOO_MUCH_TO_ANSWER
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import PIPELINE
from tenantry.controller.model import Change, Interface, View
from tenantry.controller.openflow.contract import Priorities
from tenantry.controller.openflow.drops import UNFORESEEN, Account, Whose, account, drop
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Bucket,
    Failover,
    Flow,
    Goto,
    Group,
    Learn,
    Limit,
    Match,
    Meter,
    Move,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Cookie, MeterUse
from tenantry.controller.openflow.oxm import OXM
from tenantry.controller.openflow.pipeline import (
    DROP_CAUSE,
    FIELDS,
    IN_PORT,
    MISS,
    NETWORK,
    OUT_PORT,
    REENTRIES,
    ROUTED_PATH,
    SWITCHED_PATH,
    Field,
    Miss,
    Path,
    Table,
)
from tenantry.controller.sample import pipeline_page
from tenantry.controller.sample.pipeline_page import Compiled
from tenantry.controller.sample.topology import sample
from tests.contract import CAUSES, EVERY_FIELD, OWNERS, breaches, drops, split, words

FLOWS = pipeline_page.compiled()
ROOT = File(__file__).parents[2]


def test_table_ids_never_change() -> None:
    """Add a table here when you make one; never change a line: switches in use hold flows."""
    assert {table.id: table.name for table in Table} == {
        0: "CLASSIFY",
        5: "FROM_PORT_QOS",
        6: "FROM_PORT_PACKETS",
        10: "PORT_SECURITY",
        12: "SENDER",
        14: "LB_ITSELF",
        15: "TRAP",
        16: "PUNT_LIMIT",
        17: "VIP",
        18: "LOCAL_IP",
        19: "HEALTH",
        20: "FROM_PORT_CT",
        21: "SG_IDENTITY",
        22: "FROM_PORT_TRACK",
        23: "ZONES",
        24: "SG_POLICY",
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
        47: "ROUTER_LB",
        48: "METERING",
        49: "METERING_RULES",
        50: "LB_SPLIT",
        51: "LB_MEMBER",
        52: "LB_STICKY",
        54: "ROUTER_LB_BACK",
        55: "ROUTE",
        56: "ROUTE_PATH",
        57: "ROUTER_REPLY",
        58: "ROUTER_QOS",
        59: "ROUTER_PACKETS",
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
        74: "MULTICAST",
        75: "FLOOD",
        76: "FLOOD_PART",
        77: "FLOOD_COPY",
        78: "FLOOD_BRANCH",
        79: "PVLAN_SENDER",
        80: "TO_PORT_CT",
        81: "PVLAN",
        82: "TO_PORT_TRACK",
        83: "CONNECTION_LIMIT",
        84: "COMMIT",
        85: "TO_PORT_ACL",
        86: "LOG",
        87: "TO_PORT_VERDICT",
        90: "TO_PORT_QOS",
        91: "TO_PORT_PACKETS",
        95: "OUTPUT",
        97: "DROP",
        98: "DROPPED",
        99: "CAPTURE",
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
        17: "pvlan",
        18: "local_ip",
        21: "flavors",
        22: "qos",
        23: "tap",
        25: "multicast",
        26: "flow_export",
        27: "drops",
        28: "counters",
        29: "load_balancer",
        30: "health",
        31: "haproxy",
        32: "certificates",
        24: "metering",
    }
    assert len(APPS) == len({app.name for app in APPS})
    assert all(0 <= app.id < Cookie.LEARNED_APP for app in APPS)


def test_each_table_is_described_by_its_owner_alone() -> None:
    for app in APPS:
        assert all(table.owner == app.name for table in app.tables), app.name
        assert all(table.owner != app.name for table in app.adds_to), app.name
    assert {*OWNERS} == {*Table}


def test_what_features_say_of_tables_are_fields_that_exist() -> None:
    for app in APPS:
        for table, adds in (*app.tables.items(), *app.adds_to.items()):
            assert adds.matches | adds.sets <= OXM.keys(), (app.name, table)
            for name in adds.matches | adds.sets:
                alive = [field for field in EVERY_FIELD if field == name and field.alive(table)]
                assert alive or "reg" not in name.partition("_")[0], (app.name, table, name)


def test_paths_go_forward_to_output() -> None:
    assert [table.id for table in Table] == sorted(table.id for table in Table)
    assert SWITCHED_PATH[0] is Table.CLASSIFY
    assert SWITCHED_PATH[-1] is Table.OUTPUT
    for table in {*Table} - {Table.OUTPUT, Table.DROP}:
        if table.path in (Path.VISITED, Path.LEARNED):
            assert table.miss is not Miss.NEXT, "what is visited returns"
        else:
            assert table.miss is not Miss.RETURN, "nobody waits for it"
            assert table.next.id > table.id
    for table in ROUTED_PATH[:-1]:
        assert table.next in ROUTED_PATH, "nothing that is routed leaves the path by chance"
    assert ROUTED_PATH[-1].next is Table.TO_PORT_CT


def test_every_way_back_is_one_that_a_flow_takes() -> None:
    for table, again in REENTRIES:
        says = (app.tables.get(table) or app.adds_to.get(table) for app in APPS)
        assert any(adds and again in adds.leads_to for adds in says), (table, again)
        assert again.id <= table.id


# --- ladders -------------------------------------------------------------------------------------


def test_a_ladder_over_which_data_could_climb_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="Leaky: GUARD lies within PREFIX"):

        class Leaky(Priorities):
            GUARD = 300
            PREFIX = range(100, 357, 2)

    with pytest.raises(ValueError, match="lies within"):

        class Falling(Priorities):
            LIST = range(60_000, 99, -1)
            NOTHING = 100

    with pytest.raises(ValueError, match="lies within"):

        class Meeting(Priorities):
            ONE = range(100, 201, 2)
            OTHER = range(200, 301, 2)


def test_a_ladder_has_its_rungs_and_refuses_what_is_beyond_a_range() -> None:
    class Sound(Priorities):
        MISS = 0
        PREFIX = range(100, 357, 2)
        EXCEPTION = range(101, 358, 2)
        GUARD = 358
        OTHER_GUARD = 358

    assert [name for name, _ in Sound.rungs()] == [
        *("GUARD", "OTHER_GUARD", "EXCEPTION", "PREFIX", "MISS")
    ]
    assert Sound.PREFIX[128] < Sound.GUARD
    with pytest.raises(IndexError):
        Sound.PREFIX[129]
    assert all(map(Sound.has, (0, 100, 356, 357, 358)))
    assert not any(map(Sound.has, (1, 99, 359)))


def test_what_follows_from_data_is_these_and_no_other() -> None:
    """A rung that is a range is worth a look: how many places there can be, and what is above."""
    ladders = {about.priorities for app in APPS for about in app.tables.values()}
    ranges = {
        (ladder.__name__, name): len(rung)
        for ladder in ladders
        for name, rung in ladder.rungs()
        if len(rung) > 1
    }
    assert ranges == {
        ("RoutePriority", "PREFIX"): 129,
        ("RoutePriority", "EXCEPTION"): 129,
        ("RoutePathPriority", "PREFIX"): 129,
        ("RulesPriority", "RULE"): 91,
        ("FirewallRulesPriority", "RULE"): 59_900,
        ("VipPriority", "NEW"): 129,
        ("RouterLbPriority", "NEW"): 129,
        ("RouterLbPriority", "NEW_IN_FRAGMENTS"): 129,
        ("VipPriority", "NEW_IN_FRAGMENTS"): 129,
        ("SplitPriority", "TIER"): 16,
    }


def _calculated(source: str) -> list[str]:
    """Priorities in a source text that are no rung: numbers, and sums with rungs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Flow":
            priority = node.args[1] if len(node.args) > 1 else node
            if not isinstance(priority, ast.Attribute | ast.Subscript | ast.Name):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.BinOp | ast.UnaryOp | ast.AugAssign):
            terms = [ast.unparse(term) for term in ast.iter_child_nodes(node)]
            if any(_is_rung(term.partition("[")[0].split(".")) for term in terms):
                found.append(ast.unparse(node))
    return found


def _is_rung(names: list[str]) -> bool:
    *_, ladder, rung = ("", *names)
    return rung in ("priority", "MISS") or (ladder.endswith(("Priority", "OneRung", "rung")))


SOURCES = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in ("controller", "apps")
    for file in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("file", SOURCES)
def test_no_priority_is_calculated(file: str) -> None:
    assert _calculated((ROOT / file).read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "Flow(Table.ROUTE, 300, {}, ())",
        "Flow(Table.ROUTE, RoutePriority.PREFIX + 2 * length, {}, ())",
        "Flow(Table.ROUTE, RoutePriority.PREFIX[length] + 1, {}, ())",
        "above = rung.MISS + 1",
        "priority += 1",
    ],
)
def test_sees_a_calculated_priority(source: str) -> None:
    assert _calculated(source)


# --- fields --------------------------------------------------------------------------------------


def test_words_of_wide_registers() -> None:
    def made(register: str) -> Field:
        return Field(register, "", "", "")

    assert words(made("xreg1")) == words(made("reg2")) | words(made("reg3"))
    assert words(made("xxreg0")) == {"reg0", "reg1", "reg2", "reg3"}


def test_no_two_fields_share_a_register_while_both_live() -> None:
    for one, other in combinations(EVERY_FIELD, 2):
        both = [table for table in Table if one.alive(table) and other.alive(table)]
        assert not (both and words(one) & words(other)), f"{one.name} and {other.name} in {both}"


def test_fields_fit_their_registers() -> None:
    for field in EVERY_FIELD:
        assert field.bits <= OXM[field].bytes * 8
        for first, last in field.spans:
            assert Table[first].id <= Table[last].id
    assert len({field.name for field in EVERY_FIELD}) == len(EVERY_FIELD)


def test_a_field_in_the_list_is_one_that_several_features_read() -> None:
    """What one feature alone matches or sets is declared in its own tables.py."""
    for field in FIELDS:
        users = {
            app.name
            for app in APPS
            for table, adds in (*app.tables.items(), *app.adds_to.items())
            if (field.alive(table) and field in adds.matches | adds.sets)
            or (field is DROP_CAUSE and adds.drops)
        }
        assert len(users) > 1, f"{field.name}: {users}"


# --- flows ---------------------------------------------------------------------------------------


def ids(one: Compiled) -> str:
    return f"s{one.unit.switch} {one.unit}: {one.flow.text()[:60]}"


@pytest.mark.parametrize("one", FLOWS, ids=ids)
def test_flow_does_what_its_table_allows(one: Compiled) -> None:
    assert [*breaches(one.unit.app, one.flow, {})] == []


@pytest.mark.parametrize(
    ("app", "flow", "word"),
    [
        ("l2", (Table.L2_LEARNED, 100, {}, ()), "fills"),
        ("l2", (Table.CLASSIFY, 150, {}, ()), "rung"),
        ("l2", (Table.TRAP, 0, {}, ()), "another answers"),
        ("l2", (Table.CLASSIFY, 100, {}, ()), "names no cause"),
        ("l2", (Table.FLOOD, 100, {}, (Resubmit(Table.FLOOD_PART),)), "names no cause"),
        ("l2", (Table.CLASSIFY, 100, {}, drop(NO_WAY_OUT)), "drops for"),
        ("punt", (Table.CLASSIFY, 100, {}, drop(TOO_MUCH_TO_ANSWER)), "nothing to do"),
        ("punt", (Table.PUNT_LIMIT, 100, {}, drop(TOO_MUCH_TO_ANSWER)), "drops for"),
        ("l2", (Table.OUTPUT, 100, {}, (Meter(1),)), "no cause is that of the meter"),
        ("l2", (Table.L2_LOOKUP, 0, {NETWORK: 1}, ()), "matches nothing"),
        ("l2", (Table.TRAP, 100, {}, ()), "nothing to do"),
        ("l2", (Table.CLASSIFY, 100, {"ipv4_src": 1}, ()), "matches"),
        ("l2", (Table.CLASSIFY, 100, {}, (SetField("eth_src", 1),)), "sets"),
        ("l2", (Table.CLASSIFY, 100, {}, (Move("eth_src", "eth_dst", 48),)), "sets"),
        ("l2", (Table.CLASSIFY, 100, {}, (Goto(Table.OUTPUT),)), "leads to"),
        ("l2", (Table.OUTPUT, 100, {}, (Goto(Table.FLOOD),)), "goes back"),
        ("l2", (Table.CLASSIFY, 100, {OUT_PORT: 1}, ()), "means nothing"),
        ("l2", (Table.CLASSIFY, 100, {}, (Move("reg9", "reg14", 32),)), "means nothing"),
        ("l2", (Table.CLASSIFY, 100, {}, (SetField(NETWORK, 1 << 32),)), "bits"),
        ("nat", (Table.ROUTE, 100, {"xxreg0": 1}, ()), "own"),
        ("arp_nd", (Table.ARP_ND, 100, {}, (Goto(Table.NEIGHBOURS),)), "returns"),
        (
            "arp_nd",
            (Table.ARP_ND, 100, {}, (Goto(Table.ARP_ND_REPLY), Resubmit(Table.NEIGHBOURS))),
            "before it is done",
        ),
        (
            "l2",
            (
                *(Table.CLASSIFY, 100, {}),
                (Learn(Table.L2_LEARNED, (("eth_type", 1),), ((IN_PORT, 1),), 1, 1, 1),),
            ),
            "learns",
        ),
    ],
)
def test_sees_what_breaks_the_contract(
    app: str, flow: tuple[Table, int, Match, Actions], word: str
) -> None:
    (one,) = (one for one in APPS if one.name == app)
    assert any(word in breach for breach in breaches(one, Flow(*flow), {}))


def test_sees_what_a_group_does() -> None:
    flow = Flow(Table.OUTPUT, 100, {}, (Group(7),))
    actions: tuple[Action, ...] = (SetField("eth_src", 1), Resubmit(Table.CLASSIFY))
    (l2,) = (one for one in APPS if one.name == "l2")
    (none,) = breaches(l2, flow, {7: Failover(7, ())})
    assert none.startswith("goes nowhere")
    found = [*breaches(l2, flow, {7: Failover(7, (Bucket(1, actions),))})]
    assert [breach.split()[0] for breach in found] == ["sets", "leads", "goes"]


def test_where_there_are_no_tunnels_no_group_has_nothing_to_watch() -> None:
    """Two gateways of a router, of which neither can see the other."""
    model = sample()
    model.apply([Change(Interface, id, None) for id, o in model.all(Interface).items() if o.tunnel])
    engine = Engine(model, APPS)
    for _ in engine.run():
        pass
    view = View(model)
    for switch in engine.wanted:
        units = engine.units(switch)
        yields = [(u, item) for u in units for item in u.units.compile(view, switch, u.id)]
        groups = {item.group: item for _, item in yields if isinstance(item, Failover)}
        assert all(group.buckets for group in groups.values())
        flows = [(unit, item) for unit, item in yields if isinstance(item, Flow)]
        used = {act.id for _, flow in flows for act in flow.actions if isinstance(act, Group)}
        assert used == groups.keys()
        assert [b for unit, flow in flows for b in breaches(unit.app, flow, groups)] == []


def test_every_table_has_an_answer_to_what_nothing_matched() -> None:
    answers = {(one.unit.switch, one.flow.table) for one in FLOWS if one.flow.priority == MISS}
    for switch in {one.unit.switch for one in FLOWS}:
        for table in Table:
            assert ((switch, table) in answers) == (table.miss is not Miss.RETURN), table


def test_no_two_flows_contradict_each_other() -> None:
    engine = Engine(sample(), APPS)
    for _ in engine.run():
        pass
    for wanted in engine.wanted.values():
        assert len(wanted.flows) > 10
        assert wanted.conflicts() == []


def test_causes_are_numbered_and_named_once_and_are_those_of_a_feature() -> None:
    assert len({cause.number for cause in CAUSES.values()}) == len(CAUSES)
    assert len({cause.name for cause in CAUSES.values()}) == len(CAUSES)
    said = {app.id: {*drops(app)} for app in APPS} | {PIPELINE.id: {UNFORESEEN}}
    for cause in CAUSES.values():
        assert cause in said[cause.number >> 8], cause
        assert cause.number & 0xFF, cause


def test_every_cause_is_one_that_some_flow_of_the_sample_names_or_that_groups_do() -> None:
    """A cause that no flow can name is not offered."""
    named = {split(one.flow.actions)[1] for one in FLOWS}
    unnamed = {
        cause.name
        for value, cause in CAUSES.items()
        if value not in named and cause.whose is not Whose.METER
    }
    assert unnamed <= {"not_the_gateway", "other_scope"}, unnamed


def test_a_cause_of_meters_says_which_they_are() -> None:
    """Or its meters are shared, and nobody's account."""
    kinds = {app.id: {units.kind for units in app.units} for app in APPS}
    for cause in CAUSES.values():
        assert {kind for kind, _ in cause.meters} <= kinds[cause.number >> 8], cause
    meters = {cause.name: cause.meters for cause in CAUSES.values() if cause.whose is Whose.METER}
    assert {name for name, uses in meters.items() if not uses} == {"too_many_connections"}
    uses = [(cause.number >> 8, *one) for cause in CAUSES.values() for one in cause.meters]
    assert len({*uses}) == len(uses), "one cause each"


def test_an_account_says_what_was_learned() -> None:
    """The match of each kind of flow that DROP has the switch learn, with the cause that it is."""
    for one in FLOWS:
        for action in one.flow.actions if one.flow.table is Table.DROP else ():
            if isinstance(action, Learn):
                kind, _ = one.flow.match[DROP_CAUSE]
                match = {field: 7 for field, _ in action.match} | {DROP_CAUSE: kind | 0x0301}
                (whose,) = (whose for whose in Whose if whose.number == kind >> 16)
                fields = dict.fromkeys(whose.fields, 7)
                assert account(match) == Account(0x0301, whose, fields)
    assert account({DROP_CAUSE: 0x00020301}) is None
    assert account({IN_PORT: 1}) is None


def test_a_meter_is_of_the_unit_whose_flows_use_it() -> None:
    """A switch refuses a flow whose meter it has not got yet, and of another unit it might come
    later: units are computed in slices, between which what is there is sent."""
    model, uses = sample(), set()
    view = View(model)
    for unit in {one.unit for one in FLOWS}:
        items = [*unit.units.compile(view, unit.switch, unit.id)]
        meters = {item.meter for item in items if isinstance(item, Limit)}
        used = {
            action.id
            for item in items
            if isinstance(item, Flow)
            for action in item.actions
            if isinstance(action, Meter)
        }
        assert used <= meters, unit
        uses |= {meter >> 24 for meter in used}
    assert {MeterUse.PUNT, MeterUse.TO_MANY, MeterUse.FROM_PORT_BITS} <= uses


def test_learned_cookies_tell_network_and_port_apart() -> None:
    cookies = {Cookie.learned(network, port) for network in (1, 2) for port in (1, 2, 0xFFFF0000)}
    assert len(cookies) == 6
    assert {Cookie.app_id(cookie) for cookie in cookies} == {Cookie.LEARNED_APP}


def test_a_flow_without_actions_reads_as_drop() -> None:
    assert Flow(Table.CLASSIFY, 300, {}, ()).text() == "table=0,priority=300 actions=drop"
