# SPDX-License-Identifier: Apache-2.0

"""Several hosts, each with an Open vSwitch of its own: they join, and their guests reach each
other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenantry.controller import runtime
from tests.farm import Farm, Machine, answered, farm, machines, unreached
from tests.lab import Refused
from tests.pacer import Pacer, reflecting


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(4) as ready:
        yield ready


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_a_host_joins_and_its_guests_reach_everybody(
    started: list[Machine], tmp_path: Path, kind: str
) -> None:
    with farm(tmp_path, started[:3], networks__tenant_network_type=kind) as net:
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(4)]
        guests = [net.plug(m, p) for m, p in zip(started[:3], ports, strict=False)]
        assert_all_reach(net, guests, ports[:3])
        guest, interface = net.prepare(started[3], ports[3])
        net.join(started[3])
        started[3].vsctl(
            *("--no-wait", "add-port", "br-int", interface, "--", "set", "interface", interface),
            f"external_ids:iface-id={ports[3]['id']}",
        )
        net.until(lambda: net.controller.status.port(ports[3]["id"]) == "ACTIVE")
        addresses = [ip["ip_address"] for port in ports[:3] for ip in port["fixed_ips"]]
        assert all(answered([(guest, address) for address in addresses], patient=True))
        assert_all_reach(net, [*guests, guest], ports)
        net.verify()


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_tunnels_over_ipv6(own_netns: None, tmp_path: Path, kind: str) -> None:
    options = {"networks__tenant_network_type": kind, "networks__overlay_ip_version": "6"}
    with machines(2, version=6) as started, farm(tmp_path, started, **options) as net:
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(2)] + [net.port(network, **LEARNS)]
        guests = [net.plug(started[n % 2], port) for n, port in enumerate(ports)]
        assert_all_reach(net, guests, ports)
        net.verify()


LEARNS = {"port_security_enabled": False, "security_groups": []}


def assert_all_reach(net: Farm, guests: list, ports: list) -> None:
    net.settle()
    addresses = [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]
    assert unreached(guests, addresses) == [], net.dump()


def test_the_controller_restarts_while_all_talk_to_all(own_netns: None, tmp_path: Path) -> None:
    """Eight hosts: nothing is lost, and nothing is changed."""
    with machines(8) as started, farm(tmp_path, started) as net:
        network, other = net.network("10.0.0.0/24"), net.network("10.1.0.0/24", "fd00:b::/64")
        net.router(network, other)
        ports = [net.port((network, other)[number % 2]) for number in range(8)]
        guests = [net.plug(m, p) for m, p in zip(started, ports, strict=True)]
        addresses = [port["fixed_ips"][0]["ip_address"] for port in ports]
        with ExitStack() as stack:
            for guest in guests:
                stack.enter_context(reflecting(guest))
            assert unreached(guests, addresses) == []  # neighbours are known, too, from here on
            pacers = [
                Pacer(guest, addresses[(number + step) % 8], per_second=10)
                for number, guest in enumerate(guests)
                for step in range(1, 8)
            ]
            net.stop_controller()
            net.start_controller()
            for reconciler in net.controller.progress.reconcilers.values():
                assert (reconciler.sent.added, reconciler.sent.deleted) == (0, 0)
            results = [pacer.result() for pacer in pacers]
        assert sum(len(answered.lost) for answered in results) == 0
        net.verify()


def test_a_host_is_removed(own_netns: None, tmp_path: Path) -> None:
    """Not while it has ports; then nothing of ours is left there, nor of it elsewhere; and it may
    join again."""
    with machines(2) as started, farm(tmp_path, started) as net:
        one, two = started
        network = net.network("10.0.0.0/24")
        net.plug(one, net.port(network))
        two.vsctl("add-br", "br-theirs", "--", "set", "bridge", "br-theirs", "datapath_type=netdev")
        port = net.port(network)
        net.plug(two, port)
        shown = {host["name"]: host for host in net.api("GET", "/tenantry/v1/hosts")}
        assert (shown["host2"]["alive"], shown["host2"]["ports"]) == (True, 1)
        alone = net.flows_on(one)
        with pytest.raises(Refused, match="unplug them or move them"):
            net.api("DELETE", "/tenantry/v1/hosts/host2")
        net.delete("port", port["id"])
        net.settle()
        net.api("DELETE", "/tenantry/v1/hosts/host2")
        net.until(lambda: net._dpid(two) is None)
        net.settle()
        assert two.vsctl("get-manager") == ""
        assert set(two.vsctl("list-br").split()) == {"br-phy", "br-theirs"}
        assert {agent["host"] for agent in net.api("GET", "/v2.0/agents")["agents"]} == {"host1"}
        assert net.flows_on(one) < alone
        with pytest.raises(Refused, match="there is no host host2"):
            net.api("DELETE", "/tenantry/v1/hosts/host2")
        net.join(two)
        net.verify()


def test_a_host_that_goes_and_comes_back_is_compared(own_netns: None, tmp_path: Path) -> None:
    """Its switch restarts, and is filled; its database restarts, and nothing is changed."""
    with machines(2) as started, farm(tmp_path, started) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in started]
        guests = [net.plug(m, p) for m, p in zip(started, ports, strict=True)]
        assert_all_reach(net, guests, ports)
        there = net.flows_on(started[1])
        dpid = net._dpid(started[1])
        started[1].crash()
        net.until(lambda: dpid not in net.controller.progress.reconcilers)
        agents = net.api("GET", "/v2.0/agents?host=host2")["agents"]
        assert [agent["alive"] for agent in agents] == [False] * 2
        started[1].restart()
        # Its ports come one after the other.
        net.until(lambda: net.controller.status.settled() and net.flows_on(started[1]) == there)
        assert_all_reach(net, guests, ports)
        agents = net.api("GET", "/v2.0/agents?host=host2")["agents"]
        assert [agent["alive"] for agent in agents] == [True] * 2
        net.verify()


def test_security_groups_judge_what_comes_through_tunnels(own_netns: None, tmp_path: Path) -> None:
    """By address: who sent it is on another host. Also what was routed on its way."""
    with machines(2) as started, farm(tmp_path, started, groups=True) as net:
        networks = [net.network("10.0.0.0/24", "fd00:a::/64"), net.network("10.1.0.0/24")]
        net.router(*networks)
        body = {"security_group": {"name": "members"}}
        group = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
        for ethertype, protocol in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
            net.api(
                "POST",
                "/v2.0/security-group-rules",
                {
                    "security_group_rule": {
                        "security_group_id": group,
                        "direction": "ingress",
                        "ethertype": ethertype,
                        "protocol": protocol,
                        "remote_group_id": group,
                    }
                },
            )
        server = net.port(networks[0], security_groups=[group])
        inside = [net.port(n, security_groups=[group]) for n in networks]
        stranger = net.port(networks[0])
        net.plug(started[0], server)
        members = [net.plug(started[1], port) for port in inside]
        other = net.plug(started[1], stranger)
        four, six = (ip["ip_address"] for ip in server["fixed_ips"])
        assert unreached(members, [four]) == []
        assert unreached(members[:1], [six]) == []
        assert len(unreached([other], [four, six], patient=False)) == 2
        net.update("port", stranger["id"], security_groups=[group])
        net.take_effect()
        assert unreached([other], [four, six]) == []
        net.verify()


def test_two_hosts_of_one_name_are_not_one(
    own_netns: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with machines(2) as started, farm(tmp_path, started[:1]) as net:
        one, two = started
        dpid = net._dpid(one)
        two.vsctl("set", "Open_vSwitch", ".", f"external_ids:hostname={one.name}")
        two.join(6640)
        with runtime.Timeout(10):  # nothing but the log tells of it
            while "another host called host1 is here" not in caplog.text:
                runtime.sleep(0.02)
        assert net._dpid(one) == dpid
        assert two.vsctl("list-br").split() == ["br-phy"]
        two.vsctl("set", "Open_vSwitch", ".", "external_ids:hostname=host2")
        net.until(lambda: net._dpid(two) in net.controller.progress.reconcilers)
        net.settle()
        net.verify()
