# SPDX-License-Identifier: Apache-2.0

"""Who rests, and for how long: with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.controller.model import Address, Agent, Change, Health, Model, Switch, Tunnel
from tenantry.controller.network.records import HeldDown
from tenantry.controller.service.follower import Passed
from tenantry.controller.service.holddown import BACK_SECONDS, HoldDown


class Bench:
    """Hosts 1 to 3, each with a switch of that number."""

    def __init__(self) -> None:
        self.model = Model()
        self.now = 0.0
        self.ready = {1, 2, 3}
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.rest = HoldDown(
            self.model, self.put, self.ready.__contains__, self.later, lambda: self.now
        )
        for n in (1, 2, 3):
            self.put([Change(Switch, n, Switch(n, "br-int", f"host{n}", True))])
            agent = Agent(f"agent{n}", f"host{n}", True, "nova", address(n))
            self.put([Change(Agent, agent.id, agent)])

    def put(self, changes: list[Change]) -> None:
        self.model.apply(changes)
        self.rest.passed(Passed(changes, changes, {}, 1))

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, work))

    def say(self, switch: int, of: int, up: bool, *, counts: bool = True) -> None:
        """A switch says of another whether it is up."""
        id = (switch, f"bfd-{of}")
        if counts:
            self.put([Change(Tunnel, id, Tunnel(id))])
        self.put([Change(Health, id, Health(id, switch, address(of), up, up))])

    def wait(self, seconds: float) -> None:
        self.now += seconds
        ripe = [work for at, work in self.due if at <= self.now]
        self.due = [(at, work) for at, work in self.due if at > self.now]
        for work in ripe:
            work()

    @property
    def resting(self) -> set[int]:
        return set(self.model.all(HeldDown))


def address(switch: int) -> Address:
    return Address(4, 0xC0000200 + switch)


def test_one_that_all_have_lost_rests_until_it_has_been_back_for_a_while() -> None:
    bench = Bench()
    bench.say(2, 1, False)
    assert bench.resting == {1}
    bench.say(2, 1, True)
    bench.wait(BACK_SECONDS - 1)
    assert bench.resting == {1}
    bench.wait(1)
    assert bench.resting == set()


def test_one_that_comes_and_goes_begins_anew() -> None:
    bench = Bench()
    bench.say(2, 1, False)
    bench.say(2, 1, True)
    bench.wait(BACK_SECONDS - 1)
    bench.say(2, 1, False)
    bench.wait(2)
    bench.say(2, 1, True)
    bench.wait(BACK_SECONDS - 1)
    assert bench.resting == {1}
    bench.wait(1)
    assert bench.resting == set()


def test_one_that_anybody_sees_does_not_rest() -> None:
    bench = Bench()
    bench.say(3, 1, True)
    bench.say(2, 1, False)
    assert bench.resting == set()
    bench.say(3, 1, False)
    assert bench.resting == {1}


def test_what_a_new_tunnel_says_does_not_count() -> None:
    bench = Bench()
    bench.say(2, 1, False, counts=False)
    assert bench.resting == set()


def test_of_two_that_have_lost_each_other_one_goes_on() -> None:
    bench = Bench()
    bench.say(2, 1, False)
    bench.say(1, 2, False)
    assert bench.resting == {1}


def test_a_switch_that_is_gone_says_nothing() -> None:
    """Its database still has what it said last."""
    bench = Bench()
    bench.say(1, 2, True)
    bench.ready -= {1}
    bench.say(3, 2, False)
    assert bench.resting == {2}


def test_one_that_does_not_hold_its_flows_rests_on() -> None:
    bench = Bench()
    bench.say(2, 1, False)
    bench.ready -= {1}
    bench.say(2, 1, True)
    bench.wait(BACK_SECONDS)
    assert bench.resting == {1}
    bench.ready |= {1}
    bench.wait(1)
    assert bench.resting == set()
