# SPDX-License-Identifier: Apache-2.0

"""Local IPs: where a packet for one goes on each switch, told by ``ofproto/trace``; their API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tenantry.controller.feature.context import Context
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import sent

PATH = "/v2.0/local_ips"


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


@contextmanager
def as_member(net: Lab, project: str) -> Iterator[None]:
    """What is asked meanwhile is asked by somebody of a project who is no admin."""
    member = Context(project, "somebody", is_admin=False, roles=frozenset({"member"}))
    with patch.object(net.controller.application, "_authenticate", lambda request: member):
        yield


def address(port: Any) -> str:
    four: str = next(ip["ip_address"] for ip in port["fixed_ips"] if "." in ip["ip_address"])
    return four


def put_behind(net: Lab, local: Any, port: Any, **attributes: Any) -> Any:
    body = {"port_association": {"fixed_port_id": port["id"], **attributes}}
    return net.api("POST", f"{PATH}/{local['id']}/port_associations", body)["port_association"]


def asks(port: Any, what: str) -> str:
    mac = port["mac_address"]
    return (
        f"arp,dl_src={mac},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_sha={mac}"
        f",arp_spa={address(port)},arp_tpa={what}"
    )


def answer(net: Lab, bridge: str, interface: str, flow: str) -> str:
    """The MAC address that a question is answered with; or ""."""
    trace = net.ovs.appctl("ofproto/trace", bridge, f"in_port={interface},{flow}")
    said = re.search(r"set\(arp\(.*?op=2,sha=([0-9a-f:]+)", trace.rpartition("Datapath")[2])
    return said[1] if said else ""


def test_each_switch_has_its_own_and_the_others_the_true_one(net: Lab) -> None:
    bridges = ("br-int", "br-two", "br-three")
    for bridge in bridges:
        if bridge != "br-int":
            net.add_bridge(bridge)
        net.wire(bridge, f"w{bridge}", "wire")
    network = net.network("10.0.0.0/24", "fd00::/64")
    true = net.port(network)
    net.attach(true, "br-three")
    local = net.create("local_ip", local_port_id=true["id"], local_ip_address=address(true))
    assert (local["network_id"], local["local_ip_address"]) == (network["id"], address(true))
    users, caches = ([net.port(network) for _ in bridges] for _ in range(2))
    taps = [net.attach(*there) for there in zip(users, bridges, strict=True)]
    net.settle()
    everywhere = {
        bridge: answer(net, bridge, tap, asks(user, address(true)))
        for bridge, tap, user in zip(bridges, taps, users, strict=True)
    }
    assert {*everywhere.values()} == {true["mac_address"]}
    ports = caches[:2]
    own = [net.attach(*there) for there in zip(ports, bridges[:2], strict=True)]
    for port in ports:
        put_behind(net, local, port)
    net.settle()
    wanted = [*(port["mac_address"] for port in ports), true["mac_address"]]
    for number, (bridge, tap, user) in enumerate(zip(bridges, taps, users, strict=True)):
        assert answer(net, bridge, tap, asks(user, address(true))) == wanted[number]
    # Who is behind it reaches the true one.
    for bridge, tap, port in zip(bridges, own, ports, strict=False):
        assert answer(net, bridge, tap, asks(port, address(true))) == true["mac_address"]
    packet = f"dl_dst={true['mac_address']},nw_src={address(users[0])},nw_dst={address(true)}"
    flow = f"udp,dl_src={users[0]['mac_address']},{packet},nw_ttl=64"
    translated = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{flow}", "--names")
    assert f"nat(dst={address(ports[0])})" in translated, translated
    listed = net.api("GET", f"{PATH}/{local['id']}/port_associations")["port_associations"]
    assert {one["fixed_port_id"] for one in listed} == {port["id"] for port in ports}
    # Gone from one switch, there is the true one again.
    net.api("DELETE", f"{PATH}/{local['id']}/port_associations/{ports[0]['id']}")
    net.detach(own[1])
    net.settle()
    for bridge, tap, user in zip(bridges, taps, users, strict=True):
        assert answer(net, bridge, tap, asks(user, address(true))) == true["mac_address"]
    matched = [f for f in net.flows("br-int") if 'table="LOCAL_IP", priority=0' not in f]
    left = [f for f in matched if "LOCAL_IP" in re.sub("goto.*", "", f)]
    assert not left, left


def test_passed_through_as_it_is(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    local = net.create("local_ip", network_id=network["id"], ip_mode="passthrough")
    pair = [{"ip_address": local["local_ip_address"]}]
    user, cache = net.port(network), net.port(network, allowed_address_pairs=pair)
    tap, own = net.attach(user), net.attach(cache)
    put_behind(net, local, cache)
    net.settle()
    packet = f"nw_src={address(user)},nw_dst={local['local_ip_address']},nw_ttl=64"
    flow = f"udp,dl_src={user['mac_address']},dl_dst={cache['mac_address']},{packet}"
    assert sent(net, tap, flow) == {own}
    back = f"udp,dl_src={cache['mac_address']},dl_dst={user['mac_address']},nw_ttl=64"
    assert sent(net, own, f"{back},nw_src={local['local_ip_address']}") == {tap}


def test_the_api(net: Lab) -> None:
    network, other = net.network("10.0.0.0/24", "fd00::/64"), net.network("10.0.0.0/24")
    local = net.create("local_ip", network_id=network["id"], name="cache", description="near")
    assert (local["name"], local["ip_mode"], local["network_id"]) == (
        "cache",
        "translate",
        network["id"],
    )
    net.settle()
    port = net.api("GET", f"/v2.0/ports/{local['local_port_id']}")["port"]
    assert (port["device_owner"], port["device_id"]) == ("network:local_ip", local["id"])
    assert (port["status"], address(port)) == ("N/A", local["local_ip_address"])
    asked = net.create("local_ip", network_id=network["id"], local_ip_address="10.0.0.99")
    assert asked["local_ip_address"] == "10.0.0.99"
    assert net.update("local_ip", asked["id"], name="new")["name"] == "new"
    both = net.port(network)
    two = net.port(network, fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])
    shown = put_behind(net, local, both)
    assert shown == {
        "local_ip_id": local["id"],
        "local_ip_address": local["local_ip_address"],
        "fixed_port_id": both["id"],
        "fixed_ip": address(both),
        "host": "",
    }
    path = f"{PATH}/{local['id']}/port_associations/{both['id']}"
    assert net.api("GET", path) == {"port_association": shown}
    found = net.api("GET", f"{PATH}/{local['id']}/port_associations?fixed_ip={address(both)}")
    assert found["port_associations"] == [shown]
    assert put_behind(net, local, two, fixed_ip="10.0.0.51")["fixed_ip"] == "10.0.0.51"
    stranger = net.port(other)
    foreign = net.port(net.network("10.0.0.0/24", project="foreign"))

    def refused(status: int, words: str, *request: Any) -> None:
        with pytest.raises(Refused, match=words) as error:
            net.api(*request)
        assert error.value.status == status, error.value

    def new(**attributes: Any) -> tuple[Any, ...]:
        return "POST", PATH, {"local_ip": attributes}

    def behind(port: Any, of: Any = local, **attributes: Any) -> tuple[Any, ...]:
        body = {"port_association": {"fixed_port_id": port["id"], **attributes}}
        return "POST", f"{PATH}/{of['id']}/port_associations", body

    six = next(ip["ip_address"] for ip in both["fixed_ips"] if ":" in ip["ip_address"])
    refused(400, "Either Port ID or Network ID", *new())
    refused(400, "IPv4 subnet", *new(network_id=net.network("fd00:1::/64")["id"]))
    refused(400, "does not have requested", *new(local_port_id=both["id"], local_ip_address=six))
    refused(400, "several IPs", *new(local_port_id=two["id"]))
    refused(400, "no fixed IPs", *new(local_port_id=net.port(network, fixed_ips=[])["id"]))
    refused(409, "already allocated", *new(network_id=network["id"], local_ip_address="10.0.0.99"))
    refused(409, "behind another", *behind(both, asked))
    refused(409, "behind .* already", *behind(two, fixed_ip="10.0.0.50"))
    refused(400, "several IPs", *behind(two, asked))
    refused(400, "does not have requested", *behind(two, asked, fixed_ip=six))
    refused(400, "on network", *behind(stranger))
    refused(409, "associated", "DELETE", f"{PATH}/{local['id']}")
    refused(409, "local IP", "DELETE", f"/v2.0/ports/{local['local_port_id']}")
    change = {"port": {"fixed_ips": [{"ip_address": "10.0.0.98"}]}}
    refused(409, "local IP", "PUT", f"/v2.0/ports/{asked['local_port_id']}", change)
    # Of other projects nobody knows: neither as a caller nor as what is asked for.
    for request in (
        ("GET", f"{PATH}/{local['id']}"),
        ("GET", path),
        ("DELETE", path),
        behind(foreign),
        new(local_port_id=both["id"]),
    ):
        with as_member(net, "foreign"):
            refused(404, "could not be found", *request)
    # A port that goes, or loses the address, is behind nothing any more.
    net.update("port", two["id"], fixed_ips=[{"ip_address": "10.0.0.50"}])
    net.delete("port", both["id"])
    assert net.api("GET", f"{PATH}/{local['id']}/port_associations")["port_associations"] == []
    net.delete("local_ip", local["id"])
    with pytest.raises(Refused, match="could not be found"):
        net.api("GET", f"/v2.0/ports/{local['local_port_id']}")
    with pytest.raises(Refused, match="could not be found"):
        net.api("GET", path)
