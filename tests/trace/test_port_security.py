# SPDX-License-Identifier: Apache-2.0

"""Who a tenant's port may say it is: what passes and what does not, told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import BROADCAST, STRANGER, sent

MAC, OTHER_MAC = "fa:16:3e:00:00:0a", "fa:16:3e:00:00:0b"
PAIR_MAC = "00:00:5e:00:01:05"
V4, V6 = "10.0.0.10", "2001:db8::10"
LINK_LOCAL, OTHER_LINK_LOCAL = "fe80::f816:3eff:fe00:a", "fe80::f816:3eff:fe00:b"
PAIR_LINK_LOCAL = "fe80::200:5eff:fe00:105"
ALL_NODES = "33:33:00:00:00:01"

OWN = f"dl_src={MAC},dl_dst={OTHER_MAC}"
TO_ALL = f"dl_src={MAC},dl_dst={BROADCAST}"
ARP = f"arp,{OWN},arp_op=2,arp_tpa=10.0.0.11,arp_tha={OTHER_MAC}"
NA = f"icmp6,{OWN},icmpv6_type=136,icmpv6_code=0,nw_ttl=255,ipv6_src={LINK_LOCAL}"
NS = f"icmp6,{OWN},icmpv6_type=135,icmpv6_code=0,nw_ttl=255,nd_target=2001:db8::99"

PASS = {
    "IPv4": f"icmp,{OWN},nw_src={V4}",
    "IPv6": f"icmp6,{OWN},ipv6_src={V6},icmpv6_type=128",
    "IPv6 link-local": f"icmp6,{OWN},ipv6_src={LINK_LOCAL},icmpv6_type=128",
    "ARP reply": f"{ARP},arp_sha={MAC},arp_spa={V4}",
    "ARP announcement": f"arp,{TO_ALL},arp_op=2,arp_sha={MAC},arp_spa={V4},arp_tpa={V4}",
    "ND advertisement": f"{NA},nd_target={V6},nd_tll={MAC}",
    "ND advertisement, link-local": f"{NA},nd_target={LINK_LOCAL},nd_tll={MAC}",
    "ND advertisement, no option": f"{NA},nd_target={V6}",
    "MLD report without an address": f"icmp6,dl_src={MAC},dl_dst={ALL_NODES},ipv6_src=::"
    ",icmpv6_type=143",
    "a first fragment": f"icmp6,{OWN},ipv6_src={V6},icmpv6_type=128,nw_frag=first",
    "a later fragment": f"ipv6,{OWN},ipv6_src={V6},nw_proto=44,nw_frag=later",
    "another protocol": f"dl_type=0x88b5,{OWN}",
    "pair: IPv4 in a range": f"icmp,{OWN},nw_src=192.0.2.77",
    "pair: IPv6 in a range": f"icmp6,{OWN},ipv6_src=2001:db8:7::77,icmpv6_type=128",
    "pair: its MAC and IPv4": f"icmp,dl_src={PAIR_MAC},dl_dst={OTHER_MAC},nw_src=10.0.0.200",
    "pair: its link-local": f"icmp6,dl_src={PAIR_MAC},dl_dst={OTHER_MAC},ipv6_src={PAIR_LINK_LOCAL}"
    ",icmpv6_type=128",
    "pair: ARP": f"arp,dl_src={PAIR_MAC},dl_dst={OTHER_MAC},arp_op=2,arp_sha={PAIR_MAC}"
    ",arp_spa=10.0.0.200,arp_tpa=10.0.0.11",
    "pair: ARP from the port's own MAC": f"{ARP},arp_sha={MAC},arp_spa=192.0.2.77",
    "pair: ND": f"{NA},nd_target=2001:db8:7::77,nd_tll={MAC}",
}
SPOOF = {
    "MAC": f"icmp,dl_src={STRANGER},dl_dst={OTHER_MAC},nw_src={V4}",
    "MAC of another port": f"icmp,dl_src={OTHER_MAC},dl_dst={MAC},nw_src=10.0.0.11",
    "MAC, another protocol": f"dl_type=0x88b5,dl_src={STRANGER},dl_dst={OTHER_MAC}",
    "IPv4": f"icmp,{OWN},nw_src=10.0.0.12",
    "IPv4 of another port": f"icmp,{OWN},nw_src=10.0.0.11",
    "IPv4 without an address": f"icmp,{OWN},nw_src=0.0.0.0",
    "IPv6": f"icmp6,{OWN},ipv6_src=2001:db8::12,icmpv6_type=128",
    "IPv6 link-local of another": f"icmp6,{OWN},ipv6_src={OTHER_LINK_LOCAL},icmpv6_type=128",
    "IPv6 without an address": f"icmp6,{OWN},ipv6_src=::,icmpv6_type=128",
    "IPv6 that is an IPv4 address": f"icmp6,{OWN},ipv6_src=::ffff:10.0.0.10,icmpv6_type=128",
    "ARP: MAC inside": f"{ARP},arp_sha={OTHER_MAC},arp_spa={V4}",
    "ARP: IP": f"{ARP},arp_sha={MAC},arp_spa=10.0.0.11",
    "ARP: MAC of the frame": f"arp,dl_src={STRANGER},dl_dst={OTHER_MAC},arp_op=2,arp_sha={MAC}"
    f",arp_spa={V4},arp_tpa=10.0.0.11",
    "ARP request: MAC inside": f"arp,{TO_ALL},arp_op=1,arp_sha={OTHER_MAC},arp_spa={V4}"
    ",arp_tpa=10.0.0.99",
    "ARP announcement of another's": f"arp,{TO_ALL},arp_op=1,arp_sha={MAC},arp_spa=10.0.0.11"
    ",arp_tpa=10.0.0.11",
    "ND solicitation: option": f"{NS},ipv6_src={V6},nd_sll={OTHER_MAC}",
    "ND solicitation: source": f"{NS},ipv6_src=2001:db8::11,nd_sll={MAC}",
    "ND advertisement: target": f"{NA},nd_target=2001:db8::11,nd_tll={MAC}",
    "ND advertisement: target, no option": f"{NA},nd_target=2001:db8::11",
    "ND advertisement: option": f"{NA},nd_target={V6},nd_tll={OTHER_MAC}",
    "ND redirect": f"icmp6,{OWN},icmpv6_type=137,nw_ttl=255,ipv6_src={LINK_LOCAL}",
    "rogue DHCP": f"udp,{OWN},nw_src={V4},udp_src=67,udp_dst=68",
    "rogue DHCPv6": f"udp6,{OWN},ipv6_src={V6},udp_src=547,udp_dst=546",
    "rogue RA": f"icmp6,dl_src={MAC},dl_dst={ALL_NODES},icmpv6_type=134,nw_ttl=255"
    f",ipv6_src={LINK_LOCAL}",
    "ND in fragments": f"{NA},nd_target={V6},nd_tll={MAC},nw_frag=first",
    "ICMPv6 of which only extension headers are there": f"icmp6,{OWN},ipv6_src={V6},icmpv6_type=0"
    ",nw_frag=first",
    "UDP of which only extension headers are there": f"udp6,{OWN},ipv6_src={V6},udp_src=0,udp_dst=0"
    ",nw_frag=first",
    "pair: its IPv4 with another MAC": f"icmp,{OWN},nw_src=10.0.0.200",
    "pair: its MAC with the port's IPv4": f"icmp,dl_src={PAIR_MAC},dl_dst={OTHER_MAC},nw_src={V4}",
    "pair: beside the range": f"icmp,{OWN},nw_src=192.0.2.129",
    "pair: ARP for the range from its MAC": f"arp,dl_src={PAIR_MAC},dl_dst={OTHER_MAC},arp_op=2"
    f",arp_sha={PAIR_MAC},arp_spa=192.0.2.77,arp_tpa=10.0.0.11",
}


@pytest.fixture(scope="module")
def one_ovs() -> Iterator[OpenVSwitch]:
    with OpenVSwitch(dummy=True) as running:
        yield running


@pytest.fixture(scope="module")
def net(one_ovs: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(one_ovs, tmp_path_factory.mktemp("lab")) as running:
        network = running.network("10.0.0.0/24", "2001:db8::/64")
        pairs = [
            {"ip_address": "192.0.2.0/25"},
            {"ip_address": "2001:db8:7::/64"},
            {"ip_address": "10.0.0.200", "mac_address": PAIR_MAC},
        ]
        fixed_ips = [{"ip_address": V4}, {"ip_address": V6}]
        a = running.port(network, mac_address=MAC, fixed_ips=fixed_ips, allowed_address_pairs=pairs)
        fixed_ips = [{"ip_address": "10.0.0.11"}, {"ip_address": "2001:db8::11"}]
        b = running.port(network, mac_address=OTHER_MAC, fixed_ips=fixed_ips)
        free = running.port(network, port_security_enabled=False)
        running.attach(a, interface="a")
        running.attach(b, interface="b")
        running.attach(free, interface="free")
        yield running
        running.verify()


@pytest.mark.parametrize("packet", PASS.values(), ids=PASS.keys())
def test_own_addresses_and_allowed_pairs_pass(net: Lab, packet: str) -> None:
    assert "b" in sent(net, "a", packet)


@pytest.mark.parametrize("packet", SPOOF.values(), ids=SPOOF.keys())
def test_spoofed_is_dropped(net: Lab, packet: str) -> None:
    assert sent(net, "a", packet) == set()


@pytest.mark.parametrize("packet", SPOOF.values(), ids=SPOOF.keys())
def test_without_port_security_anything_passes(net: Lab, packet: str) -> None:
    """The table above also shows that nothing else drops these packets."""
    back = packet.replace(f"dl_dst={MAC}", f"dl_dst={OTHER_MAC}")
    assert sent(net, "free", back)


def test_what_a_port_may_say_before_it_has_an_address(net: Lab) -> None:
    """Nobody else hears it: the model knows whose address it is."""
    for packet in (
        f"arp,{TO_ALL},arp_op=1,arp_sha={MAC},arp_spa=0.0.0.0,arp_tpa={V4}",
        f"icmp6,dl_src={MAC},dl_dst=33:33:ff:00:00:10,icmpv6_type=135,icmpv6_code=0,nw_ttl=255"
        f",ipv6_src=::,nd_target={V6}",
    ):
        assert sent(net, "a", packet) == {"free"}


def test_off_for_a_network_and_on_for_a_port(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64", port_security_enabled=False)
    a, b = net.port(network), net.port(network, port_security_enabled=True)
    net.attach(a, interface="off")
    net.attach(b, interface="on")
    spoofed = f"icmp,dl_src={STRANGER},nw_src=192.0.2.1"
    assert sent(net, "off", f"{spoofed},dl_dst={b['mac_address']}") == {"on"}
    assert sent(net, "on", f"{spoofed},dl_dst={a['mac_address']}") == set()
    net.update("port", b["id"], port_security_enabled=False)
    net.settle()
    assert sent(net, "on", f"{spoofed},dl_dst={a['mac_address']}") == {"off"}
