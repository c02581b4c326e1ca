# SPDX-License-Identifier: Apache-2.0

"""What becomes of plugged interfaces: their MTU, and what their packets are counted as."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, eventually, lab
from tests.namespace import run
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


def mtu_becomes(net: Lab, interface: str, mtu: int) -> None:
    """Wait for Open vSwitch to have set it."""
    condition = f"mtu={mtu}"
    net.ovs.vsctl("wait-until", "interface", interface, condition)
    assert f"mtu {mtu} " in run("ip", "link", "show", interface)


def test_an_interface_has_the_mtu_of_its_network(net: Lab) -> None:
    network, other = net.network("10.0.0.0/24", mtu=1400), net.network("10.0.0.0/24", mtu=1300)
    port = net.port(network)
    net.guest(port)
    mtu_becomes(net, "tap1", 1400)
    net.update("network", network["id"], mtu=1350)
    net.settle()
    mtu_becomes(net, "tap1", 1350)
    net.ovs.vsctl("set", "interface", "tap1", f"external_ids:iface-id={net.port(other)['id']}")
    net.until(lambda: net.controller.status.port(port["id"]) == "DOWN")
    mtu_becomes(net, "tap1", 1300)


def test_an_interface_is_steered_as_its_port_hints(net: Lab) -> None:
    port = net.port(net.network("10.0.0.0/24"), hints=steering("hash"))
    net.guest(port)
    assert eventually(lambda: "tx-steering=hash" in of_tap(net))
    net.ovs.vsctl("set", "interface", "tap1", "other_config:mine=kept")
    net.update("port", port["id"], hints=steering("thread"))
    assert eventually(lambda: "tx-steering=thread" in of_tap(net))
    net.update("port", port["id"], hints=None)
    assert eventually(lambda: "tx-steering" not in of_tap(net))
    assert "mine=kept" in of_tap(net), "what others say there stays"


def steering(how: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"openvswitch": {"other_config": {"tx-steering": how}}}


def of_tap(net: Lab) -> str:
    return net.ovs.vsctl("get", "interface", "tap1", "other_config").replace('"', "")


def test_a_storm_shows(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    noisy, quiet = (net.guest(port) for port in ports)
    address = ports[1]["fixed_ips"][0]["ip_address"]
    assert noisy.pings(address)
    before = {port["id"]: port for port in net.api("GET", "/tenantry/v1/counters")}
    noisy.run(
        "python3",
        "-c",
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "[s.sendto(b'x', ('10.0.0.255', 9)) for _ in range(50)]",
    )
    assert noisy.pings(address)  # behind all of them
    # Open vSwitch adds up what megaflows have counted when it is asked for it.
    net.ovs.appctl("revalidator/purge")
    after = net.api("GET", "/tenantry/v1/counters")
    assert after[0]["id"] == ports[0]["id"]
    counts = {port["id"]: port for port in after}
    grown = {
        id: counts[id]["broadcasts"]["packets"] - before[id]["broadcasts"]["packets"]
        for id in (port["id"] for port in ports)
    }
    assert grown[ports[0]["id"]] >= 50 > grown[ports[1]["id"]]
    assert quiet


def test_who_never_sends_as_its_port_is_named(net: Lab) -> None:
    """As with a port that was made without a look at its guest's addresses."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    # Bare: with the port's own MAC address, its kernel would speak up at once.
    stranger, guest = net.guest(ports[0], bare=True), net.guest(ports[1])
    stranger.run("ip", "link", "set", "eth0", "address", "00:00:00:00:00:01")
    stranger.run("ip", "link", "set", "eth0", "up")
    stranger.run("ip", "address", "add", "10.0.0.77/24", "dev", "eth0")
    address = ports[1]["fixed_ips"][0]["ip_address"]
    assert not stranger.pings(address)
    guest.pings("10.0.0.99")  # nobody, but it has asked in its own name

    def impostors() -> list[str]:
        # Open vSwitch adds up what megaflows have counted when it is asked for it.
        net.ovs.appctl("revalidator/purge")
        return [port["id"] for port in net.api("GET", "/tenantry/v1/counters") if port["impostor"]]

    assert eventually(lambda: impostors() == [ports[0]["id"]]), impostors()
