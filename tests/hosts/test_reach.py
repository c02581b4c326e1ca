# SPDX-License-Identifier: Apache-2.0

"""Who reaches whom if nobody says how networks are carried; what is said where nobody can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.api.tenantry import operations
from tests.farm import Farm, Machine, OwnHost, answered, farm, machines
from tests.openvswitch import OpenVSwitch

NO_OPTION = {"networks__tenant_network_type": ""}


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2) as ready:
        yield ready


def reached(pairs: list[tuple[Any, Any]]) -> list[bool]:
    """Whether each guest reaches all addresses of the port."""
    questions = [(g, ip["ip_address"]) for g, port in pairs for ip in port["fixed_ips"]]
    return answered(questions, patient=True)


def warnings(net: Farm) -> list[str]:
    told: list[str] = operations.status(net.controller.running)["warnings"]
    return told


def shown(net: Farm, port: Any) -> tuple[str, str]:
    port = net.api("GET", f"/v2.0/ports/{port['id']}")["port"]
    return port["status"], port["binding:vif_type"]


def test_a_network_from_before_hosts_joined_is_on_all_of_them(
    started: list[Machine], tmp_path: Path
) -> None:
    """The controller's own host, and two more; with no option set."""
    with ExitStack() as stack:
        own = stack.enter_context(OwnHost())
        options = {"ovsdb__connections": own.remote, **NO_OPTION}
        net = stack.enter_context(farm(tmp_path, started, join=False, **options))
        net.ovs = own
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(4)]
        guests = [net.guest(port) for port in ports[:2]]
        assert all(reached([(guests[0], ports[1])]))
        for machine, port in zip(started, ports[2:], strict=True):
            net.join(machine)
            guests.append(net.plug(machine, port))
        assert all(reached([(guest, port) for guest in guests for port in ports]))
        assert warnings(net) == []
        net.verify()
        there = net.api("GET", f"/v2.0/ports/{ports[2]['id']}")["port"]
        told = there["binding:vif_details"]
        assert (told["bridge_name"], told["datapath_type"]) == ("br-int", "netdev")


def test_a_local_network_on_two_hosts_says_so(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started, **NO_OPTION) as net:
        network = net.network("10.0.0.0/24", name="blue", **{"provider:network_type": "local"})
        ports = [net.port(network) for _ in range(3)]
        guests = [net.plug(started[0], port) for port in ports[:2]]
        assert warnings(net) == []
        guest, interface = net.prepare(started[1], ports[2])
        started[1].vsctl(
            *("--no-wait", "add-port", "br-int", interface, "--", "set", "interface", interface),
            f"external_ids:iface-id={ports[2]['id']}",
        )
        net.until(lambda: net.controller.status.port(ports[2]["id"]) == "ERROR")
        net.settle()
        assert shown(net, ports[2]) == ("ERROR", "binding_failed")
        assert [shown(net, port) for port in ports[:2]] == [("ACTIVE", "ovs")] * 2
        (told,) = warnings(net)
        assert "network blue: ports on host2 do not reach those on host1" in told
        # What it says is what helps.
        command = f"openstack network segment create --network {network['id']} --network-type vxlan"
        assert command in told
        net.create("segment", network_id=network["id"], network_type="vxlan")
        net.until(lambda: net.controller.status.port(ports[2]["id"]) == "ACTIVE")
        net.settle()
        assert warnings(net) == []
        assert all(reached([(g, p) for g in (*guests, guest) for p in ports]))


def test_the_own_host_without_a_tunnel_address_says_so(
    started: list[Machine], tmp_path: Path
) -> None:
    """It has no route to the others' tunnels; then somebody says which address is its."""
    with ExitStack() as stack:
        own = stack.enter_context(OpenVSwitch())
        options = {"ovsdb__connections": own.remote, **NO_OPTION}
        net = stack.enter_context(farm(tmp_path, started[:1], **options))
        net.ovs = own
        network = net.network("10.0.0.0/24", name="blue")
        here, there = (net.port(network) for _ in range(2))
        net.guest(here)
        _, interface = net.prepare(started[0], there)
        started[0].vsctl(
            *("--no-wait", "add-port", "br-int", interface, "--", "set", "interface", interface),
            f"external_ids:iface-id={there['id']}",
        )
        net.until(lambda: net.controller.status.port(there["id"]) == "ERROR")
        remedy = "ovs-vsctl set Open_vSwitch . external_ids:tenantry-encap-ip="
        network_told, services_told = warnings(net)
        assert "ports on host1 do not reach those on test-host" in network_told
        assert "guests of other hosts get no metadata" in services_told
        assert all("test-host has no tunnel address" in told for told in warnings(net))
        assert all(remedy in told for told in warnings(net))
        own.vsctl("set", "Open_vSwitch", ".", "external_ids:tenantry-encap-ip=192.168.77.254")
        net.until(lambda: net.controller.status.port(there["id"]) == "ACTIVE")
        assert warnings(net) == []
