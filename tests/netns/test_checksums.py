# SPDX-License-Identifier: Apache-2.0

"""Guests that leave checksums and segmentation to the host, as virtio does, on the userspace
datapath with ``other_config:userspace-tso-enable``: what docs/hosts.md tells people to set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import echo
from tests.lab import Lab, lab
from tests.netns.test_metadata import FOUR, get
from tests.openvswitch import OpenVSwitch

DATA = "#cloud-config\n" + "more than a segment\n" * 2000


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    ovs.vsctl("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
    ovs.crash_switch()
    ovs.start_switch()
    with lab(ovs, tmp_path) as running:
        assert running.controller.service_port.up.wait(10)
        yield running
        running.verify()


def test_tcp_of_guests_that_offload(net: Lab, tmp_path: Path) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    profile = {"binding:profile": {"user_data": DATA}}
    ports = [net.port(network, **profile) for _ in range(2)]
    a, b = guests = [net.guest(port) for port in ports]
    for guest in guests:
        guest.run("ethtool", "-K", "eth0", "tx", "on")
        assert "tcp-segmentation-offload: on" in guest.run("ethtool", "-k", "eth0")
    addresses = [ip["ip_address"] for ip in ports[1]["fixed_ips"]]
    with echo.serving(b):
        assert "-" not in echo.asked(a, *addresses)
    (tmp_path / "large").write_bytes(bytes(1_000_000))
    server = b.start("python3", "-u", "-m", "http.server", "-d", str(tmp_path), "8080")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving HTTP")
    url = f"http://{addresses[0]}:8080/large"
    size = a.run("curl", "-sf", "-m", "9", "-o", "/dev/null", "-w", "%{size_download}", url)
    server.kill()
    server.communicate()
    assert size == "1000000"
    a.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    assert get(a, f"{FOUR}/openstack/latest/user_data") == DATA
