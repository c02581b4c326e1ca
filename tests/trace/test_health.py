# SPDX-License-Identifier: Apache-2.0

"""What a switch does with questions to members of load balancers and with their answers, told by
``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.packets.own_addresses import SERVICE_PORT_ADDRESSES, probed
from tests.balancers import Balancers, vip
from tests.health import Monitored
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

HERE = {version: str(ip_address(address)) for version, address in SERVICE_PORT_ADDRESSES.items()}
OWN = 0xEF00 | 300 & 0xFF
"""The controller's port, where members see 300."""

WORDS = {4: ("tcp", "udp", "icmp", "nw"), 6: ("tcp6", "udp6", "icmp6", "ipv6")}

_ICMP = {
    4: (",icmp_type=0", ",icmp_type=3,icmp_code=3"),
    6: (",icmpv6_type=129", ",icmpv6_type=1,icmpv6_code=4"),
}
"""An answer to a ping, and that nobody listens at a port."""


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running
        running.verify()


def traced(net: Lab, interface: str, flow: str) -> tuple[str, str]:
    """What becomes of a packet: its fields in the end, and what the datapath does."""
    said = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={interface},{flow}", "--names")
    final = said.rpartition("Final flow: ")[2].splitlines()[0]
    return final, said.rpartition("Datapath actions: ")[2].strip()


class Asked:
    """A member that is plugged in as ``a``, and its load balancer, with an address of a family."""

    def __init__(self, net: Lab, version: int, kind: str, made: Balancers | None = None) -> None:
        self.net, self.version = net, version
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        self.port = net.port(network)
        self.address = next(
            ip["ip_address"]
            for ip in self.port["fixed_ips"]
            if ip_address(ip["ip_address"]).version == version
        )
        self.interface = net.attach(self.port)
        monitored = Monitored(made or Balancers(net), network)
        self.member = monitored.member(monitored.pool(kind), self.address, 80)
        self.keyed = str(ip_address(probed(version, self.member.key)))
        self.vip = vip(monitored.balancer, version)
        self.mac = net.api("GET", f"/v2.0/ports/{monitored.balancer.vip_port_id}")["port"][
            "mac_address"
        ]
        net.settle()

    def question(self) -> tuple[str, str]:
        tcp, _, _, prefix = WORDS[self.version]
        ends = f"{prefix}_src={HERE[self.version]},{prefix}_dst={self.keyed}"
        return traced(self.net, "tenantry0", f"{tcp},{ends},nw_ttl=64,tp_src={OWN},tp_dst=80")

    def says(self, words: str, what: str = "", to: str = "") -> tuple[str, str]:
        prefix = WORDS[self.version][3]
        macs = f"dl_src={self.port['mac_address']},dl_dst={self.mac}"
        ends = f"{prefix}_src={self.address},{prefix}_dst={to or self.vip}"
        return traced(self.net, self.interface, f"{words},{macs},{ends},nw_ttl=64{what}")


@pytest.mark.parametrize("version", [4, 6])
def test_there_and_back(net: Lab, version: int) -> None:
    asked = Asked(net, version, "TCP")
    tcp, _, _, prefix = WORDS[version]
    final, out = asked.question()
    assert f"{prefix}_src={asked.vip},{prefix}_dst={asked.address}" in final
    assert f"dl_src={asked.mac},dl_dst={asked.port['mac_address']}" in final
    assert "tp_src=300,tp_dst=80" in final
    assert out.endswith(asked.interface)
    final, out = asked.says(tcp, ",tp_src=80,tp_dst=300")
    assert f"{prefix}_src={asked.keyed},{prefix}_dst={HERE[version]}" in final
    assert f"tp_src=80,tp_dst={OWN}" in final
    assert out.endswith("tenantry0")


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_else_is_taken_from_the_vip(net: Lab, version: int) -> None:
    """What a member says from another port, or to another, is none of the monitor's: the VIP may be
    plugged in, and have connections of its own with it."""
    asked = Asked(net, version, "TCP")
    tcp, udp, icmp, _ = WORDS[version]
    echo, error = _ICMP[version]
    for words, what in (
        (tcp, ",tp_src=81,tp_dst=300"),
        (tcp, ",tp_src=80,tp_dst=255"),
        (tcp, ",tp_src=80,tp_dst=512"),
        (udp, ",udp_src=80,udp_dst=300"),
        (icmp, echo),
        (icmp, error),
    ):
        final, out = asked.says(words, what)
        assert "tenantry0" not in out
        assert "CONTROLLER" not in out
        assert asked.keyed not in final


@pytest.mark.parametrize("version", [4, 6])
def test_pings_and_errors(net: Lab, version: int) -> None:
    (icmp, (echo, error)), made = (WORDS[version][2], _ICMP[version]), Balancers(net)
    _, out = Asked(net, version, "PING", made).says(icmp, echo)
    assert out.endswith("tenantry0")
    _, out = Asked(net, version, "UDP-CONNECT", made).says(icmp, error)
    assert "userspace" in out
    assert "tenantry0" not in out


def test_what_nobody_is_asked_by_goes_nowhere(net: Lab) -> None:
    asked = Asked(net, 4, "TCP")
    other: dict[str, Any] = {"version": 4, "key": asked.member.key + 1}
    nobody = str(ip_address(probed(**other)))
    tcp = f"tcp,nw_src={HERE[4]},nw_dst={nobody},tp_src={OWN},tp_dst=80"
    assert "output" not in traced(net, "tenantry0", tcp)[1]
    # A guest that takes such an address for its own reaches nobody by it.
    to_member = f"tcp,nw_src={HERE[4]},nw_dst={asked.keyed},tp_src={OWN},tp_dst=80"
    _, out = traced(net, asked.interface, to_member)
    assert out == "drop" or "meter" in out
    assert "tenantry0" not in out
    as_answer = f"tcp,nw_src={asked.keyed},nw_dst={HERE[4]},tp_src=80,tp_dst=300"
    assert "tenantry0" not in traced(net, asked.interface, as_answer)[1]


def test_a_member_that_is_not_there_is_asked_by_nobody(net: Lab) -> None:
    asked = Asked(net, 4, "TCP")
    net.detach(asked.interface)
    assert asked.question()[1] == "drop"
    interface = net.attach(asked.port)
    assert asked.question()[1].endswith(interface)
