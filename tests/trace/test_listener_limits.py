# SPDX-License-Identifier: Apache-2.0

"""How many connections may begin with a listener of UDP, told by a switch's meters and flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.controller.openflow.keys import MeterUse
from tests.api.lbaas import LBAAS
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


def limits(net: Lab) -> dict[int, str]:
    """By the listener's key: rate and burst, as the switch has them."""
    found = {}
    for line in net.ovs.ofctl("dump-meters", "br-int").replace("\n", " ").split("meter=")[1:]:
        number, *words = line.split()
        use, key = divmod(int(number), 1 << 24)
        if use == MeterUse.BALANCED:
            found[key] = " ".join(word for word in words if "rate=" in word or "burst_" in word)
    return found


def test_what_begins_with_a_limited_listener_meets_its_meter(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    client, server = net.port(network), net.port(network)
    net.attach(client)
    net.attach(server)
    subnet = net.subnets(network)[0]["id"]
    address = server["fixed_ips"][0]["ip_address"]
    members = [{"address": address, "protocol_port": 53}]
    pool = {"name": "p", "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    listeners = [
        {"protocol": "UDP", "protocol_port": 53, "connection_limit": 200, "default_pool": pool},
        {"protocol": "UDP", "protocol_port": 54},
        {"protocol": "TCP", "protocol_port": 53},
    ]
    asked = {"vip_subnet_id": subnet, "listeners": listeners}
    net.api("POST", f"{LBAAS}/loadbalancers", {"loadbalancer": asked})
    net.settle()
    (key,) = limits(net)
    assert limits(net) == {key: "rate=3 burst_size=100"}
    (limited,) = (
        each["id"]
        for each in net.api("GET", f"{LBAAS}/listeners")["listeners"]
        if each["connection_limit"] == 200
    )
    meter = f"actions=meter:{MeterUse.BALANCED.meter(key)},"
    begun = [flow for flow in net.flows("br-int") if meter in flow]
    assert begun and all(
        "udp" in flow and "tp_dst=53" in flow for flow in begun if "tp_dst" in flow
    )
    assert not any("tp_dst=54" in flow or "tcp" in flow for flow in begun)
    path = f"{LBAAS}/listeners/{limited}"
    net.api("PUT", path, {"listener": {"connection_limit": 6000}})
    net.settle()
    assert limits(net) == {key: "rate=100 burst_size=3000"}
    net.api("PUT", path, {"listener": {"connection_limit": -1}})
    net.settle()
    assert limits(net) == {}
    assert not any("actions=meter:" in flow for flow in net.flows("br-int") if "tp_dst=53" in flow)
