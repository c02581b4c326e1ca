# SPDX-License-Identifier: Apache-2.0

"""Subnets of one network on different segments: hosts are told, by DHCP and by router
advertisements, over whom the others are reached, and that they are no more."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import dhcp_client
from tests.conftest import need
from tests.dhcp_client import running
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

SEGMENTS = (
    {"provider:network_type": "vlan", "provider:physical_network": "wire"},
    {"provider:network_type": "vxlan", "provider:segmentation_id": 77},
)
MODES = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    need(shutil.which("busybox") is not None, "busybox")
    with lab(ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running_lab:
        yield running_lab
        running_lab.verify()


class Routed:
    """A network of two segments, with a subnet of each family on the first."""

    def __init__(self, net: Lab, project: str) -> None:
        self.net, self.project = net, project
        self.network = net.network(project=project, segments=[*SEGMENTS])
        found = net.api("GET", f"/v2.0/segments?network_id={self.network['id']}")["segments"]
        by_type = {segment["network_type"]: segment["id"] for segment in found}
        self.first, self.second = by_type["vlan"], by_type["vxlan"]
        self.four = self.subnet(self.first, "10.0.0.0/24")
        self.six = self.subnet(self.first, "2001:db8::/64", **MODES)

    def subnet(self, segment: str, cidr: str, **attributes: Any) -> Any:
        made = self.net.create(
            *("subnet", self.project),
            network_id=self.network["id"],
            segment_id=segment,
            cidr=cidr,
            ip_version=6 if ":" in cidr else 4,
            **attributes,
        )
        self.net.settle()
        return made


def test_hosts_are_told_and_told_when_it_is_over(net: Lab, tmp_path: Path) -> None:
    for number, project in enumerate(("red", "blue")):
        SEGMENTS[1]["provider:segmentation_id"] = 77 + number
        routed = Routed(net, project)
        router = net.create("router", project)
        net.interface(router, subnet_id=routed.six["id"])
        port = net.port(
            routed.network,
            fixed_ips=[{"subnet_id": one["id"]} for one in (routed.four, routed.six)],
        )
        guest = net.guest(port, bare=True)
        all_off = ("accept_dad=0", "accept_ra=2", "accept_ra_rt_info_max_plen=64")
        guest.run("sysctl", "-qw", *(f"net.ipv6.conf.eth0.{one}" for one in all_off))
        guest.run("ip", "link", "set", "eth0", "up")

        def six(guest: Any = guest) -> bool:
            return "2001:db8:1::/64 via" in guest.run("ip", "-6", "route")

        guest.until(lambda guest=guest: "default" in guest.run("ip", "-6", "route"))  # type: ignore[misc]
        assert not six()
        with running(dhcp_client.udhcpc(guest, dhcp_client.write(tmp_path))) as client:
            while (told := client.told())["EVENT"] != "bound":
                pass
            assert "10.0.1.0/24" not in told["staticroutes"]
            peers = [
                routed.subnet(routed.second, cidr, **attributes)
                for cidr, attributes in (("10.0.1.0/24", {}), ("2001:db8:1::/64", MODES))
            ]
            guest.until(six)
            client.process.send_signal(signal.SIGUSR1)
            told = client.told()
            routes = told["staticroutes"].split()
            assert ("10.0.1.0/24", "10.0.0.1") in zip(routes[::2], routes[1::2], strict=True)
            assert told["EVENT"] == "renew"
            for peer in peers:
                net.delete("subnet", peer["id"])
            net.settle()
            guest.until(lambda: not six())
            client.process.send_signal(signal.SIGUSR1)
            assert "10.0.1.0/24" not in client.told()["staticroutes"]
