# SPDX-License-Identifier: Apache-2.0

"""What the log says, for a sample of a model: a few by name, many in one line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tenantry.apps import APPS
from tenantry.controller.feature.app import Unit
from tenantry.controller.model import Binding, Change, Model, Port, View
from tenantry.controller.network.records import HeldDown, Router
from tenantry.controller.network.routers import active
from tenantry.controller.sample.topology import sample
from tenantry.controller.service.follower import Passed
from tenantry.controller.service.journal import Journal
from tenantry.controller.switch.reconcile import Push


class Bench:
    """A journal of the sample, with a clock of the test's own."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="tenantry.controller.service.journal")
        self.log = caplog
        self.now = 0.0
        self.model: Model = sample()
        self.status = dict.fromkeys(map(str, self.model.all(Port)), "ACTIVE")
        self.journal = Journal(self.model, self.status.__getitem__, lambda: self.now)
        self.passes = 0
        everything = [Change(Router, id, r) for id, r in self.model.all(Router).items()]
        self.look(everything)

    def look(self, changes: list[Change]) -> None:
        self.model.apply(changes)
        self.passes += 1
        self.journal.passed(Passed(changes, changes, {}, self.passes))

    def lines(self) -> list[str]:
        found = self.log.messages[:]
        self.log.clear()
        return found

    def bindings(self, *ports: str) -> list[Change]:
        return [Change(Binding, id, self.model.get(Binding, id)) for id in ports]


@pytest.fixture
def bench(caplog: pytest.LogCaptureFixture) -> Bench:
    return Bench(caplog)


def test_a_port_is_active_when_its_switch_has_confirmed_it(bench: Bench) -> None:
    assert bench.lines() == []
    bench.look(bench.bindings("blue-1"))
    bench.look(bench.bindings("red-1"))
    bench.now += 0.04
    bench.journal.confirmed(1, bench.passes - 1)
    assert bench.lines() == [
        "port blue-1 (blue-1) is ACTIVE at tap-blue-1 of s1 on host1 after 40 ms"
    ]
    bench.now += 1
    bench.journal.confirmed(2, bench.passes)  # another switch
    bench.journal.confirmed(1, bench.passes)
    bench.journal.confirmed(1, bench.passes)
    assert bench.lines() == [
        "port red-1 (red-1) is ACTIVE at tap-red-1 of s1 on host1 after 1,040 ms"
    ]
    bench.look(bench.bindings("red-1"))  # looked at again, where it was
    bench.journal.confirmed(1, bench.passes)
    assert bench.lines() == []


def test_a_port_that_is_not_active_is_not_said_to_be(bench: Bench) -> None:
    bench.status["blue-1"] = "ERROR"
    bench.look(bench.bindings("blue-1"))
    bench.journal.confirmed(1, bench.passes)
    assert bench.lines() == []


def test_many_ports_are_one_line(bench: Bench) -> None:
    ports = ("blue-1", "blue-any", "green-1", "red-1", "red-2")
    bench.look(bench.bindings(*ports))
    bench.now += 1.9
    bench.journal.confirmed(1, bench.passes)
    assert bench.lines() == ["s1 on host1: 5 ports are ACTIVE, the last after 1,900 ms"]
    bench.look([Change(Binding, id, None) for id in ports])
    assert bench.lines() == ["s1 on host1: 5 ports are DOWN: their interfaces are gone"]


def test_a_port_that_is_unplugged_or_deleted(bench: Bench) -> None:
    bench.look(bench.bindings("blue-1", "red-1"))
    bench.look([Change(Binding, "blue-1", None)])
    bench.journal.confirmed(1, bench.passes)
    down, up = bench.lines()
    assert down == "port blue-1 (blue-1) is DOWN: tap-blue-1 of s1 on host1 is gone"
    assert "red-1" in up
    bench.look([Change(Port, "red-1", None), Change(Binding, "red-1", None)])
    assert bench.lines() == [], "who deletes a port knows"


def test_a_port_that_moves_is_active_where_it_is(bench: Bench) -> None:
    bench.look(bench.bindings("teal-1"))
    here = bench.model.get(Binding, "teal-1")
    assert here is not None
    bench.look([Change(Binding, "teal-1", replace(here, switch=2, interface="tap9"))])
    bench.journal.confirmed(1, bench.passes)
    assert bench.lines() == []
    bench.journal.confirmed(2, bench.passes)
    assert [line.partition(" after")[0] for line in bench.lines()] == [
        "port teal-1 (teal-1) is ACTIVE at tap9 of s2 on host2"
    ]


def test_a_gateway_moves_and_comes_back(bench: Bench) -> None:
    home = active(View(bench.model), "edge")
    assert home in (1, 2)
    other = 3 - home
    bench.look([Change(HeldDown, home, HeldDown(home))])
    assert bench.lines() == [
        f"s{home} on host{home} is no gateway for now: by their tunnels, its peers have lost it",
        f"gateway of router edge (edge) moves from s{home} on host{home} to s{other} on "
        f"host{other}",
    ]
    bench.look([Change(HeldDown, home, None)])
    back, moved = bench.lines()
    assert back == f"s{home} on host{home} may be a gateway again"
    assert moved.endswith(f"from s{other} on host{other} to s{home} on host{home}")


def test_whose_flows_were_mended(bench: Bench) -> None:
    l2 = next(app for app in APPS if app.name == "l2")
    (kind,) = (units for units in l2.units if units.kind == "port")
    units = {Unit(l2, kind, 1, id) for id in ("blue-1", "red-1", "red-2", "green-1")}
    bench.journal.mended(1, Push(added=9, deleted=1), units)
    assert bench.lines() == [
        "s1 on host1: somebody else changed flows: 9 are put back (l2 of port blue-1 (blue-1), l2 "
        "of port green-1 (green-1), l2 of port red-1 (red-1) and 1 more), 1 removed that are not "
        "ours"
    ]
    bench.journal.mended(2, Push(deleted=3), ())
    assert bench.lines()[0].endswith("flows: 0 are put back, 3 removed that are not ours")


def test_switches_come_and_go(bench: Bench) -> None:
    bench.journal.connected(SimpleNamespace(dpid=1, peer="192.0.2.1:5"))
    bench.journal.disconnected(9)
    assert bench.lines() == [
        "switch s1 on host1 (0000000000000001) is connected from 192.0.2.1:5",
        "switch 0000000000000009 is lost; it goes on with the flows it has",
    ]
