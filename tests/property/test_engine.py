# SPDX-License-Identifier: Apache-2.0

"""The engine against its oracle: after any history, what is kept up equals what is made afresh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.apps import APPS
from tenantry.apps.overlay import OVERLAY
from tenantry.apps.overlay.rows import Tunnels
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import App, Unit, Units
from tenantry.controller.feature.ovsdb_rows import Row
from tenantry.controller.model import (
    Change,
    Interface,
    Model,
    Network,
    Port,
    Switch,
    View,
    derived,
)
from tenantry.controller.openflow.flow import Flow, Output, SetField
from tenantry.controller.openflow.groups_meters import is_flow
from tenantry.controller.openflow.pipeline import OUT_PORT, Table
from tests.property import histories


def run(engine: Engine) -> None:
    for _ in engine.run():
        pass


def flows(engine: Engine) -> dict[int, dict[int, bytes]]:
    return {switch: dict(wanted.flows) for switch, wanted in engine.wanted.items()}


ROWS = {OVERLAY.name: Tunnels(100, 4, "").rows}


def rows(engine: Engine) -> dict[int, frozenset[Row]]:
    return {switch: engine.rows(switch) for switch in engine.wanted}


def assert_clean(engine: Engine) -> None:
    """No unit failed, no two flows contradict, nothing is left to do."""
    assert engine.failed == {}
    assert not any(engine._dirty)
    for wanted in engine.wanted.values():
        assert wanted.conflicts() == []


def assert_no_leaks(engine: Engine, model: Model) -> None:
    """Whoever reads something, and every query, is there for a reason that a fresh engine has."""
    fresh = Engine(model, engine.apps, engine.wants_rows)
    run(fresh)
    assert rows(fresh) == rows(engine)

    def shape(one: Engine) -> tuple[object, ...]:
        def name(read: object) -> object:
            function, args = getattr(read, "function", None), getattr(read, "args", None)
            return (function, args) if function else read

        readers = {name(read): len(nodes) for read, nodes in one._readers.items()}
        shared = {switch: wanted._shared for switch, wanted in one.wanted.items()}
        units = {switch: {str(unit) for unit in one.units(switch)} for switch in one.wanted}
        return readers, set(one._queries), shared, units

    assert shape(engine) == shape(fresh)


# --- the features' own flows ---------------------------------------------------------------------


@given(history=histories.batches)
def test_incremental_equals_recomputed(history: list[list[Change]]) -> None:
    model = Model()
    engine = Engine(model, APPS, ROWS)
    for batch in history:
        engine.touch(histories.apply(model, batch))
        run(engine)
        assert flows(engine) == engine.recompute()
        assert_clean(engine)
    assert_no_leaks(engine, model)


@given(history=histories.batches, data=st.data())
def test_any_order_gives_the_same(history: list[list[Change]], data: st.DataObject) -> None:
    """Also in any batches, and by any way that led there."""
    model = Model()
    engine = Engine(model, APPS)
    for batch in history:
        engine.touch(histories.apply(model, batch))
        run(engine)
    order = data.draw(st.permutations(histories.everything(model)))
    size = data.draw(st.integers(1, 8))
    other_model = Model()
    other = Engine(other_model, APPS)
    for start in range(0, len(order), size):
        other.touch(histories.apply(other_model, order[start : start + size]))
        run(other)
    assert flows(other) == flows(engine)


@given(history=histories.batches)
def test_touched_is_what_changed(history: list[list[Change]]) -> None:
    model = Model()
    engine = Engine(model, APPS)
    held: dict[int, dict[int, bytes]] = {}
    for batch in history:
        engine.touch(histories.apply(model, batch))
        run(engine)
        now = flows(engine)
        for switch, wanted in engine.wanted.items():
            touched = wanted.take_touched()
            before = held.get(switch, {})
            assert before.keys() ^ now[switch].keys() <= touched
            for cookie in before.keys() & now[switch].keys():
                assert before[cookie] == now[switch][cookie]
            assert wanted.take_touched() == set()
        held = now


@given(history=histories.batches)
def test_a_change_of_nothing_touches_nothing(history: list[list[Change]]) -> None:
    model = Model()
    for batch in history:
        histories.apply(model, batch)
    engine = Engine(model, APPS)
    run(engine)
    for wanted in engine.wanted.values():
        wanted.take_touched()
    engine.touch(histories.apply(model, histories.everything(model)))
    assert not any(engine._dirty)
    assert not any(wanted.touched for wanted in engine.wanted.values())


@given(history=histories.batches)
@settings(max_examples=30)
def test_when_all_is_gone_nothing_is_left(history: list[list[Change]]) -> None:
    model = Model()
    engine = Engine(model, APPS)
    for batch in history:
        engine.touch(histories.apply(model, batch))
        run(engine)
    gone = [change._replace(record=None) for change in histories.everything(model)]
    engine.touch(histories.apply(model, gone))
    run(engine)
    assert engine.wanted == {}
    assert_no_leaks(engine, model)


@given(history=histories.batches)
@settings(max_examples=30)
def test_every_flow_knows_where_it_came_from(history: list[list[Change]]) -> None:
    model = Model()
    engine = Engine(model, APPS)
    for batch in history:
        engine.touch(histories.apply(model, batch))
    run(engine)
    for switch, wanted in engine.wanted.items():
        yielded: dict[int, set[Unit]] = {}
        for unit, _, cookie in engine.flows(switch):
            yielded.setdefault(cookie, set()).add(unit)
            assert cookie in engine.cookies(unit)
        cookies = {key for key in wanted.flows if is_flow(key)}
        assert yielded.keys() == cookies
        origins = engine.origins(switch, cookies)
        assert {cookie: set(units) for cookie, units in origins.items()} == yielded


# --- toy features: what runs when, and what a mistake does ---------------------------------------


class Toy:
    """A feature of one flow a network, with a query between, that counts what runs and fails
    where it is told to: "list", "query NETWORK" or "unit NETWORK"."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.broken: set[str] = set()
        toy = self

        def note(what: str) -> None:
            toy.ran[what] += 1
            if what in toy.broken:
                raise RuntimeError(f"{what} is broken")

        @derived
        def ports(view: View, network_id: str) -> int:
            """How many ports a network has."""
            found = view.find(Port, network_id=network_id)
            note(f"query {network_id}")
            return len(found)

        def networks(view: View, switch: int) -> frozenset[str]:
            ids = view.ids(Network)
            note("list")
            return ids

        def compile(view: View, switch: int, network_id: str) -> Iterator[Flow]:
            network, number = view.get(Network, network_id), ports(view, network_id)
            note(f"unit {network_id}")
            if network is not None:
                match = {"metadata": network.key}
                yield Flow(Table.OUTPUT, 100, match, (SetField(OUT_PORT, number), Output(1)))

        self.app = App(200, "toy", (Units("network", networks, compile),))


