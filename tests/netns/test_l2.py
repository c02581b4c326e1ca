# SPDX-License-Identifier: Apache-2.0

"""Real packets between namespaces, through a userspace Open vSwitch that Tenantry programs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.controller import serve
from tenantry.controller.feature.app import App, Units
from tenantry.controller.model import Port, View, ports_on
from tenantry.controller.openflow.flow import Flow, SetField
from tenantry.controller.openflow.pipeline import Table
from tests import capture
from tests.lab import Lab, eventually, lab
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def fetches(client: Guest, server: Guest, address: str) -> bool:
    """Whether a TCP connection to ``address`` reaches ``server``, whatever else answers there."""
    family = "-6" if ":" in address else "-4"
    listener = server.start("iperf3", family, "-s", "-1", "--forceflush", "-p", "5201")
    try:
        assert listener.stdout is not None
        while "Server listening" not in listener.stdout.readline():
            assert listener.poll() is None
        words = client.command(
            *("iperf3", family, "-c", address, "-n", "64K", "--connect-timeout", "1000")
        )
        return subprocess.run(words, capture_output=True).returncode == 0
    finally:
        listener.terminate()
        listener.communicate()


def addresses(port: dict) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


def join_by_trunk(net: Lab) -> None:
    """A second bridge, br-two, and a wire between trunk1 on br-int and trunk2 on it."""
    net.add_bridge("br-two")
    run("ip", "link", "add", "trunk1", "type", "veth", "peer", "name", "trunk2")
    for bridge, trunk in (("br-int", "trunk1"), ("br-two", "trunk2")):
        run("sysctl", "-qw", f"net.ipv6.conf.{trunk}.disable_ipv6=1")  # the kernel keeps silent
        run("ip", "link", "set", trunk, "up")
        net.wire(bridge, trunk, "wire")


def test_equal_addresses_of_two_tenants_stay_apart(net: Lab) -> None:
    guests: dict[str, list[Guest]] = {}
    for project in ("red", "blue"):
        network = net.network("10.0.0.0/24", "fd00::/64", project=project)
        ports = [net.port(network) for _ in range(2)]
        guests[project] = [net.guest(port) for port in ports]
    for four, six in [addresses(ports[1])]:
        for project in ("red", "blue"):
            client, server = guests[project]
            assert client.pings(four)
            assert client.pings(six)
            assert fetches(client, server, four)
            assert fetches(client, server, six)
    # An address that only the other tenant has is not there.
    alone = net.port(net.network("10.0.0.0/24", "fd00::/64", project="green"))
    stranger = net.guest(alone)
    assert not any(stranger.pings(address) for address in addresses(ports[1]))


def test_two_switches_joined_by_a_trunk(net: Lab) -> None:
    join_by_trunk(net)
    pairs = []
    for project in ("red", "blue"):
        network = net.network("10.0.0.0/24", "fd00::/64", project=project)
        ports = [net.port(network) for _ in range(2)]
        here, there = net.guest(ports[0]), net.guest(ports[1], bridge="br-two")
        pairs.append((network, here, there, addresses(ports[1])))
    net.settle()
    with capture.vlans("trunk1") as seen:
        for _, here, there, (four, six) in pairs:
            assert here.pings(four)
            assert here.pings(six)
            assert fetches(here, there, four)
    shown = (net.api("GET", f"/v2.0/networks/{network['id']}") for network, *_ in pairs)
    assert seen == {answer["network"]["provider:segmentation_id"] for answer in shown}


def test_deleting_a_port_removes_its_flows_and_nothing_else(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    a, b = (net.guest(port) for port in ports)
    before = net.flows("br-int")
    for remove in ("unplug", "delete"):
        third = net.port(network)
        interface = net.attach(third)
        assert net.flows("br-int") != before
        if remove == "unplug":
            net.detach(interface)
            assert net.status(third) == "DOWN"
        net.delete("port", third["id"])
        net.settle()
        assert net.flows("br-int") == before
        if remove == "delete":
            net.detach(interface)
    assert a.pings(addresses(ports[1])[0])
    assert b.pings(addresses(ports[0])[1])


def test_moving_a_port_moves_its_flows(net: Lab) -> None:
    join_by_trunk(net)
    network = net.network("10.0.0.0/24", "fd00::/64")
    still, moving = (net.port(network) for _ in range(2))
    watcher = net.guest(still)
    mover = net.guest(moving)
    assert watcher.pings(addresses(moving)[0])
    mover.close()  # its end of the wire goes, and with it the interface
    net._guests.remove(mover)
    net.ovs.vsctl("--if-exists", "del-port", "tap2")
    net.until(lambda: net.controller.status.port(moving["id"]) == "DOWN")
    net.guest(moving, bridge="br-two")
    net.settle()
    assert watcher.pings(addresses(moving)[0])
    assert watcher.pings(addresses(moving)[1])


def test_traffic_goes_on_without_the_controller(ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(ovs, tmp_path) as net:
        network = net.network("10.0.0.0/24", "fd00::/64")
        ports = [net.port(network) for _ in range(2)]
        a, _ = (net.guest(port) for port in ports)
        net.controller.channel.close()
        for address in addresses(ports[1]):
            assert a.pings(address, count=3)


@pytest.mark.parametrize("told", [True, False], ids=["flow monitor", "audit"])
def test_tampering_is_repaired(ovs: OpenVSwitch, tmp_path: Path, told: bool) -> None:
    interval = "3600" if told else "1"
    with lab(ovs, tmp_path, openflow__audit_interval=interval) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(2)]
        a, _ = (net.guest(port) for port in ports)
        before = net.flows("br-int")
        (reconciler,) = net.controller.progress.reconcilers.values()
        if not told:
            reconciler.connection.on_foreign_changes = lambda changes: None
        tampering = [
            ("del-flows", "br-int"),
            ("add-flow", "br-int", "table=0,priority=999,actions=drop"),
            ("del-flows", "br-int", "table=95"),
            # In the place of one of ours, and with cookie 0, which OVS's own hidden flows have.
            ("add-flow", "br-int", "table=75,priority=0,actions=drop"),
        ]
        if told:
            tampering.append(("mod-flows", "br-int", "table=95,actions=drop"))
        for tamper in tampering:
            repaired = reconciler.repaired
            ovs.ofctl(*tamper)
            # Not at the first repair: a dump that the tampering meets half-way shows half of it.
            assert eventually(lambda: net.flows("br-int") == before)
            assert reconciler.repaired > repaired
        assert a.pings(addresses(ports[1])[0])


def test_tampering_is_repaired_on_reconnect(net: Lab) -> None:
    net.attach(net.port(net.network("10.0.0.0/24")))
    before = net.flows("br-int")
    (reconciler,) = net.controller.progress.reconcilers.values()
    reconciler.connection.on_foreign_changes = lambda changes: None
    net.ovs.ofctl("del-flows", "br-int", "table=0")
    reconciler.connection.close()
    net.until(lambda: reconciler not in net.controller.progress.reconcilers.values())
    net.until(lambda: bool(net.controller.progress.reconcilers))
    net.settle()
    assert net.flows("br-int") == before


def test_a_switch_that_lost_everything_gets_it_back(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    a, _ = (net.guest(port) for port in ports)
    before = net.flows("br-int")
    net.ovs.crash_switch()
    net.until(lambda: not net.controller.progress.reconcilers)
    net.ovs.start_switch()
    net.until(lambda: bool(net.controller.progress.reconcilers))
    net.until(lambda: net.flows("br-int") == before)
    net.settle()
    assert a.pings(addresses(ports[1])[0])


def test_a_flow_that_the_switch_refuses_is_named_and_others_go_on(
    ovs: OpenVSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistake(view: View, switch: int, port_id: str) -> Iterator[Flow]:
        """A VLAN id with a bit that is not there, which OVS refuses, for ports named bad."""
        port = view.get(Port, port_id)
        if port is not None and port.name.startswith("bad"):
            yield Flow(Table.CLASSIFY, 7, {"in_port": 78}, ())
            yield Flow(Table.CLASSIFY, 7, {"in_port": 77}, (SetField("vlan_vid", 0x3FFF),))

    clumsy = App(250, "clumsy", (Units("port", ports_on, mistake),))
    monkeypatch.setattr(serve, "APPS", (*serve.APPS, clumsy))
    with lab(ovs, tmp_path) as net:
        network = net.network("10.0.0.0/24")
        bad, good = net.port(network, name="bad"), net.port(network)
        ovs.vsctl(
            *("add-port", "br-int", "x0", "--", "set", "interface", "x0", "type=internal"),
            f"external_ids:iface-id={bad['id']}",
        )
        net.until(lambda: net.controller.status.port(bad["id"]) == "ERROR")
        net.attach(good)
        assert net.status(good) == "ACTIVE"
        (switch,) = net.api("GET", "/tenantry/v1/status")["switches"]
        (refusal,) = switch["refused"]
        assert refusal["unit"] == f"clumsy port {bad['id']}"
        assert "bad action" in refusal["error"]
        # The unit's good flow is not in either: half a feature is none.
        assert not [line for line in net.flows("br-int") if "priority=7" in line]

        net.update("port", bad["id"], name="mended")
        net.until(lambda: net.controller.status.port(bad["id"]) == "ACTIVE")
        net.verify()
