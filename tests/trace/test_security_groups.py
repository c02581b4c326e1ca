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


def test_a_rule_more_is_as_many_flows_as_it_has_masks(net: Lab) -> None:
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
    assert (len(came), len(went)) == (2, 0), "80 to 83, 84 to 85"


@pytest.mark.parametrize(("state", "passes"), [("trk,new", 2), ("trk,est", 2)])
def test_both_ends_are_judged_on_one_look_up(net: Lab, state: str, passes: int) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    taps = [net.attach(port) for port in ports]
    net.settle()
    (src, dst) = (port["fixed_ips"][0]["ip_address"] for port in ports)
    flow = (
        f"ct_state=trk|new,tcp,dl_src={ports[0]['mac_address']},dl_dst={ports[1]['mac_address']},"
        f"nw_ttl=64,nw_src={src},nw_dst={dst},tcp_src=1024,tcp_dst=80,"
        f"ct_nw_src={src},ct_nw_dst={dst},ct_nw_proto=6,ct_tp_src=1024,ct_tp_dst=80"
    )
    told = trace(net, taps[0], flow, ct_next=(state, state))
    assert (told.left, told.passes) == ({taps[1]}, passes)
