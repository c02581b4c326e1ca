# SPDX-License-Identifier: Apache-2.0

"""openstacksdk, from birth to death of every kind that the API has and it knows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from eventlet.green import subprocess

from tests.api.one_of_each import World, one_of_each, one_of_each_balanced
from tests.api.test_every_attribute import IN_USE
from tests.clients.conftest import Door

PROGRAM = Path(__file__).with_name("sdk.py")

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

UNKNOWN = {
    *("log", "port_association", "security_groups_default_statefulness"),
    "load_balancer_zone",
}
"""Kinds that openstacksdk has nothing for, or not what Neutron has: it finds no id in the second,
whose id is its port's, has another name for the body of the third, and finds no id in the last,
which Octavia knows by its name."""

ONCE = {"agent", "ndp_proxy", "dscp_marking_rule", "minimum_bandwidth_rule"}
"""Kinds of which no more can be made: hosts make agents, the one address has its proxy, and a
policy has one mark, and one minimum here."""


def test_every_kind_from_birth_to_death(door: Door) -> None:
    world = one_of_each(door)
    check(door, world, door.environment, sorted(world.urls.keys() - UNKNOWN - ONCE))


def test_load_balancers_from_birth_to_death(door: Door) -> None:
    """Without a catalogue, their endpoint is told."""
    environment = dict(door.environment)
    if endpoint := environment.get("OS_ENDPOINT"):
        environment["OS_LOAD_BALANCER_ENDPOINT_OVERRIDE"] = f"{endpoint}/load-balancer"
    world = one_of_each_balanced(door)
    check(door, world, environment, [kind for kind in world.urls if kind not in UNKNOWN])


def check(door: Door, world: World, environment: dict[str, str], kinds: list[str]) -> None:
    lives = []
    for kind in kinds:
        collection, body = world.new[kind]
        parent = UUID.search(collection)  # /v2.0/floatingips/ID/port_forwardings
        above = parent[0] if parent else ""
        spec = door.kinds[kind]
        tagged = "tags" in spec.attributes and spec.service is None  # else they are attributes
        lives.append([kind, body, above, tagged, IN_USE.get(kind, {})])
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input="\n".join(json.dumps(life) for life in lives),
        env=environment,
        capture_output=True,
        text=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kind for kind, _ in answers] == [kind for kind, *_ in lives], done.stderr
    found = [f"{kind}: {words}" for kind, wrong in answers for words in wrong]
    assert not found, "\n".join(found)
