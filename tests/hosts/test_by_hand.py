# SPDX-License-Identifier: Apache-2.0

"""Tunnels and patch ports that somebody changes or takes away by hand are as they were, at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm import Farm, Machine, farm, machines
from tests.lab import Refused, eventually


@pytest.fixture
def net(own_netns: None, tmp_path: Path) -> Iterator[Farm]:
    with machines(2, uplinks=1) as started, farm(tmp_path, started) as net:
        yield net
        net.settle()
        net.verify()


def ours(machine: Machine) -> list[list[object]]:
    """The interfaces that are ours, and where they are."""
    columns = "--columns=name,type,options,external_ids,bfd"
    rows = json.loads(machine.vsctl("--format=json", columns, "list", "interface"))["data"]
    found = [row for row in rows if "tenantry-row" in dict(row[3][1])]
    bridges = [machine.vsctl("port-to-br", row[0]).strip() for row in found]
    return sorted([*row, bridge] for row, bridge in zip(found, bridges, strict=True))


def names(machine: Machine, start: str) -> list[str]:
    return [str(row[0]) for row in ours(machine) if str(row[0]).startswith(start)]


HANDS = {
    "no tunnel": ("del-port", "{tn-}"),
    "a tunnel elsewhere": ("set", "interface", "{tn-}", "options:remote_ip=192.0.2.9"),
    "a tunnel of another type": ("set", "interface", "{tn-}", "type=gre"),
    "a tunnel without a mark": ("clear", "interface", "{tn-}", "external_ids"),
    "no patch port here": ("del-port", "{to-}"),
    "no patch port there": ("del-port", "{of-}"),
    "a patch port without a peer": ("clear", "interface", "{to-}", "options"),
    "a patch port that leads nowhere": ("remove", "interface", "{to-}", "external_ids",
                                        "tenantry-physical-network"),
}  # fmt: skip


def test_tunnels_and_patch_ports_are_mended(net: Farm, caplog: pytest.LogCaptureFixture) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in net.machines]
    guests = [net.plug(machine, port) for machine, port in zip(net.machines, ports, strict=True)]
    addresses = [ip["ip_address"] for ip in ports[1]["fixed_ips"]]
    machine = net.machines[0]
    assert all(guests[0].pings(address, 5) for address in addresses)
    before = ours(machine)
    for words in HANDS.values():
        caplog.clear()
        named = [
            names(machine, word.strip("{}"))[0] if word.startswith("{") else word for word in words
        ]
        with caplog.at_level(logging.WARNING):
            machine.vsctl("--no-wait", *named)
            assert eventually(lambda: ours(machine) == before), ours(machine)
        assert [line for line in caplog.messages if "host host1" in line and "mended" in line]
        net.settle()
        assert eventually(lambda: all(guests[0].pings(address) for address in addresses))


def test_what_is_somebody_elses_stays_his(net: Farm, caplog: pytest.LogCaptureFixture) -> None:
    """Also if it has a name that we want: then we say so."""
    machine = net.machines[1]
    machine.vsctl(
        *("add-br", "br-own", "--", "set", "bridge", "br-own", "datapath_type=netdev", "--"),
        *("add-port", "br-own", "tn-geneve", "--", "set", "interface", "tn-geneve"),
        *("type=geneve", "options:remote_ip=192.0.2.1"),
    )
    theirs = machine.vsctl("--columns=_uuid,type,options", "list", "interface", "tn-geneve")
    kind = {"provider:network_type": "geneve"}
    network = net.network("10.0.0.0/24", **kind)
    net.plug(machine, net.port(network))
    assert eventually(lambda: any("tn-geneve is there that is not" in m for m in caplog.messages))
    assert machine.vsctl("--columns=_uuid,type,options", "list", "interface", "tn-geneve") == theirs
    machine.vsctl("--no-wait", "del-br", "br-own")
    assert eventually(lambda: "tn-geneve" in names(machine, "tn-"))


def test_a_deleted_bridge_of_a_host_that_has_joined(net: Farm) -> None:
    machine = net.machines[0]
    before = ours(machine)
    machine.vsctl("--no-wait", "del-br", "br-int")
    assert eventually(lambda: ours(machine) == before), ours(machine)
    net.until(lambda: net._dpid(machine) in net.controller.progress.reconcilers)
    net.settle()
    with pytest.raises(Refused, match="not here"):
        net.api("POST", "/tenantry/v1/hosts/nobody/adopt")
