# SPDX-License-Identifier: Apache-2.0

"""TCP to the controller and back, told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tenantry.controller.model import Port
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import sent


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running
        running.verify()


@pytest.mark.parametrize(
    ("version", "asked", "here", "keyed"),
    [
        (4, "169.254.169.254", "240.255.255.254", "240.0.0.0"),
        (6, "fe80::a9fe:a9fe", "fd00:a9fe:a9fe::ff:fffe", "fd00:a9fe:a9fe::"),
    ],
)
def test_there_and_back(net: Lab, version: int, asked: str, here: str, keyed: str) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    port = net.port(network)
    net.attach(port, interface="a")
    guest = ip_address(port["fixed_ips"][version == 6]["ip_address"])
    key = net.controller.model.get(Port, port["id"]).key
    source = ip_address(int(ip_address(keyed)) | (int(guest) & 15) << 24 | key)
    tcp, prefix = ("tcp", "nw") if version == 4 else ("tcp6", "ipv6")
    there = net.ovs.appctl(
        *("ofproto/trace", "br-int"),
        f"in_port=a,{tcp},dl_src={port['mac_address']},{prefix}_src={guest},{prefix}_dst={asked}"
        ",tp_src=5000,tp_dst=80",
        *("-generate", "--names"),
    )
    final = there.partition("Final flow: ")[2].splitlines()[0]
    assert f"{prefix}_src={source},{prefix}_dst={here}" in final
    assert "tp_src=5000,tp_dst=8775" in final
    assert there.rstrip().endswith(",tenantry0")
    back = net.ovs.appctl(
        *("ofproto/trace", "br-int"),
        f"in_port=tenantry0,{tcp},{prefix}_src={here},{prefix}_dst={source},tp_src=8775,tp_dst=5000",
        "--names",
    )
    final = back.partition("Final flow: ")[2].splitlines()[0]
    assert f"{prefix}_src={asked},{prefix}_dst={guest}" in final
    assert f"dl_dst={port['mac_address']}" in final
    assert "tp_src=80,tp_dst=5000" in final
    assert back.rstrip().endswith(",a")


def test_what_was_not_asked_for_goes_nowhere(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    net.attach(net.port(network), interface="a")
    answer = "tcp,nw_src=240.255.255.254,nw_dst=242.0.0.1,tp_src=8775,tp_dst=5000"
    assert sent(net, "tenantry0", answer) == set()
    assert sent(net, "tenantry0", "arp,arp_op=1,dl_dst=ff:ff:ff:ff:ff:ff") == set()
