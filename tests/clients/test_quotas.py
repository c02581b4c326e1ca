# SPDX-License-Identifier: Apache-2.0

"""``openstack quota``, which asks a Keystone for projects, and so cannot do without one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eventlet.green import subprocess

from tests.clients.conftest import Door
from tests.clients.keystone import TENANTRY, Keystone

pytestmark = pytest.mark.parametrize("door", ["keystone"], indirect=True)


def told(keystone: Keystone, user: str, *commands: str) -> tuple[list[Any], str]:
    """The tables that commands print, and what they complain of."""
    done = subprocess.run(
        [str(TENANTRY.with_name("openstack"))],  # it starts slowly, so it reads them from its input
        input="".join(f"{command}\n" for command in commands),
        env=keystone.environment(user),
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return [json.loads(line) for line in lines if line[0] in "[{"], done.stderr


def limits(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["Resource"]: row["Limit"] for row in rows}


def test_the_client_shows_sets_lists_and_resets_quotas(door: Door, keystone: Keystone) -> None:
    show = "quota show --network -f json --noindent"
    (demo, default), wrong = told(
        keystone,
        "admin",
        "quota set --networks 1 --ports 30 demo",
        f"{show} demo",
        f"{show} --default demo",
    )
    assert not wrong
    assert [limits(demo)[name] for name in ("networks", "ports", "subnets")] == [1, 30, -1]
    assert [limits(default)[name] for name in ("networks", "ports", "subnets")] == [-1] * 3

    (own, _, used), wrong = told(
        keystone,
        "member",
        show,
        "network create first -f json --noindent",
        f"{show} --usage",
        "network create second",
        "quota set --networks 9",
    )
    assert limits(own) == limits(demo)
    (networks,) = (row for row in used if row["Resource"] == "networks")
    assert (networks["Limit"], networks["In Use"], networks["Reserved"]) == (1, 1, 0)
    assert "Quota exceeded for resources: ['network']" in wrong
    assert "rule:update_quota" in wrong

    (listed, after), wrong = told(
        keystone,
        "admin",
        "quota set --networks 0 demo",
        "quota list --network -f json --noindent",
        "quota delete --network demo",
        f"{show} demo",
    )
    assert "Quota limit 0 for network must be" in wrong
    assert [(row["Networks"], row["Ports"]) for row in listed] == [(1, 30)]
    assert limits(after) == limits(default)
