# SPDX-License-Identifier: Apache-2.0

"""The drill, as operators run it, only shorter; and that it tells when something is wrong."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tenantry.controller.cli import drill
from tenantry.controller.cli.drill import DrillError, Result, judge
from tenantry.controller.cli.traffic import Heard
from tests import namespace
from tests.conftest import need

PACKETS = 1000
PER_SECOND = 250
"""So that no buffer is full when the machine keeps the switch waiting for a second."""


@pytest.fixture(autouse=True)
def _root() -> None:
    need(namespace.allowed(), "right to make network namespaces (root)")


@pytest.mark.parametrize("event", ["restart", "reconnect", "tamper"])
def test_no_packet_is_lost(event: str) -> None:
    result = drill.drill(event, PACKETS, PER_SECOND)
    assert result.sent >= 2 * PACKETS
    assert (result.lost, result.duplicates, result.leaked) == (0, 0, 0), result.describe()
    assert result.passed


def test_a_switch_that_lost_its_flows_delivers_nothing_that_is_forbidden() -> None:
    result = drill.drill("ovs-restart", PACKETS, PER_SECOND)
    assert result.lost, "the drill did not see that the switch was gone"
    assert (result.lost_afterwards, result.leaked) == (0, 0), result.describe()
    assert result.passed


MISTAKE = f"""
import json
from tenantry.controller.cli import drill, plug

def mistake(stage):
    '''one guest's packets go to another tenant, for as long as the controller is away'''
    stage.kill_controller()
    one, stranger = (
        plug.run(f"ovs-vsctl get Interface {{guest.plugged.interface}} ofport").strip()
        for guest in (stage.one, stage.stranger)
    )
    leak = f"table=0,priority=60000,in_port={{one}},actions=output:{{stranger}}"
    plug.run(f"ovs-ofctl -O OpenFlow14 add-flow br-int {{leak}}")
    stage.start_controller()

drill.EVENTS["mistake"] = mistake
print(json.dumps(drill.play("mistake", {PACKETS}, {PER_SECOND}).as_dict()))
"""


def test_a_leak_and_a_loss_are_seen() -> None:
    words = [*drill.STAGE, sys.executable, "-c", MISTAKE]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    result = Result(**json.loads(done.stdout))
    assert result.lost
    assert result.leaked
    assert not result.passed


def test_an_unknown_event_is_named() -> None:
    with pytest.raises(DrillError, match="no drill earthquake; there are restart, reconnect"):
        drill.drill("earthquake")


MS = 1_000_000


def heard(number: int, sent: int, *arrivals: tuple[int, int, int, int]) -> Heard:
    """Arrivals with times in milliseconds."""
    in_ns = [(who, packet, sent * MS, come * MS) for who, packet, sent, come in arrivals]
    return Heard(number, sent, 0, in_ns)


def test_judging() -> None:
    one = heard(1, 4, *((2, n, n, n + 1) for n in range(4)))
    # Packet 1 is lost, packet 2 comes twice and late; -1 is a broadcast, which nobody counts.
    two = heard(2, 4, (1, 0, 0, 1), (1, -1, 1, 2), (1, 2, 2, 9), (1, 2, 2, 9), (1, 3, 3, 10))
    quiet = [heard(3, 1), heard(4, 1)]
    result = judge("restart", [one, two, *quiet], start=0, began=2 * MS, whole=6 * MS)
    assert result == Result("restart", 8, 1, 1, 0, 1, 8.0, 7.0, 1.0, 0.004, 0)
    assert not result.passed
    # Who is heard that must not be, at the guests or at an intruder's interface.
    two.arrivals.append((3, 0, 0, 0))
    spied = [replace(quiet[0], frames=2), quiet[1]]
    assert judge("restart", [one, two, *spied], 0, 2 * MS, 6 * MS).leaked == 3
    # A switch that restarts may lose packets, but none when it is whole again.
    died = judge("ovs-restart", [one, heard(2, 4, *two.arrivals[:-1]), *quiet], 0, 0, 0)
    assert (died.lost, died.lost_afterwards, died.passed) == (1, 1, False)
