# SPDX-License-Identifier: Apache-2.0

"""Minima of bandwidth: the queues of the interface by which a host sends to a physical network, as
Linux has them. A userspace datapath makes them, and puts nothing into them, so a host that has one
does not say that it can: here it is taken at its word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.api.tenantry import membership
from tests.farm import Farm, Machine, farm, machines
from tests.lab import Refused
from tests.qos_policies import change, give, policy

WIRE = {"provider:network_type": "flat", "provider:physical_network": "uplink"}
SAYS = "external_ids:tenantry-bandwidths=uplink:uplink:100000"


def classes(machine: Machine) -> dict[int, str]:
    """What queues are promised, by number: as tc(8) has it, Mbit or Kbit."""
    told = machine.guest.run("tc", "class", "show", "dev", "uplink")
    found = re.findall(r"class htb 1:([0-9a-f]+) parent 1:fffe .*?rate (\w+) ceil 100Mbit", told)
    return {int(handle, 16) - 1: rate for handle, rate in found}


def queue(net: Farm, machine: Machine) -> set[int]:
    """The queues that flows lead to."""
    flows = machine.ofctl("dump-flows", "br-int", "table=5")
    return {int(number) for number in re.findall(r"set_queue:(\d+)", flows)}


def says(net: Farm, machine: Machine) -> None:
    machine.vsctl("set", "Open_vSwitch", ".", SAYS)
    net.until(lambda: _told(net).get("resource_provider_bandwidths") is not None)


def _told(net: Farm) -> Any:
    (agent,) = net.api("GET", "/v2.0/agents?host=host1&agent_type=Open%20vSwitch%20agent")["agents"]
    return agent["configurations"]


def test_a_minimum_is_a_queue_of_the_wire(
    own_netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "QUEUEING", "netdev")
    with machines(1, uplinks=1) as (machine,), farm(tmp_path, [machine]) as net:
        network = net.network("10.0.0.0/24", **WIRE)
        ports = [net.port(network) for _ in range(3)]
        least = policy(net, minimum_bandwidth={"min_kbps": 30_000})
        with pytest.raises(Refused, match="tenantry-bandwidths"):
            give(net, "port", ports[0], least)
        says(net, machine)
        for port in ports:
            net.plug(machine, port)
        for port in ports[:2]:
            give(net, "port", port, least)
        net.take_effect()
        numbers = queue(net, machine)
        assert len(numbers) == 2
        net.until(lambda: classes(machine) == {0: "40Mbit", **dict.fromkeys(numbers, "30Mbit")})
        (rule,) = net.api("GET", f"/v2.0/qos/policies/{least['id']}/minimum_bandwidth_rules")[
            "minimum_bandwidth_rules"
        ]
        change(net, least, "minimum_bandwidth", rule["id"], min_kbps=60_000)
        net.until(lambda: sorted(classes(machine).values()) == ["40Mbit", "60Mbit"])
        net.take_effect()
        assert len(queue(net, machine)) == 1  # there is not enough for two: the older one has it
        net.verify()
        for port in ports[:2]:
            give(net, "port", port, None)
        net.until(lambda: not classes(machine))
        assert not queue(net, machine)
        assert machine.vsctl("--bare", "--columns=_uuid", "list", "Queue").strip() == ""