def app_of(ids: str, compile: Callable[[View, int, str], Iterable[Flow]]) -> App:
    """A feature with these units (one letter each) on every switch."""
    return App(200, "toy", (Units("unit", lambda view, switch: frozenset(ids), compile),))


def network(id: str, *, mtu: int = 1500) -> Network:
    return Network(id, ord(id), "project", id, True, mtu, "local", None, None)


def port(id: str, network_id: str, *, name: str = "") -> Port:
    return Port(id, 1, network_id, "project", name, 1, (), True, True, "", "")


class Bench:
    """A model with a switch and networks a and b, and an engine that runs a toy."""

    def __init__(self, toy: Toy, *switches: int) -> None:
        self.toy = toy
        self.model = Model()
        self.engine = Engine(self.model, [toy.app])
        self.put(*(Switch(n, "", "") for n in switches or (1,)), network("a"), network("b"))

    def put(self, *records: Switch | Network | Port | Interface) -> Counter[str]:
        """Change records; what ran because of it."""
        return self.change(*(Change(type(record), record.id, record) for record in records))

    def change(self, *changes: Change) -> Counter[str]:
        self.toy.ran.clear()
        self.engine.touch(self.model.apply(changes))
        run(self.engine)
        return Counter(self.toy.ran)

    def failed(self) -> dict[str, str]:
        return {str(unit): error for unit, error in self.engine.failed.items()}


