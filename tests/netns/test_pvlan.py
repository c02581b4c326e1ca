# SPDX-License-Identifier: Apache-2.0

"""What a port has of its network, however it is cut off from the others there: an address, a
router, metadata, and a local IP of somebody whom it may talk to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import dhcp_client
from tests.conftest import need
from tests.dhcp_client import running
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.outside import machine

ISOLATED = {"pvlan_type": "isolated"}
MODES = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    for program in ("busybox", "curl"):
        need(shutil.which(program) is not None, program)
    with lab(ovs, tmp_path) as running_lab:
        assert running_lab.controller.service_port.up.wait(10)
        yield running_lab
        running_lab.verify()


def test_an_isolated_machine_comes_up(net: Lab, tmp_path: Path) -> None:
    network = net.network("10.0.0.0/24", pvlan=True)
    six = {"cidr": "2001:db8::/64", "ip_version": 6, **MODES}
    net.create("subnet", network_id=network["id"], **six)
    far = net.network("10.1.0.0/24", "2001:db8:1::/64")
    net.router(network, far)
    beyond, other = net.port(far), net.port(network, **ISOLATED)
    machine(net, beyond)
    neighbour = net.guest(other)
    guest = net.guest(port := net.port(network, **ISOLATED), bare=True)
    off = ("accept_dad=0", "accept_ra=2")
    guest.run("sysctl", "-qw", *(f"net.ipv6.conf.eth0.{one}" for one in off))
    guest.run("ip", "link", "set", "eth0", "up")
    guest.until(lambda: "default" in guest.run("ip", "-6", "route"))
    with running(dhcp_client.udhcpc(guest, dhcp_client.write(tmp_path))) as client:
        while (told := client.told())["EVENT"] != "bound":
            pass
    assert told["ip"] in [ip["ip_address"] for ip in port["fixed_ips"]]
    url = "http://169.254.169.254/latest/meta-data/local-ipv4"
    assert guest.run("curl", "-s", "--retry", 3, "--max-time", 30, url) == told["ip"]
    net.take_effect()
    for address in ("10.0.0.1", "2001:db8::1"):
        assert guest.pings(address, count=3)
    for ip in beyond["fixed_ips"]:
        assert guest.pings(ip["ip_address"], count=3)
    for ip in other["fixed_ips"]:
        assert not guest.pings(ip["ip_address"])
        assert not neighbour.pings(told["ip"])


def test_a_local_ip_leads_nowhere_that_the_port_may_not_go(net: Lab) -> None:
    network = net.network("10.0.0.0/24", pvlan=True)
    user = net.guest(net.port(network, **ISOLATED))
    for kind, reached in (({}, True), (ISOLATED, False)):
        cache = net.port(network, **kind)
        net.guest(cache)
        local = net.create("local_ip", network_id=network["id"])
        body = {"port_association": {"fixed_port_id": cache["id"]}}
        net.api("POST", f"/v2.0/local_ips/{local['id']}/port_associations", body)
        net.take_effect()
        assert user.pings(local["local_ip_address"], count=3) is reached
