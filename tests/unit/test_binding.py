# SPDX-License-Identifier: Apache-2.0

"""Ports and interfaces meet, whichever comes first and however they part."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from tenantry.controller.model import (
    Binding,
    Change,
    Interface,
    Model,
    Placed,
    Port,
    Record,
    Standby,
    SubPort,
    Trunk,
)
from tenantry.controller.model.binding import dpid_text, rebind


def port(id: str = "p", *, network_id: str = "n", host: str = "", interface_name: str = "") -> Port:
    return Port(id, 1, network_id, "project", "", 1, (), True, True, host, interface_name)


def plug(
    switch: int, name: str, ofport: int, iface_id: str = "", host: str | None = None
) -> Interface:
    place = f"host{switch}" if host is None else host
    return Interface((switch, name), switch, name, ofport, place, iface_id, "")


def put(model: Model, *records: Record) -> list[Change]:
    return change(model, *(Change(type(record), record.id, record) for record in records))


def unplug(model: Model, switch: int, name: str) -> list[Change]:
    return change(model, Change(Interface, (switch, name), None))


def change(model: Model, *changes: Change) -> list[Change]:
    """Apply; the changes of bindings that followed."""
    model.apply(changes)
    bound = rebind(model, changes)
    model.apply(bound)
    assert rebind(model, changes) == [], "what is settled stays so"
    return bound


def place(model: Model, port_id: str = "p") -> tuple[int, int] | None:
    """Switch and OpenFlow port where a port is."""
    binding = model.get(Binding, port_id)
    return (binding.switch, binding.ofport) if binding else None


@pytest.mark.parametrize("wished", ["", "host1"])
def test_where_we_have_it_plugged_in_it_is(wished: str) -> None:
    """A host that is lost cannot let go of a port that a worker elsewhere has taken over."""
    model = Model()
    put(model, port(host=wished), plug(1, "wk", 3, "p"), Placed("p", "host1"))
    put(model, Placed("p", "host2"))
    assert place(model) == (1, 3), "nobody else has it yet"
    put(model, plug(2, "wk", 4, "p"))
    assert place(model) == (2, 4)
    put(model, Placed("p", "host1"))
    assert place(model) == (1, 3)
    change(model, Change(Placed, "p", None))
    put(model, Placed("p", "host2"))
    unplug(model, 2, "wk")
    assert place(model) == (1, 3)


def test_port_first() -> None:
    model = Model()
    assert put(model, port()) == []
    (bound,) = put(model, plug(1, "tap", 7, "p"))
    assert bound.record == model.get(Binding, "p")
    binding = model.get(Binding, "p")
    assert binding is not None
    assert (binding.switch, binding.interface, binding.ofport) == (1, "tap", 7)
    assert (binding.network_id, binding.host) == ("n", "host1")
    assert binding.part.startswith("n/")


def test_interface_first() -> None:
    model = Model()
    assert put(model, plug(1, "tap", 7, "p")) == []
    put(model, port())
    assert place(model) == (1, 7)


def test_both_at_once() -> None:
    model = Model()
    put(model, plug(1, "tap", 7, "p"), port())
    assert place(model) == (1, 7)


def test_interfaces_that_are_nobodys_bind_nothing() -> None:
    model = Model()
    assert put(model, port(), plug(1, "tap", 7), plug(1, "tap2", 8, "other")) == []


def test_unplugged() -> None:
    model = Model()
    put(model, port(), plug(1, "tap", 7, "p"))
    assert unplug(model, 1, "tap") == [Change(Binding, "p", None)]


def test_port_deleted_and_made_again() -> None:
    model = Model()
    put(model, port(), plug(1, "tap", 7, "p"))
    assert change(model, Change(Port, "p", None)) == [Change(Binding, "p", None)]
    put(model, port(network_id="m"))
    binding = model.get(Binding, "p")
    assert binding is not None
    assert binding.network_id == "m"


def test_a_new_number_is_followed() -> None:
    model = Model()
    put(model, port(), plug(1, "tap", 7, "p"))
    put(model, plug(1, "tap", 9, "p"))
    assert place(model) == (1, 9)


def test_iface_id_moves_to_another_port() -> None:
    model = Model()
    put(model, port("p"), port("q"), plug(1, "tap", 7, "p"))
    bound = put(model, plug(1, "tap", 7, "q"))
    assert {change.id for change in bound} == {"p", "q"}
    assert (place(model, "p"), place(model, "q")) == (None, (1, 7))
    put(model, plug(1, "tap", 7))
    assert place(model, "q") is None


@pytest.mark.parametrize("appear_first", [True, False])
def test_iface_id_moves_to_another_switch(appear_first: bool) -> None:
    """Live migration: for a while it is on both, and the user's word decides."""
    model = Model()
    put(model, port(host="host1"), plug(1, "tap", 7, "p"))
    if appear_first:
        put(model, plug(2, "tap", 8, "p"))
        assert place(model) == (1, 7)
        put(model, port(host="host2"))
        assert place(model) == (2, 8)
        unplug(model, 1, "tap")
    else:
        unplug(model, 1, "tap")
        assert place(model) is None
        put(model, plug(2, "tap", 8, "p"))
    assert place(model) == (2, 8)


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("host2", (2, 3)),
        ("", (1, 9)),
        ("elsewhere", (1, 9)),
        (dpid_text(2), (2, 3)),
    ],
)
def test_of_two_claimants_one_wins_in_any_order(
    order: tuple[int, ...], host: str, expected: tuple[int, int]
) -> None:
    """The one on ``binding:host_id``, else the first by datapath id and number."""
    records = (port(host=host), plug(1, "tapA", 9, "p"), plug(2, "tapB", 3, "p"))
    model = Model()
    for at in order:
        put(model, records[at])
    assert place(model) == expected
    assert len(model.all(Binding)) == 1