def test_only_what_had_read_a_change_runs_again() -> None:
    bench = Bench(Toy())
    assert bench.put(port("p", "a")) == {"query a": 1, "unit a": 1}
    assert bench.put(network("c")) == {"list": 1, "query c": 1, "unit c": 1}
    assert bench.put(port("p", "b")) == {"query a": 1, "unit a": 1, "query b": 1, "unit b": 1}
    assert bench.change(Change(Network, "c", None)) == {"list": 1}


def test_a_query_is_shared_by_all_that_ask_it() -> None:
    assert Bench(Toy(), 1, 2, 3).put(port("p", "a")) == {"query a": 1, "unit a": 3}


def test_a_query_that_comes_to_the_same_stops_the_wave() -> None:
    bench = Bench(Toy())
    bench.put(port("p", "a"))
    assert bench.put(port("p", "a", name="renamed")) == {"query a": 1}


def test_a_unit_that_fails_yields_nothing_is_named_and_recovers() -> None:
    bench = Bench(Toy())
    sound = dict(bench.engine.wanted[1].flows)
    bench.toy.broken = {"unit a"}
    bench.put(port("p", "a"))
    assert bench.failed() == {"toy network a": "RuntimeError: unit a is broken"}
    assert len(bench.engine.wanted[1].flows) == 1
    assert bench.engine.wanted[1].flows.items() <= sound.items()
    assert {str(unit) for unit, _, _ in bench.engine.flows(1)} == {"toy network b"}
    assert bench.put(port("q", "b")) == {"query b": 1, "unit b": 1}, "others go on"
    bench.toy.broken = set()
    bench.change(Change(Port, "p", None))
    assert bench.failed() == {}
    assert flows(bench.engine) == bench.engine.recompute()
    assert len(bench.engine.wanted[1].flows) == 2


def test_a_flow_that_cannot_be_encoded_fails_its_unit_only() -> None:
    def compile(view: View, switch: int, id: str) -> Iterable[Flow]:
        yield Flow(Table.OUTPUT, 100, {"metadata": 1 << (64 if id == "w" else 0)}, ())

    app = app_of("wr", compile)
    model = Model()
    engine = Engine(model, [app])
    engine.touch(model.apply([Change(Switch, 1, Switch(1, "", ""))]))
    run(engine)
    assert [str(unit) for unit in engine.failed] == ["toy unit w"]
    assert len(engine.wanted[1].flows) == 1


def test_a_query_that_fails_fails_its_readers_and_they_recover() -> None:
    bench = Bench(Toy(), 1, 2)
    bench.toy.broken = {"query a"}
    bench.put(port("p", "a"))
    assert sorted((unit.switch, str(unit)) for unit in bench.engine.failed) == [
        (1, "toy network a"),
        (2, "toy network a"),
    ]
    assert all(len(wanted.flows) == 1 for wanted in bench.engine.wanted.values())
    bench.toy.broken = set()
    bench.put(port("p", "a", name="renamed"))
    assert bench.failed() == {}
    assert flows(bench.engine) == bench.engine.recompute()
    assert_no_leaks(bench.engine, bench.model)


def test_a_unit_list_that_fails_leaves_the_app_without_flows_until_it_recovers() -> None:
    bench = Bench(Toy())
    bench.toy.broken = {"list"}
    bench.put(network("c"))
    assert bench.failed() == {"toy network": "RuntimeError: list is broken"}
    assert bench.engine.wanted[1].flows == {}
    bench.toy.broken = set()
    bench.put(network("d"))
    assert bench.failed() == {}
    assert len(bench.engine.wanted[1].flows) == 4
    assert_no_leaks(bench.engine, bench.model)


