# SPDX-License-Identifier: Apache-2.0

"""What OVS does with single packets of an L2 network, told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

BROADCAST = "ff:ff:ff:ff:ff:ff"
STRANGER = "52:54:00:00:00:99"


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def sent(net: Lab, interface: str, flow: str) -> set[str]:
    """The interfaces that a packet leaves by, each with its tag if it bears one there."""
    trace = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={interface},{flow}", "--names")
    actions = trace.rpartition("Datapath actions: ")[2].strip()
    out: set[str] = set()
    tag = ""
    for action in actions.split(","):
        if action.startswith("push_vlan"):
            tag = action.partition("vid=")[2].rstrip(")")
        elif action == "pop_vlan":
            tag = ""
        elif action != "drop" and not action.startswith(("pcp=", "meter(")):
            out.add(f"{action}.{tag}" if tag else action)
    return out


def test_known_unicast_goes_to_its_port_alone(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    ports = [net.port(network) for _ in range(3)]
    a, b, _ = (net.attach(port) for port in ports)
    src, dst = ports[0]["mac_address"], ports[1]["mac_address"]
    four, six = (ip["ip_address"] for ip in ports[0]["fixed_ips"])
    ping = "icmpv6_type=128,nw_ttl=64"
    assert sent(net, a, f"icmp,dl_src={src},dl_dst={dst},nw_src={four},nw_ttl=64") == {b}
    assert sent(net, a, f"icmp6,{ping},dl_src={src},dl_dst={dst},ipv6_src={six}") == {b}


def test_broadcast_reaches_the_network_and_nothing_else(net: Lab) -> None:
    red, blue = net.network("10.0.0.0/24"), net.network("10.0.0.0/24", project="other")
    reds = [net.port(red) for _ in range(3)]
    a, b, c = (net.attach(port) for port in reds)
    net.attach(net.port(blue))
    net.ovs.vsctl("add-port", "br-int", "nobody")
    assert sent(net, a, f"dl_src={reds[0]['mac_address']},dl_dst={BROADCAST}") == {b, c}
    assert sent(net, a, f"dl_src={reds[0]['mac_address']},dl_dst=33:33:00:00:00:01") == {b, c}
    assert sent(net, "nobody", f"dl_src={STRANGER},dl_dst={BROADCAST}") == set()


def test_unknown_unicast_goes_where_something_unknown_may_be(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    a, _ = (net.attach(port) for port in ports)
    unknown = f"dl_src={ports[0]['mac_address']},dl_dst={STRANGER}"
    assert sent(net, a, unknown) == set()
    learns = net.attach(net.port(network, port_security_enabled=False))
    pair = [{"ip_address": "10.0.0.200", "mac_address": STRANGER}]
    allowed = net.attach(net.port(network, allowed_address_pairs=pair))
    assert sent(net, a, unknown) == {learns, allowed}
    net.ovs.appctl(
        "ofproto/trace",
        "br-int",
        f"in_port={allowed},arp,dl_src={STRANGER},dl_dst={BROADCAST},arp_op=2"
        f",arp_sha={STRANGER},arp_spa=10.0.0.200",
        "-generate",
    )
    assert sent(net, a, unknown) == {allowed}


def test_a_tenant_may_not_choose_a_vlan_or_talk_bridge_protocols(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    a, _ = (net.attach(port) for port in ports)
    src, dst = (port["mac_address"] for port in ports)
    assert sent(net, a, f"dl_vlan=5,dl_src={src},dl_dst={dst}") == set()
    assert sent(net, a, f"dl_src={src},dl_dst=01:80:c2:00:00:00") == set()
    assert sent(net, a, f"dl_src=01:00:00:00:00:01,dl_dst={dst}") == set()


def test_vlan_network_is_tagged_on_the_wire_only(net: Lab) -> None:
    net.wire("br-int", "wire0", "wire")
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    vlan = net.api("GET", f"/v2.0/networks/{network['id']}")["network"]
    tag = vlan["provider:segmentation_id"]
    ports = [net.port(network) for _ in range(2)]
    a, b = (net.attach(port) for port in ports)
    src, dst = (port["mac_address"] for port in ports)
    assert sent(net, a, f"dl_src={src},dl_dst={BROADCAST}") == {f"wire0.{tag}", b}
    assert sent(net, a, f"dl_src={src},dl_dst={dst}") == {b}
    assert sent(net, "wire0", f"dl_vlan={tag},dl_src={STRANGER},dl_dst={src}") == {a}
    assert sent(net, "wire0", f"dl_vlan={tag},dl_src={STRANGER},dl_dst={BROADCAST}") == {a, b}
    assert sent(net, "wire0", f"dl_vlan={tag + 1},dl_src={STRANGER},dl_dst={src}") == set()
    assert sent(net, "wire0", f"dl_src={STRANGER},dl_dst={src}") == set()


def test_flat_network_is_untagged_or_priority_tagged(net: Lab) -> None:
    net.wire("br-int", "wire0", "plain")
    network = net.network(
        "10.0.0.0/24",
        **{"provider:network_type": "flat", "provider:physical_network": "plain"},
    )
    port = net.port(network)
    a = net.attach(port)
    mac = port["mac_address"]
    assert sent(net, a, f"dl_src={mac},dl_dst={BROADCAST}") == {"wire0"}
    assert sent(net, "wire0", f"dl_src={STRANGER},dl_dst={mac}") == {a}
    assert sent(net, "wire0", f"vlan_tci=0xf000,dl_src={STRANGER},dl_dst={mac}") == {a}
    assert sent(net, "wire0", f"dl_vlan=7,dl_src={STRANGER},dl_dst={mac}") == set()


def test_one_vlan_id_on_two_wires_is_two_networks(net: Lab) -> None:
    taps = {}
    for wire in ("wire", "other"):
        net.wire("br-int", f"{wire}0", wire)
        network = net.network(
            "10.0.0.0/24",
            **{
                "provider:network_type": "vlan",
                "provider:physical_network": wire,
                "provider:segmentation_id": 150,
            },
        )
        taps[wire] = net.attach(net.port(network))
    for wire, tap in taps.items():
        assert sent(net, f"{wire}0", f"dl_vlan=150,dl_src={STRANGER},dl_dst={BROADCAST}") == {tap}


def test_a_port_on_another_switch_is_reached_by_the_wire(net: Lab) -> None:
    net.add_bridge("br-two")
    net.wire("br-int", "wire0", "wire")
    network = net.network("10.0.0.0/24")
    here, there = net.port(network), net.port(network)
    a = net.attach(here)
    net.attach(there, bridge="br-two")
    net.settle()
    flow = f"dl_src={here['mac_address']},dl_dst={there['mac_address']}"
    (way,) = sent(net, a, flow)
    assert way.startswith("wire0.")


def test_what_is_behind_a_port_without_security_is_learned(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    open_port = net.port(network, port_security_enabled=False)
    bridge = net.attach(open_port)
    other = net.attach(net.port(network, port_security_enabled=False))
    ports = [net.port(network) for _ in range(2)]
    a, _ = (net.attach(port) for port in ports)
    flow = f"dl_src={ports[0]['mac_address']},dl_dst={STRANGER}"
    assert sent(net, a, flow) == {bridge, other}
    net.ovs.appctl(
        "ofproto/trace",
        "br-int",
        f"in_port={bridge},dl_src={STRANGER},dl_dst={BROADCAST}",
        "-generate",
    )
    assert sent(net, a, flow) == {bridge}
    net.detach(bridge)
    assert bridge not in sent(net, a, flow)
    assert not [line for line in net.flows("br-int") if STRANGER in line]


def test_learning_is_limited(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    bridge = net.attach(net.port(network, port_security_enabled=False))
    for number in range(70):
        net.ovs.appctl(
            "ofproto/trace",
            "br-int",
            f"in_port={bridge},dl_src=52:54:00:00:01:{number:02x},dl_dst={BROADCAST}",
            "-generate",
        )
    learned = [line for line in net.flows("br-int") if "52:54:00:00:01" in line]
    assert len(learned) == 64
