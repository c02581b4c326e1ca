# SPDX-License-Identifier: Apache-2.0

"""Guests of every host reach what the controller answers in TCP: metadata, and DNS."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.model import Binding, Interface, Port
from tenantry.controller.network.tunnels import SERVICE_VNI
from tests.farm import Beyond, Farm, Machine, OwnHost, farm, machines
from tests.namespace import Guest
from tests.netns.test_dns import ask, service_addresses
from tests.netns.test_metadata import FOUR, SIX, get
from tests.vlan import vlan

LARGE = base64.b64encode(b"#cloud-config\n" + b"0123456789abcdef" * 2500).decode()
"""More than a few segments."""


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2, uplinks=2) as ready:
        yield ready


def joined(
    stack: ExitStack, directory: Path, started: list[Machine], version: int = 4, **options: str
) -> Farm:
    """The controller's own host and those that have joined it."""
    own = stack.enter_context(OwnHost(version))
    options = {"ovsdb__connections": own.remote, **options}
    net = stack.enter_context(farm(directory, started, **options))
    net.ovs = own
    assert net.controller.service_port.up.wait(10)
    net.until(lambda: len(net.controller.progress.reconcilers) == len(started) + 1)
    net.settle()
    return net


def asks(net: Farm, guest: Guest, network: Any, name: str, interface: str = "eth0") -> None:
    """A guest gets what is said of it, in both families, by metadata and by DNS."""
    guest.run("ip", "route", "replace", "169.254.169.254", "dev", interface)
    for base in (FOUR, SIX.replace("eth0", interface)):
        meta = json.loads(get(guest, f"{base}/openstack/latest/meta_data.json"))
        assert meta["hostname"].partition(".")[0] == name
        data = get(guest, f"{base}/openstack/latest/user_data")
        assert data == base64.b64decode(LARGE).decode()
        # Large segments that way, too.
        get(guest, f"{base}/openstack/latest/meta_data.json?{'x' * 6000}")
    for server in service_addresses(net, network):
        question = (f"{name}.{network['dns_domain']}", "A")
        ((code, _, answers),) = ask(net, guest, server, "tcp", *question)
        assert (code, len(answers)) == ("NOERROR", 1)


CARRIED = {
    "vxlan": {"provider:network_type": "vxlan"},
    "geneve": {"provider:network_type": "geneve"},
    "vlan": {
        "provider:network_type": "vlan",
        "provider:physical_network": "uplink",
        "provider:segmentation_id": 100,
    },
}


@pytest.mark.parametrize("kind", CARRIED)
def test_guests_of_joined_hosts_are_told_of_themselves(
    started: list[Machine], tmp_path: Path, kind: str
) -> None:
    """Two tenants with equal MAC addresses, addresses and names, on every host."""
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        for number, project in enumerate(("red", "blue")):
            carried = dict(CARRIED[kind])
            if kind == "vlan":
                carried["provider:segmentation_id"] += number
            network = net.network(
                *("10.0.0.0/24", "2001:db8::/64"),
                project=project,
                dns_domain="same.example.",
                **carried,
            )
            for machine in started:
                port = net.port(
                    network,
                    mac_address=f"fa:16:3e:00:00:0{machine.number}",
                    dns_name=f"{project}{machine.number}",
                    **{"binding:profile": {"user_data": LARGE}},
                )
                guest = net.plug(machine, port)
                asks(net, guest, network, f"{project}{machine.number}")
        net.verify()


def test_sub_ports_and_tunnels_over_ipv6(own_netns: None, tmp_path: Path) -> None:
    options = {"networks__overlay_ip_version": "6"}
    with machines(1, version=6) as started, ExitStack() as stack:
        net = joined(stack, tmp_path, started, 6, **options)
        named: dict[str, Any] = {"dns_domain": "same.example."}
        native, red = (net.network("10.0.0.0/24", "2001:db8::/64", **named) for _ in range(2))
        profile = {"binding:profile": {"user_data": LARGE}}
        parent = net.port(native, dns_name="parent", **profile)
        sub = net.port(red, dns_name="sub", mac_address=parent["mac_address"], **profile)
        sub_port = {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 10}
        net.create("trunk", port_id=parent["id"], sub_ports=[sub_port])
        guest = net.plug(started[0], parent)
        asks(net, guest, native, "parent")
        name = stack.enter_context(vlan(guest, 10))
        guest.run("sysctl", "-qw", f"net.ipv6.conf.{name.replace('.', '/')}.accept_dad=0")
        guest.run("ip", "address", "flush", "dev", "eth0")
        mac = sub["mac_address"]
        guest.run("ip", "link", "set", name, "address", mac, "mtu", red["mtu"], "up")
        for ip in sub["fixed_ips"]:
            length = 64 if ":" in ip["ip_address"] else 24
            guest.run("ip", "address", "add", f"{ip['ip_address']}/{length}", "dev", name)
        net.until(lambda: net.controller.status.port(sub["id"]) == "ACTIVE")
        asks(net, guest, red, "sub", name)
        net.verify()


