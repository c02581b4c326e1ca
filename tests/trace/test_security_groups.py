# SPDX-License-Identifier: Apache-2.0

"""What security groups cost: flows by change, and passes through the datapath."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.story import trace

VLAN = {"provider:network_type": "vlan", "provider:physical_network": "wire"}


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, groups=True, networks__vlan_ranges="wire:100:199") as running:
        running.add_bridge("br-two")
        running.wire("br-int", "trunk1", "wire")
        running.wire("br-two", "trunk2", "wire")
        yield running
        running.verify()


def changed(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Flows that came, and that went."""
    return sorted(set(after) - set(before)), sorted(set(before) - set(after))


def group(net: Lab, name: str, *rules: dict[str, Any]) -> str:
    body = {"security_group": {"name": name}}
    id: str = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
    for said in rules:
        rule = {"security_group_id": id, "direction": "ingress", **said}
        net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    return id


@pytest.mark.parametrize("bridge", ["br-int", "br-two"])
def test_a_member_more_is_a_flow_here_and_one_an_address_elsewhere(net: Lab, bridge: str) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64", **VLAN)
    clients = group(net, "clients")
    servers = group(net, "servers", {"remote_group_id": clients, "protocol": "tcp"})
    for _ in range(3):
        net.attach(net.port(network, security_groups=[servers]))
        net.attach(net.port(network, security_groups=[clients]))
    port = net.port(network, security_groups=[])
    net.attach(port, bridge)
    net.settle()
    before = {name: net.flows(name) for name in ("br-int", "br-two")}
    net.update("port", port["id"], security_groups=[clients])
    net.settle()
    came, went = changed(before["br-int"], net.flows("br-int"))
    if bridge == "br-int":
        assert (len(came), len(went)) == (1, 1), "its identity is another"
    else:
        assert (len(came), len(went)) == (2, 0), "one for each address"


def test_a_rule_more_is_as_many_flows_as_it_has_masks_and_one(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    servers = group(net, "servers", {"protocol": "udp"})
    for _ in range(5):
        net.attach(net.port(network, security_groups=[servers]))
    before = net.flows("br-int")
    rule = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 85}
    body = {"security_group_id": servers, "direction": "ingress", **rule}
    net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": body})
    net.settle()
    came, went = changed(before, net.flows("br-int"))
    assert (len(came), len(went)) == (3, 0), "80 to 83, 84 to 85, later fragments"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("stateful", [True, False], ids=["stateful", "stateless"])
def test_the_first_fragment_decides(net: Lab, stateful: bool, version: int) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    both = ("IPv4", "IPv6")
    ports = {"protocol": "udp", "port_range_min": 53, "port_range_max": 53}
    rules = [{**ports, "ethertype": ethertype} for ethertype in both]
    body = {"security_group": {"name": "g", "stateful": stateful}}
    id = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
    for said in rules:
        rule = {"security_group_id": id, "direction": "ingress", **said}
        net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    ends = [net.port(network, security_groups=[id]) for _ in range(2)]
    taps = [net.attach(port) for port in ends]
    net.settle()
    src, dst = (port["fixed_ips"][version == 6]["ip_address"] for port in ends)
    name, ct = ("nw", "ct_nw") if version == 4 else ("ipv6", "ct_ipv6")

    def reaches(protocol: int, cut: str, port: int = 0) -> bool:
        transport = {6: "tcp", 17: "udp"}[protocol]
        kind = transport + ("6" if version == 6 else "")
        if (version, cut) == (6, "later"):
            kind = "ipv6,nw_proto=44"
        ends_at = f",{transport}_dst={port},ct_tp_dst={port}" if port else ""
        flow = (
            f"ct_state=trk|new,{kind},ip_frag={cut},dl_src={ends[0]['mac_address']},"
            f"dl_dst={ends[1]['mac_address']},nw_ttl=64,{name}_src={src},{name}_dst={dst},"
            f"{ct}_src={src},{ct}_dst={dst},ct_nw_proto={protocol}{ends_at}"
        )
        told = trace(net, taps[0], flow, ct_next=("trk,new", "trk,new"))
        # RFC 7112: port security drops what ends before the ports.
        seen = (version, cut, port) != (6, "first", 0)
        assert told.passes == (2 if stateful and seen else 1)
        return told.left == {taps[1]}

    assert reaches(17, "first", 53)
    assert not reaches(17, "first", 54)
    assert not reaches(17, "first"), "too small to have ports"
    assert reaches(17, "later")
    assert not reaches(6, "first", 53)
    # Of IPv6, only connection tracking knows what a later fragment is a part of.
    assert reaches(6, "later") == (version == 6 and not stateful)


@pytest.mark.parametrize(
    ("way", "state", "passes"),
    [
        ("bridged", "trk,new", 2),
        ("bridged", "trk,est", 2),
        (
            "routed",
            "trk,new",
            3,
        ),  # the router may change it: it is known before, and looked up again
        ("routed", "trk,est", 2),
        ("by two routers", "trk,est", 2),
    ],
)
def test_both_ends_are_judged_on_one_look_up(net: Lab, way: str, state: str, passes: int) -> None:
    networks = [net.network(f"10.{number}.0.0/24") for number in range(3)]
    first, second = net.router(networks[0]), net.router(*networks[1:])
    leg = net.port(networks[1], fixed_ips=[{"ip_address": "10.1.0.200"}])
    net.interface(first, port_id=leg["id"])
    for router, destination, nexthop in ((first, 2, "10.1.0.1"), (second, 0, "10.1.0.200")):
        said = [{"destination": f"10.{destination}.0.0/24", "nexthop": nexthop}]
        net.update("router", router["id"], routes=said)
    at = ("bridged", "routed", "by two routers").index(way)
    ports = [net.port(networks[0]), net.port(networks[at])]
    taps = [net.attach(port) for port in ports]
    net.settle()
    owned = net.api("GET", f"/v2.0/ports?device_id={first['id']}")["ports"]
    gateway = next(port for port in owned if port["network_id"] == networks[0]["id"])
    (src, dst) = (port["fixed_ips"][0]["ip_address"] for port in ports)
    to = ports[1] if way == "bridged" else gateway
    flow = (
        f"ct_state=trk|new,tcp,dl_src={ports[0]['mac_address']},dl_dst={to['mac_address']},"
        f"nw_ttl=64,nw_src={src},nw_dst={dst},tcp_src=1024,tcp_dst=80,"
        f"ct_nw_src={src},ct_nw_dst={dst},ct_nw_proto=6,ct_tp_src=1024,ct_tp_dst=80"
    )
    told = trace(net, taps[0], flow, ct_next=(state, state))
    assert (told.left, told.passes) == ({taps[1]}, passes)
