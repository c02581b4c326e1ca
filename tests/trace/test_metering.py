# SPDX-License-Identifier: Apache-2.0

"""What labels have counted is the sum of all switches, and outlasts moves and restarts."""

from __future__ import annotations

from pathlib import Path

from tests.lab import lab
from tests.netns.test_metering import label, packets
from tests.openvswitch import OpenVSwitch
from tests.trace.test_routing import ANYWHERE, Site

OPTIONS = {"networks__vlan_ranges": "wire:100:199"}


def sends(site: Site, name: str, interface: str, times: int) -> None:
    """A machine sends UDP to the outside."""
    port = site.ports[name]
    ends = f"src={port['mac_address']},dst={site.macs[port['network_id'], 4]}"
    ip = f"src={site.address(name)},dst={ANYWHERE},proto=17,tos=0,ttl=64,frag=no"
    frame = f"in_port(1),eth({ends}),eth_type(0x0800),ipv4({ip}),udp(src=7,dst=7)"
    for _ in range(times):
        site.net.ovs.appctl("netdev-dummy/receive", interface, frame)


def test_counts_outlast_moves_and_restarts(dummy_ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(dummy_ovs, tmp_path, **OPTIONS) as net:
        site = Site(net)
        net.wire("br-two", "uplink1", "uplink")
        for name in ("one1", "one2"):  # each is translated on its own switch
            net.floating_ip(site.outside, site.ports[name])
        paid = label(net, ("egress", {"remote_ip_prefix": "10.1.0.0/24"}), project="demo")
        site.knows_upstream()
        assert packets(net, paid) == (0, 0)
        sends(site, "one1", site.taps["one1"], 3)
        sends(site, "one2", site.taps["one2"], 2)
        assert packets(net, paid) == (5, 0)
        net.detach(site.taps["one1"])
        site.taps["one1"] = net.attach(site.ports["one1"], "br-two")
        net.settle()
        assert packets(net, paid) == (5, 0)
        sends(site, "one1", site.taps["one1"], 4)
        assert packets(net, paid) == (9, 0)
        where = str(net.controller.openflow)
        net.verify()
    with lab(dummy_ovs, tmp_path, openflow__listen=where, **OPTIONS) as again:
        again.until(lambda: len(again.controller.progress.reconcilers) == 2)
        again.settle()
        assert packets(again, paid) == (9, 0)
        site.net = again
        site.knows_upstream()
        sends(site, "one1", site.taps["one1"], 1)
        assert packets(again, paid) == (10, 0)