def test_answers_follow_a_port_that_moves(started: list[Machine], tmp_path: Path) -> None:
    """To another host, to the controller's own, and back; with the same addresses. Switches watch
    each other there, by tunnels that carry no VNI either."""
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        network = net.network("10.0.0.0/24", dns_domain="same.example.")
        net.router(network, outside=Beyond(net).network)
        net.guest(net.port(network))
        interfaces = net.controller.model.all(Interface)
        net.until(lambda: sum(i.peer is not None for i in interfaces.values()) == 6)
        net.settle()
        port = net.port(network, dns_name="web", **{"binding:profile": {"user_data": LARGE}})
        for machine in (*started, None, started[0]):
            guest = net.plug(machine, port) if machine else net.guest(port)
            asks_by_ipv4(guest)
            if machine:
                net.unplug(port)
            else:
                net.detach(net.controller.model.get(Binding, port["id"]).interface)


def asks_by_ipv4(guest: Guest) -> None:
    guest.run("ip", "route", "replace", "169.254.169.254", "dev", "eth0")
    assert "web" in get(guest, f"{FOUR}/openstack/latest/meta_data.json")


def test_what_it_costs_and_what_a_restart_changes(started: list[Machine], tmp_path: Path) -> None:
    """A port costs the other hosts nothing for it; after a restart the controller finds its own
    host's tunnels where they were, and writes nothing."""
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        network = net.network("10.0.0.0/24", dns_domain="same.example.")

        before = service_flows(net)
        # A way back, four services and their miss; each host, and what comes by it.
        assert before == [6, 6, 13]
        guest = net.plug(started[0], net.port(network, dns_name="web"))
        asks_by_ipv4(guest)
        assert service_flows(net) == before
        flows = [net.flows_on(machine) for machine in started]
        net.stop_controller()
        net.start_controller()
        assert net.controller.service_port.up.wait(10)
        assert [net.flows_on(machine) for machine in started] == flows
        asks_by_ipv4(guest)


def test_only_hosts_that_have_joined_may_say_who_asks(
    started: list[Machine], tmp_path: Path
) -> None:
    """Whoever else is on the underlay could otherwise read any guest's metadata."""
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        port = net.port(net.network("10.0.0.0/24"))
        net.settle()
        key = net.controller.model.get(Port, port["id"]).key
        asks = f"tcp,nw_src=242.0.0.{key},nw_dst=240.255.255.254,tp_src=5000,tp_dst="

        def leaves_by(tun_src: str, vni: int, tp_dst: int) -> str:
            flow = f"in_port=tn-vxlan,tun_id={vni},tun_src={tun_src},{asks}{tp_dst}"
            trace = net.ovs.appctl("ofproto/trace", "br-int", flow, "--names")
            return trace.rstrip().rpartition("Datapath actions: ")[2]

        host = started[0].tunnel_address
        assert leaves_by(host, SERVICE_VNI, 8775) == leaves_by(host, SERVICE_VNI, 8053)
        assert leaves_by(host, SERVICE_VNI, 8775) == "tenantry0"
        assert leaves_by("192.168.77.99", SERVICE_VNI, 8775) == "drop"
        assert leaves_by(host, SERVICE_VNI, 22) == "drop"
        assert leaves_by(host, SERVICE_VNI + 1, 8775) == "drop"


def service_flows(net: Farm) -> list[int]:
    """How many flows each switch has for it."""
    engine = net.controller.engine
    units = [[u for u in engine.units(s) if u.app.name == "service_port"] for s in engine.wanted]
    return sorted(len(engine.cookies(unit)) for (unit,) in units)