def test_the_loser_takes_over_when_the_winner_goes() -> None:
    model = Model()
    put(model, port(), plug(1, "tapA", 9, "p"), plug(1, "tapB", 8, "p"))
    assert place(model) == (1, 8)
    unplug(model, 1, "tapB")
    assert place(model) == (1, 9)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_by_name_on_a_switch_without_ovsdb(order: tuple[int, ...]) -> None:
    dpid = 0xABC
    records = (
        port(host=dpid_text(dpid), interface_name="s1-eth1"),
        plug(dpid, "s1-eth1", 4, host=""),
    )
    model = Model()
    for at in order:
        put(model, records[at])
    assert place(model) == (dpid, 4)
    put(model, port(host=dpid_text(dpid), interface_name="s1-eth2"))
    assert place(model) is None


def test_by_name_needs_the_right_switch_and_a_host() -> None:
    model = Model()
    put(model, plug(1, "eth1", 4, host=""), plug(2, "eth1", 5, host="host2"))
    put(model, port(host=dpid_text(3), interface_name="eth1"))
    assert place(model) is None
    put(model, port(host="", interface_name="eth1"))
    assert place(model) is None
    put(model, port(host="host2", interface_name="eth1"))
    assert place(model) == (2, 5)
    put(model, port(host=dpid_text(1), interface_name="eth1"))
    assert place(model) == (1, 4)


def test_an_interface_that_belongs_to_a_port_is_not_taken_by_name() -> None:
    model = Model()
    put(model, plug(1, "tap", 4, "q"), port("p", host="host1", interface_name="tap"))
    assert place(model) is None
    put(model, plug(1, "tap", 4))
    assert place(model) == (1, 4)
    put(model, plug(1, "tap", 4, "q"))
    assert place(model) is None


@pytest.mark.parametrize("order", list(permutations(["p", "q", "tap"])))
def test_an_interface_that_two_ports_name_is_the_older_ones(order: tuple[str, ...]) -> None:
    """They may name the place differently: by host, and by datapath id."""
    records = {
        "p": port("p", host="host1", interface_name="tap"),
        "q": replace(port("q", host=dpid_text(1), interface_name="tap"), key=2),
        "tap": plug(1, "tap", 7),
    }
    model = Model()
    for name in order:
        put(model, records[name])
    assert (place(model, "p"), place(model, "q")) == ((1, 7), None)
    put(model, port("p", host="host1", interface_name="other"))
    assert (place(model, "p"), place(model, "q")) == (None, (1, 7))
    put(model, records["p"])
    assert (place(model, "p"), place(model, "q")) == ((1, 7), None)
    change(model, Change(Port, "p", None))
    assert place(model, "q") == (1, 7)


def test_an_interface_to_a_physical_network_is_nobodys() -> None:
    model = Model()
    wire = replace(plug(1, "wire", 7, "p"), physical_network="cable")
    put(model, port("p"), wire)
    assert place(model) is None
    put(model, replace(wire, physical_network=""))
    assert place(model) == (1, 7)


# --- trunks, and ports in two places -------------------------------------------------------------


def trunk(*subs: str, parent: str = "p") -> Trunk:
    ports = tuple(SubPort(id, 10 + number) for number, id in enumerate(subs))
    return Trunk("t", parent, True, ports, frozenset(subs))


@pytest.mark.parametrize("order", [*permutations(range(4))])
def test_a_sub_port_is_where_its_trunks_parent_is(order: tuple[int, ...]) -> None:
    model = Model()
    records = [port(), port("s", network_id="m"), plug(1, "tap", 7, "p"), trunk("s")]
    for number in order:
        put(model, records[number])
    binding = model.get(Binding, "s")
    assert binding is not None
    assert (binding.switch, binding.ofport, binding.vlan, binding.trunk) == (1, 7, 10, "t")
    assert (binding.network_id, binding.interface) == ("m", "tap")
    parent = model.get(Binding, "p")
    assert parent is not None and parent.vlan == 0


def test_sub_ports_come_move_and_go_with_their_trunk() -> None:
    model = Model()
    put(model, port(), port("s"), port("u"), plug(1, "tap", 7, "p"), trunk("s"))
    put(model, trunk("u"))
    assert (place(model, "s"), place(model, "u")) == (None, (1, 7))
    unplug(model, 1, "tap")
    assert place(model, "u") is None
    put(model, plug(2, "tap", 9, "p"))
    assert place(model, "u") == (2, 9)
    change(model, Change(Trunk, "t", None))
    assert (place(model), place(model, "u")) == ((2, 9), None)


def test_a_port_that_may_move_stands_by_where_else_it_is_plugged_in() -> None:
    model = Model()
    moving = replace(port(host="host1"), standby_hosts=frozenset({"host2"}))
    put(model, moving, plug(1, "tap", 7, "p"), plug(2, "tap", 9, "p"), plug(3, "tap", 5, "p"))
    assert place(model) == (1, 7)
    (standby,) = model.all(Standby).values()
    assert (standby.id, standby.host, standby.ofport) == (("p", 2), "host2", 9)
    put(model, replace(moving, host="host2", standby_hosts=frozenset({"host1"})))
    assert place(model) == (2, 9)
    assert set(model.all(Standby)) == {("p", 1)}
    unplug(model, 1, "tap")
    assert not model.all(Standby)


def test_a_port_that_goes_stands_by_nowhere() -> None:
    model = Model()
    moving = replace(port(host="host1"), standby_hosts=frozenset({"host2"}))
    put(model, moving, plug(1, "tap", 7, "p"), plug(2, "tap", 9, "p"))
    change(model, Change(Port, "p", None))
    assert (place(model), dict(model.all(Standby))) == (None, {})