@pytest.mark.parametrize("broken", ["list", "query a", "unit a"])
def test_failures_go_with_their_switch(broken: str) -> None:
    bench = Bench(Toy())
    bench.toy.broken = {broken}
    bench.put(port("p", "a"), network("a", mtu=9000), network("c"))
    assert bench.failed()
    bench.change(Change(Switch, 1, None))
    assert bench.failed() == {}
    assert_no_leaks(bench.engine, bench.model)


def test_a_flow_of_several_units_lives_as_long_as_one_of_them() -> None:
    def compile(view: View, switch: int, id: str) -> Iterable[Flow]:
        if view.get(Network, id):
            yield Flow(Table.OUTPUT, 100, {}, ())

    app = app_of("abc", compile)
    model = Model()
    engine = Engine(model, [app])

    def change(*changes: Change) -> None:
        engine.touch(model.apply(changes))
        run(engine)

    change(Change(Switch, 1, Switch(1, "", "")))
    change(*(Change(Network, id, network(id)) for id in "abc"))
    (cookie,) = engine.wanted[1].flows
    assert engine.wanted[1].take_touched() == {cookie}
    assert {unit.id for unit in engine.origins(1, [cookie])[cookie]} == {"a", "b", "c"}
    change(Change(Network, "b", None), Change(Network, "a", None))
    assert set(engine.wanted[1].flows) == {cookie}
    assert engine.wanted[1].take_touched() == set()
    change(Change(Network, "c", None))
    assert engine.wanted[1].flows == {}
    assert engine.wanted[1].take_touched() == {cookie}


def test_contradicting_flows_are_told() -> None:
    def compile(view: View, switch: int, id: str) -> Iterable[Flow]:
        yield Flow(Table.OUTPUT, 100, {"metadata": 1}, (Output(int(id)),))

    app = app_of("12", compile)
    model = Model()
    engine = Engine(model, [app])
    engine.touch(model.apply([Change(Switch, 1, Switch(1, "", ""))]))
    run(engine)
    ((one, other),) = engine.wanted[1].conflicts()
    assert {one, other} == set(engine.wanted[1].flows)


def test_a_query_that_another_lets_go_is_not_lost_to_its_new_reader() -> None:
    """Both run in one wave: ``first`` begins to read ``shared`` just before ``second`` stops."""

    def length(view: View) -> int:
        return view.derive(_count, ())  # type: ignore[no-any-return]

    def _count(view: View) -> int:
        return len(view.ids(Port))

    def mtu(view: View) -> int:
        found = view.get(Network, "a")
        return found.mtu if found else 0

    def second(view: View) -> int:
        return length(view) if mtu(view) == 1500 else 0

    def first(view: View) -> tuple[int, int]:
        counted = length(view) if mtu(view) != 1500 else 0
        return counted, view.derive(second, ())

    def compile(view: View, switch: int, id: str) -> Iterable[Flow]:
        counted, other = view.derive(first, ())
        yield Flow(Table.OUTPUT, 100, {"metadata": 1}, (Output(counted + 1), Output(other + 1)))

    app = app_of("u", compile)
    model = Model()
    engine = Engine(model, [app])

    def put(record: Switch | Network | Port) -> None:
        engine.touch(model.apply([Change(type(record), record.id, record)]))
        run(engine)
        assert flows(engine) == engine.recompute()

    put(Switch(1, "", ""))
    put(network("a"))
    put(network("a", mtu=9000))
    put(port("p", "a"))
    put(network("a"))
    put(port("q", "a"))
    assert_no_leaks(engine, model)


def test_reading_without_an_index_says_what_to_do() -> None:
    with pytest.raises(LookupError, match="INDEXES"):
        View(Model()).find(Port, name="web")
