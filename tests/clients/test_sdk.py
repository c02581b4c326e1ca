# SPDX-License-Identifier: Apache-2.0

"""openstacksdk, from birth to death of every kind that the API has and it knows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from eventlet.green import subprocess

from tests.api.one_of_each import one_of_each
from tests.api.test_every_attribute import IN_USE
from tests.clients.conftest import Door

PROGRAM = Path(__file__).with_name("sdk.py")

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

UNKNOWN = {"log", "port_association", "security_groups_default_statefulness"}
"""Kinds that openstacksdk has nothing for, or not what Neutron has: it finds no id in the second,
whose id is its port's, and has another name for the body of the third."""

ONCE = {"agent", "ndp_proxy", "dscp_marking_rule"}
"""Kinds of which no more can be made: hosts make agents, the one address has its proxy, and a
policy has one mark."""


def test_every_kind_from_birth_to_death(door: Door) -> None:
    world = one_of_each(door)
    lives = []
    for kind in sorted(world.urls.keys() - UNKNOWN - ONCE):
        collection, body = world.new[kind]
        parent = UUID.search(collection)  # /v2.0/floatingips/ID/port_forwardings
        above = parent[0] if parent else ""
        tagged = "tags" in door.kinds[kind].attributes
        lives.append([kind, body, above, tagged, IN_USE.get(kind, {})])
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input="\n".join(json.dumps(life) for life in lives),
        env=door.environment,
        capture_output=True,
        text=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kind for kind, _ in answers] == [kind for kind, *_ in lives], done.stderr
    found = [f"{kind}: {words}" for kind, wrong in answers for words in wrong]
    assert not found, "\n".join(found)
