# SPDX-License-Identifier: Apache-2.0

"""Private VLANs: who of a network gets what from whom, told by ``ofproto/trace``; and their API."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import BROADCAST, STRANGER, sent

OPTIONS = {"networks__vlan_ranges": "wire:100:199"}
ISOLATED = {"pvlan_type": "isolated"}
WEB = {"pvlan_type": "community", "pvlan_community": "web"}
DATA = {"pvlan_type": "community", "pvlan_community": "data"}
PROMISCUOUS: dict[str, str] = {}
KINDS = {
    "open": PROMISCUOUS,
    "alone": ISOLATED,
    "lonely": ISOLATED,
    "web": WEB,
    "web2": WEB,
    "data": DATA,
    "data2": DATA,
}
MULTICAST = "01:00:5e:01:02:03"


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, **OPTIONS) as running:
        yield running
        running.verify()


def private(net: Lab, **attributes: Any) -> Any:
    return net.network("10.0.0.0/24", "fd00::/64", pvlan=True, **attributes)


def may_talk(one: str, other: str) -> bool:
    """RFC 5517, 3: by the names of KINDS, whoever has them."""
    kinds = KINDS[one], KINDS[other]
    return PROMISCUOUS in kinds or (kinds[0] == kinds[1] != ISOLATED)


def frame(port: Any, to: str, kind: str = "") -> str:
    """An IPv4 packet of a port, or one of another ``kind``."""
    four, six = (ip["ip_address"] for ip in port["fixed_ips"])
    what = kind or f"udp,nw_src={four},nw_ttl=64"
    return f"{what.replace('SIX', six)},dl_src={port['mac_address']},dl_dst={to}"


def test_each_reaches_those_that_its_kind_may(net: Lab) -> None:
    network = private(net)
    ports = {name: net.port(network, **kind) for name, kind in KINDS.items()}
    taps = {name: net.attach(port) for name, port in ports.items()}
    for kind in ("", "udp6,ipv6_src=SIX,nw_ttl=64", "dl_type=0x88b5"):
        for one, other in permutations(KINDS, 2):
            found = sent(net, taps[one], frame(ports[one], ports[other]["mac_address"], kind))
            assert found == ({taps[other]} if may_talk(one, other) else set()), (one, other, kind)
        for to in (BROADCAST, MULTICAST):
            for one in KINDS:
                heard = {taps[other] for other in KINDS if one != other and may_talk(one, other)}
                assert sent(net, taps[one], frame(ports[one], to, kind)) == heard, (one, to, kind)
    # In ARP, too: who asks for nobody is heard by those alone who could be asked.
    arp = (
        f"arp,arp_op=2,arp_sha={ports['alone']['mac_address']},arp_spa="
        + (ports["alone"]["fixed_ips"][0]["ip_address"])
    )
    assert sent(net, taps["alone"], frame(ports["alone"], BROADCAST, arp)) == {taps["open"]}


def test_it_holds_between_switches_and_does_not_ask_the_other_one(net: Lab) -> None:
    """On the wire by MAC address: unicast stops at its own switch, a flood at the other one."""
    net.add_bridge("br-two")
    for bridge in ("br-int", "br-two"):
        net.wire(bridge, f"wire{bridge}", "wire")
    network = private(net)
    tag = net.api("GET", f"/v2.0/networks/{network['id']}")["network"]["provider:segmentation_id"]
    here = {name: net.port(network, **kind) for name, kind in KINDS.items()}
    there = {name: net.port(network, **kind) for name, kind in KINDS.items()}
    taps = {name: net.attach(port) for name, port in here.items()}
    far = {name: net.attach(port, "br-two") for name, port in there.items()}
    net.settle()
    wire = f"wirebr-int.{tag}"
    for one in KINDS:
        assert wire in sent(net, taps[one], frame(here[one], BROADCAST))
        heard = {far[other] for other in KINDS if may_talk(one, other)}
        flow = f"dl_vlan={tag},{frame(here[one], BROADCAST)}"
        assert on_two(net, flow) == heard, one
        for other in KINDS:
            talks = may_talk(one, other)
            flow = frame(here[one], there[other]["mac_address"])
            assert sent(net, taps[one], flow) == ({wire} if talks else set()), (one, other)
            arrived = on_two(net, f"dl_vlan={tag},{flow}")
            assert arrived == ({far[other]} if talks else set()), (one, other)
    # Whoever is on the wire and no port of ours is as the uplink of a private VLAN: promiscuous.
    stranger = f"dl_vlan={tag},udp,dl_src={STRANGER},dl_dst={there['alone']['mac_address']}"
    assert on_two(net, stranger) == {far["alone"]}
    assert sent(net, taps["alone"], frame(here["alone"], STRANGER)) == {wire}


def on_two(net: Lab, flow: str) -> set[str]:
    """Where a packet goes that comes to br-two by the wire."""
    trace = net.ovs.appctl("ofproto/trace", "br-two", f"in_port=wirebr-two,{flow}", "--names")
    return {*trace.rpartition("Datapath actions: ")[2].strip().split(",")} - {"drop", "pop_vlan"}


def test_a_mac_address_of_several_communities_is_heard_by_the_promiscuous_alone(net: Lab) -> None:
    """An allowed address pair makes nobody promiscuous, nor a member of another community."""
    net.add_bridge("br-two")
    for bridge in ("br-int", "br-two"):
        net.wire(bridge, f"wire{bridge}", "wire")
    network = private(net)
    tag = net.api("GET", f"/v2.0/networks/{network['id']}")["network"]["provider:segmentation_id"]
    router, member = net.port(network), net.port(network, **WEB)
    there = {name: net.port(network, **kind) for name, kind in KINDS.items()}
    far = {name: net.attach(port, "br-two") for name, port in there.items()}
    pairs = [
        {"mac_address": port["mac_address"], "ip_address": "10.0.0.200"}
        for port in (router, member)
    ]
    spoofer = net.port(network, **ISOLATED, allowed_address_pairs=pairs)
    taps = {id: net.attach(port) for id, port in enumerate((router, member, spoofer))}
    net.settle()
    for port in (router, member):
        for to in (BROADCAST, *(port["mac_address"] for port in there.values())):
            flow = f"udp,nw_src=10.0.0.200,dl_src={port['mac_address']},dl_dst={to}"
            assert on_two(net, f"dl_vlan={tag},{flow}") <= {far["open"]}
            assert sent(net, taps[2], flow) <= {f"wirebr-int.{tag}", taps[0]}


def of_pvlan(net: Lab) -> list[str]:
    """But for the answer to what nothing matched, which every switch has."""
    lines = [line for line in net.flows("br-int") if "PVLAN" in line]
    missed = [line for line in lines if "table=PVLAN, priority=0" in line]
    assert len(missed) == 1
    return [line for line in lines if line not in missed]


def test_kinds_change_and_a_restart_changes_nothing(dummy_ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(dummy_ovs, tmp_path, **OPTIONS) as net:
        network = private(net)
        ports = [net.port(network, **ISOLATED) for _ in range(2)]
        a, b = (net.attach(port) for port in ports)
        flow = frame(ports[0], ports[1]["mac_address"])
        assert sent(net, a, flow) == set()
        for kind, heard in ((WEB, set()), (PROMISCUOUS, {b}), (ISOLATED, set())):
            change = kind or {"pvlan_type": "promiscuous"}
            shown = net.update("port", ports[0]["id"], **change)
            assert shown["pvlan_community"] == change.get("pvlan_community")
            net.settle()
            assert sent(net, a, flow) == heard, kind
        net.update("port", ports[0]["id"], **WEB)
        net.update("port", ports[1]["id"], **WEB)
        net.settle()
        assert sent(net, a, flow) == {b}
        net.update("port", ports[1]["id"], pvlan_community="data")
        net.settle()
        assert sent(net, a, flow) == set()
        before = of_pvlan(net)
    with lab(dummy_ovs, tmp_path, openflow__listen=str(net.controller.openflow), **OPTIONS) as net:
        assert before == of_pvlan(net) != []
        net.update("network", network["id"], pvlan=False)
        net.settle()
        assert sent(net, a, flow) == {b}
        shown = net.api("GET", f"/v2.0/ports/{ports[0]['id']}")["port"]
        assert (shown["pvlan_type"], shown["pvlan_community"]) == (None, None)
        assert of_pvlan(net) == []
        net.update("network", network["id"], pvlan=True)
        net.settle()
        assert sent(net, a, flow) == {b}
        found = net.api("GET", "/v2.0/ports?pvlan_type=promiscuous")["ports"]
        assert {port["id"] for port in found} >= {port["id"] for port in ports}
        net.verify()


def test_two_tenants_and_a_network_without_pvlan_know_nothing_of_it(net: Lab) -> None:
    net.attach(net.port(net.network("10.0.0.0/24", "fd00::/64")))
    assert of_pvlan(net) == []
    found = []
    for project in ("red", "blue"):
        network = private(net, project=project)
        ports = [net.port(network, **kind) for kind in (ISOLATED, ISOLATED, PROMISCUOUS)]
        taps = [net.attach(port) for port in ports]
        found.append((ports, taps))
    for ports, taps in found:
        assert sent(net, taps[0], frame(ports[0], BROADCAST)) == {taps[2]}
        assert sent(net, taps[0], frame(ports[0], ports[1]["mac_address"])) == set()


def test_what_the_api_refuses(net: Lab) -> None:
    plain, network = net.network("10.0.0.0/24"), private(net)
    assert plain["pvlan"] is False
    port = net.port(plain)
    assert (port["pvlan_type"], port["pvlan_community"]) == (None, None)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (plain, ISOLATED, "has no pvlan"),
        (plain, {"pvlan_community": "web"}, "has no pvlan"),
        (network, {"pvlan_type": "community"}, "say which"),
        (network, {**ISOLATED, "pvlan_community": "web"}, "leave it out"),
        (network, {"pvlan_community": "web"}, "leave it out"),
        (network, {"pvlan_type": "primary"}, "not in"),
        (network, {**WEB, "pvlan_community": "1web"}, "valid"),
        (network, {**WEB, "pvlan_community": ""}, "valid"),
        (network, {"port_security_enabled": False}, "no port security"),
    ]
    for on, attributes, words in refused:
        with pytest.raises(Refused, match=words) as error:
            net.port(on, **attributes)
        assert error.value.status == 400
    shown = net.port(network)
    assert (shown["pvlan_type"], shown["pvlan_community"]) == ("promiscuous", None)
    with pytest.raises(Refused, match="no port security"):
        net.update("network", network["id"], port_security_enabled=False)
    with pytest.raises(Refused, match="no port security"):
        net.network(pvlan=True, port_security_enabled=False)
    net.port(plain, port_security_enabled=False)
    with pytest.raises(Refused, match="no port security"):
        net.update("network", plain["id"], pvlan=True)
    # What was refused has changed nothing.
    assert net.api("GET", f"/v2.0/networks/{plain['id']}")["network"]["pvlan"] is False
    assert net.api("GET", f"/v2.0/ports/{port['id']}")["port"]["pvlan_type"] is None
    aliases = {one["alias"] for one in net.api("GET", "/v2.0/extensions")["extensions"]}
    assert "pvlan" in aliases
