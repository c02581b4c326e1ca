# SPDX-License-Identifier: Apache-2.0

"""Questions from the physical network, told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import BROADCAST, STRANGER, sent


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def test_a_question_from_the_wire_goes_to_the_port_it_is_about(net: Lab) -> None:
    net.add_bridge("br-two")
    net.wire("br-int", "wire0", "wire")
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    shown = net.api("GET", f"/v2.0/networks/{network['id']}")["network"]
    vlan = shown["provider:segmentation_id"]
    here, other, there = (net.port(network) for _ in range(3))
    a, _ = net.attach(here), net.attach(other)
    net.attach(there, bridge="br-two")
    net.settle()
    for port, expected in ((here, {a}), (there, set())):
        four, six = (ip["ip_address"] for ip in port["fixed_ips"])
        head = f"dl_vlan={vlan},dl_src={STRANGER}"
        arp = f"arp,{head},dl_dst={BROADCAST},arp_op=1,arp_spa=10.0.0.9,arp_tpa={four}"
        solicitation = (
            f"icmp6,{head},dl_dst=33:33:ff:00:00:02,icmpv6_type=135,icmpv6_code=0,nw_ttl=255"
            f",ipv6_src=2001:db8::9,nd_target={six},nd_sll={STRANGER}"
        )
        assert sent(net, "wire0", arp) == expected
        assert sent(net, "wire0", solicitation) == expected


def test_what_the_wire_asks_of_nobody_known_everybody_hears(net: Lab) -> None:
    """A router out there may announce that it has moved."""
    net.wire("br-int", "wire0", "wire")
    network = net.network("10.0.0.0/24")
    shown = net.api("GET", f"/v2.0/networks/{network['id']}")["network"]
    ports = {net.attach(net.port(network)) for _ in range(2)}
    announcement = (
        f"arp,dl_vlan={shown['provider:segmentation_id']},dl_src={STRANGER},dl_dst={BROADCAST}"
        f",arp_op=1,arp_sha={STRANGER},arp_spa=10.0.0.1,arp_tpa=10.0.0.1"
    )
    assert sent(net, "wire0", announcement) == ports
