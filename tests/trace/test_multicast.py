# SPDX-License-Identifier: Apache-2.0

"""Where Open vSwitch sends multicast by what guests have asked for, told by ``ofproto/trace``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.apps.multicast.tables import NOBODY_ASKED
from tenantry.controller.cli.main import main
from tenantry.controller.model import Address, Change
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import sent

GROUP = {4: Address(4, 0xEF010101), 6: Address(6, 0xFF05 << 112 | 0x101)}
TO = {
    4: "udp,dl_dst=01:00:5e:01:01:01,nw_dst=239.1.1.1",
    6: "udp6,dl_dst=33:33:00:00:01:01,ipv6_dst=ff05::101",
}
OF_LINK = {
    4: "udp,dl_dst=01:00:5e:00:00:12,nw_dst=224.0.0.18",
    6: "udp6,dl_dst=33:33:00:00:00:fb,ipv6_dst=ff02::fb",
}
REPORT = {
    4: "ip,nw_proto=2,dl_dst=01:00:5e:01:01:01,nw_dst=239.1.1.1",
    6: "icmp6,icmpv6_type=131,dl_dst=33:33:00:00:01:01,ipv6_dst=ff05::101,nw_ttl=1",
}


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, multicast__snooping="true") as running:
        running.until(lambda: bool(running.controller.model.all(Asked)))
        running.settle()
        yield running
        running.verify()


def wants(net: Lab, port: Any, group: Address) -> None:
    """As if the port had asked for it."""
    member = Membership((port["id"], group), port["network_id"], port["id"], group)
    net.controller.inbox.submit([Change(Membership, member.id, member)])
    net.until(lambda: member.id in net.controller.model.all(Membership))
    net.settle()


def from_port(port: Any, words: str) -> str:
    version = 6 if "6" in words.partition(",")[0] else 4
    own = next(
        ip["ip_address"] for ip in port["fixed_ips"] if (":" in ip["ip_address"]) == (version == 6)
    )
    source = f"ipv6_src={own}" if version == 6 else f"nw_src={own}"
    return f"{words},dl_src={port['mac_address']},{source}"


@pytest.mark.parametrize("version", [4, 6])
def test_members_routers_and_the_wire_get_a_group(net: Lab, version: int) -> None:
    net.wire("br-int", "wire0", "wire")
    flat = {"provider:network_type": "flat", "provider:physical_network": "wire"}
    alone = net.network("10.0.0.0/24", "fd00::/64")
    wired = net.network("10.1.0.0/24", "fd01::/64", **flat)
    for network, on_wire in ((alone, set()), (wired, {"wire0"})):
        ports = [net.port(network) for _ in range(4)]
        a, b, c, d = (net.attach(port) for port in ports)
        wants(net, ports[1], GROUP[version])
        assert sent(net, a, from_port(ports[0], TO[version])) == {b} | on_wire
        wants(net, ports[2], EVERY_GROUP[version])
        assert sent(net, a, from_port(ports[0], TO[version])) == {b, c} | on_wire
        assert sent(net, a, from_port(ports[0], OF_LINK[version])) == {b, c, d} | on_wire
        assert heard(net, a, from_port(ports[0], REPORT[version])) == {c} | on_wire


def heard(net: Lab, interface: str, flow: str) -> set[str]:
    """Where it goes beside the controller, which must get a copy."""
    out = sent(net, interface, flow)
    copies = {where for where in out if "userspace" in where or "controller" in where}
    assert copies, out
    return {where for where in out if where.startswith(("if", "wire"))}


def test_what_nobody_asked_for_names_its_cause(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    a, _ = (net.attach(port) for port in ports)
    for version in (4, 6):
        assert sent(net, a, from_port(ports[0], TO[version])) == set()
        trace = net.ovs.appctl(
            "ofproto/trace", "br-int", f"in_port={a},{from_port(ports[0], TO[version])}"
        )
        assert f"{NOBODY_ASKED.value:#x}" in trace


def test_who_has_asked_is_told(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    for port in ports:
        net.attach(port)
    assert net.api("GET", "/tenantry/v1/multicast") == []
    wants(net, ports[0], GROUP[4])
    wants(net, ports[1], GROUP[4])
    wants(net, ports[1], EVERY_GROUP[6])
    both = sorted(port["id"] for port in ports)
    told = [
        {"network_id": network["id"], "group": "239.1.1.1", "port_ids": both},
        {"network_id": network["id"], "group": "every IPv6 group", "port_ids": [ports[1]["id"]]},
    ]
    assert net.api("GET", "/tenantry/v1/multicast") == told
    said = CliRunner().invoke(main, ["--url", net.controller.api_url, "multicast", "--json"])
    assert json.loads(said.output) == told
