# SPDX-License-Identifier: Apache-2.0

"""Limits and marks: which meters a packet meets, and what is written into it, told by
``ofproto/trace``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.multicast.records import Asked, Membership
from tenantry.apps.qos.flows import smallest_burst
from tenantry.controller.model import Address, Change, Port
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import Table
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.qos_policies import change, give, give_gateway, kilopackets, limits, policy, rule
from tests.story import split
from tests.trace.test_l2 import BROADCAST, sent
from tests.trace.test_routing import ANYWHERE, NEW, Site, forward

TABLES = [table.id for table in Table if table.owner == "qos"]
OUT, IN = MeterUse.FROM_PORT_BITS, MeterUse.TO_PORT_BITS
OUT_PACKETS, IN_PACKETS = MeterUse.FROM_PORT_PACKETS, MeterUse.TO_PORT_PACKETS
USES = (OUT, IN, OUT_PACKETS, IN_PACKETS)


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    ranges = {"networks__vlan_ranges": "wire:100:199"}
    with lab(dummy_ovs, tmp_path, **ranges) as running:
        yield running
        running.verify()


def meters(net: Lab) -> dict[int, str]:
    """The meters of quality of service, by id: unit, rate and burst."""
    dump = net.ovs.ofctl("dump-meters", "br-int")
    told = re.findall(r"meter=(\d+) (\w+).*\n.*rate=(\d+) burst_size=(\d+)", dump)
    return {int(id): " ".join(rest) for id, *rest in told if int(id) >> 24 in USES}


def key(net: Lab, port: Any) -> int:
    number: int = net.controller.model.all(Port)[port["id"]].key
    return number


def met(net: Lab, interface: str, flow: str, bridge: str = "br-int", *ct_next: str) -> list[int]:
    """The meters of quality of service that a packet meets, in their order."""
    words = [word for state in ct_next for word in ("--ct-next", state)]
    text = net.ovs.appctl("ofproto/trace", bridge, f"in_port={interface},{flow}", *words)
    met = [int(id) for id in re.findall(r"^ +meter:(\d+)$", text, re.MULTILINE)]
    return [id for id in met if id >> 24 in USES]


def between(ports: list[Any], kind: str = "udp", **more: Any) -> str:
    """A packet from the first of two ports to the second."""
    one, other = ports
    version = 6 if kind.endswith("6") else 4
    source, destination = ("nw_src", "nw_dst") if version == 4 else ("ipv6_src", "ipv6_dst")
    addresses = [
        next(
            ip["ip_address"]
            for ip in port["fixed_ips"]
            if (":" in ip["ip_address"]) == (version == 6)
        )
        for port in ports
    ]
    fields = {
        "dl_src": one["mac_address"],
        "dl_dst": other["mac_address"],
        source: addresses[0],
        destination: addresses[1],
        "nw_ttl": 64,
        **more,
    }
    return ",".join([kind, *(f"{name}={value}" for name, value in fields.items())])


def test_a_limit_costs_a_flow_and_a_meter_a_direction(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    ports = [net.port(network, port_security_enabled=False) for _ in range(2)]
    taps = [net.attach(port) for port in ports]
    assert (_limiting(net), meters(net)) == ([], {})
    slow = policy(net, bandwidth_limit=limits(1000))
    give(net, "port", ports[0], slow)
    mine = key(net, ports[0])
    assert meters(net) == dict.fromkeys((OUT.meter(mine), IN.meter(mine)), "kbps 1000 1000")
    assert len(_limiting(net)) == 2
    for kind in ("udp", "udp6"):
        assert met(net, taps[0], between(ports, kind)) == [OUT.meter(mine)]
        assert met(net, taps[1], between(ports[::-1], kind)) == [IN.meter(mine)]
    give(net, "port", ports[0], None)
    assert (_limiting(net), meters(net)) == ([], {})


def _limiting(net: Lab) -> list[str]:
    """The flows of quality of service, but for those of tables that nothing matched."""
    flows = net.ovs.ofctl("dump-flows", "--no-names", "--no-stats", "br-int").splitlines()
    owned = [flow for flow in flows if any(f"table={id}," in flow for id in TABLES)]
    return [flow for flow in owned if "priority=0" not in flow]


def test_between_two_that_are_limited_both_are_asked_once(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network, port_security_enabled=False) for _ in range(2)]
    taps = [net.attach(port) for port in ports]
    slow = policy(net, bandwidth_limit=limits(1000))
    net.update("network", network["id"], qos_policy_id=slow["id"])
    net.settle()
    assert met(net, taps[0], between(ports)) == [
        OUT.meter(key(net, ports[0])),
        IN.meter(key(net, ports[1])),
    ]


def test_bits_packets_and_a_mark_together(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    ports = [net.port(network, port_security_enabled=False) for _ in range(2)]
    taps = [net.attach(port) for port in ports]
    whole = policy(
        net,
        bandwidth_limit=limits(1000, max_burst_kbps=1),
        packet_rate_limit=kilopackets(2),
        dscp_marking={"dscp_mark": 26},
    )
    give(net, "port", ports[0], whole)
    mine = key(net, ports[0])
    # A burst that no frame fits in would stop all of them.
    bits, packets = f"kbps 1000 {smallest_burst(1500)}", "pktps 2000 2000"
    assert meters(net) == {
        **dict.fromkeys((OUT.meter(mine), IN.meter(mine)), bits),
        **dict.fromkeys((OUT_PACKETS.meter(mine), IN_PACKETS.meter(mine)), packets),
    }
    for kind, mark in (("udp", "ipv4(tos=0x68/0xfc"), ("udp6", "ipv6(tclass=0x68/0xfc")):
        out = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{between(ports, kind)}")
        assert f"set({mark}" in out, out
        assert met(net, taps[0], between(ports, kind)) == [
            OUT.meter(mine),
            OUT_PACKETS.meter(mine),
        ]
        back = between(ports[::-1], kind)
        assert met(net, taps[1], back) == [IN.meter(mine), IN_PACKETS.meter(mine)]
        assert "0x68" not in net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[1]},{back}")
    # What is no IP has no DSCP; and it keeps its second bits, where congestion is told (RFC 3168).
    asks = f"arp,dl_src={ports[0]['mac_address']},dl_dst={BROADCAST}"
    assert met(net, taps[0], asks)[:2] == [OUT.meter(mine), OUT_PACKETS.meter(mine)]
    assert "0x68" not in net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{asks}")


def test_packets_alone_or_a_mark_alone(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network, port_security_enabled=False) for _ in range(2)]
    taps = [net.attach(port) for port in ports]
    some = policy(net, packet_rate_limit=kilopackets(1))
    give(net, "port", ports[0], some)
    mine = key(net, ports[0])
    assert met(net, taps[0], between(ports)) == [OUT_PACKETS.meter(mine)]
    marked = policy(net, dscp_marking={"dscp_mark": 10})
    give(net, "port", ports[0], marked)
    assert meters(net) == {}
    text = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{between(ports)}")
    assert "set(ipv4(tos=0x28/0xfc" in text


def test_a_meter_that_changes_is_changed_in_its_place(net: Lab) -> None:
    """Nothing else is written: not even for a moment is there no meter, or no flow."""
    port = net.port(net.network("10.0.0.0/24"))
    net.attach(port)
    slow = policy(net)
    out = rule(net, slow, "bandwidth_limit", max_kbps=1000, direction="egress")
    give(net, "port", port, slow)
    meter = OUT.meter(key(net, port))
    flows = net.ovs.ofctl("dump-flows", "--no-stats", "br-int")
    (reconciler,) = net.controller.progress.reconcilers.values()
    added, deleted = reconciler.sent.added, reconciler.sent.deleted
    age = _seconds(net, meter)
    change(net, slow, "bandwidth_limit", out["id"], max_kbps=5000, max_burst_kbps=9000)
    net.settle()
    assert meters(net) == {meter: "kbps 5000 9000"}
    assert (reconciler.sent.added, reconciler.sent.deleted) == (added + 1, deleted)
    assert net.ovs.ofctl("dump-flows", "--no-stats", "br-int") == flows
    assert _seconds(net, meter) >= age  # a new one would be younger
    # From bits to packets: another meter, and the flow goes over to it.
    net.api("DELETE", f"/v2.0/qos/policies/{slow['id']}/bandwidth_limit_rules/{out['id']}")
    rule(net, slow, "packet_rate_limit", max_kpps=1, direction="egress")
    net.settle()
    assert meters(net) == {OUT_PACKETS.meter(key(net, port)): "pktps 1000 1000"}


def _seconds(net: Lab, meter: int) -> float:
    told = net.ovs.ofctl("meter-stats", "br-int", f"meter={meter}")
    return float(re.findall(r"duration:([\d.]+)s", told)[0])


def test_a_copy_that_is_dropped_takes_no_other_with_it(net: Lab) -> None:
    """A meter ends the packet for all that comes after it: copies for ports that have one are
    branches."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network, port_security_enabled=False) for _ in range(4)]
    taps = [net.attach(port) for port in ports]
    slow = policy(net, bandwidth_limit=limits(1000))
    for port in ports[1:3]:
        give(net, "port", port, slow)
    unknown = "52:54:00:00:00:99"
    for to in (BROADCAST, "01:00:5e:00:00:fb", unknown):
        flow = f"udp,dl_src={ports[0]['mac_address']},dl_dst={to}"
        one, two = (IN.meter(key(net, port)) for port in ports[1:3])
        assert met(net, taps[0], flow) == [one, two]
        text = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{flow}", "--names")
        actions = split(re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)[-1])
        if to != unknown:
            assert actions.pop(0).startswith("meter(")  # of what the sender says to many
        branches = [action for action in actions if action.startswith("check_pkt_len(")]
        assert [action for action in actions if action not in branches] == [taps[3]]
        for branch, tap in zip(branches, taps[1:3], strict=True):
            # Nothing is too large.
            taken = rf"check_pkt_len\(size=65535,gt\(drop\),le\(meter\(\d+\),{tap}\)\)"
            assert re.fullmatch(taken, branch), branch
    # What only some have asked for is copied for each of them, likewise.
    group = Address(4, 0xEF010203)
    asked = [
        Membership((port["id"], group), network["id"], port["id"], group) for port in ports[1:]
    ]
    (dpid,) = net.controller.progress.reconcilers
    heard = [Change(Asked, dpid, Asked(dpid))]
    net.controller.inbox.submit(heard + [Change(Membership, one.id, one) for one in asked])
    net.settle()
    to_group = f"udp,dl_src={ports[0]['mac_address']},dl_dst=01:00:5e:01:02:03,nw_dst=239.1.2.3"
    assert met(net, taps[0], to_group) == [one, two]
    text = net.ovs.appctl("ofproto/trace", "br-int", f"in_port={taps[0]},{to_group}")
    assert text.count("le(meter(") == 2
    # To a known one there is nothing to branch.
    assert sent(net, taps[0], between([ports[0], ports[3]])) == {taps[3]}


def test_sub_ports_of_a_trunk_count_for_themselves(net: Lab) -> None:
    parent, child = (net.port(net.network(f"10.{n}.0.0/24")) for n in (1, 2))
    others = [
        net.port({"id": port["network_id"], "project_id": "demo"}) for port in (parent, child)
    ]
    tap = net.attach(parent)
    for other in others:
        net.attach(other)
    net.create(
        "trunk",
        port_id=parent["id"],
        sub_ports=[
            {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 7},
        ],
    )
    slow = policy(net, bandwidth_limit=limits(1000))
    for port in (parent, child):
        give(net, "port", port, slow)
    arp = "arp,dl_dst=ff:ff:ff:ff:ff:ff"
    for port, tag in ((parent, ""), (child, ",dl_vlan=7")):
        flow = f"{arp},dl_src={port['mac_address']}{tag}"
        assert met(net, tap, flow) == [OUT.meter(key(net, port))]


# --- what passes a router's gateway ----------------------------------------------------------


@pytest.fixture
def site(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Site]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as net:
        yield Site(net)
        net.verify()


def _holder(site: Site, floating: Any) -> Any:
    (port,) = site.net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    return port


def _way(site: Site, name: str, to: str) -> str:
    port = site.ports[name]
    fields = {
        "dl_src": port["mac_address"],
        "dl_dst": site.macs[port["network_id"], 6 if ":" in to else 4],
        **({"ipv6_src": site.address(name, 6), "ipv6_dst": to} if ":" in to else {}),
        **({} if ":" in to else {"nw_src": site.address(name), "nw_dst": to}),
        "nw_ttl": 64,
    }
    kind = "udp6" if ":" in to else "udp"
    return ",".join([kind, *(f"{name}={value}" for name, value in fields.items())])


def _arriving(mac: str, to: str, kind: str = "udp", **more: Any) -> str:
    fields = {"dl_src": "02:00:00:00:00:01", "dl_dst": mac, "nw_src": ANYWHERE, "nw_dst": to}
    fields |= {"nw_ttl": 60, **more}
    return ",".join([kind, *(f"{name}={value}" for name, value in fields.items())])


def test_a_floating_ip_is_limited_where_it_is_translated(site: Site) -> None:
    net = site.net
    floating = net.floating_ip(site.outside, site.ports["one1"])
    marked = policy(
        net,
        bandwidth_limit=limits(1000),
        packet_rate_limit=kilopackets(1),
        dscp_marking={"dscp_mark": 46},
    )
    give(net, "floatingip", floating, marked)
    holder = _holder(site, floating)
    mine, address = key(net, holder), floating["floating_ip_address"]
    out, back = (OUT.meter(mine), OUT_PACKETS.meter(mine)), (IN.meter(mine), IN_PACKETS.meter(mine))
    tap = site.taps["one1"]
    assert met(net, tap, _way(site, "one1", ANYWHERE)) == [*out]
    assert site.send("one1", ANYWHERE).sets["ipv4.tos"] == "0xb8/0xfc"
    assert met(net, "uplink0", _arriving(holder["mac_address"], address)) == [*back]
    told = site.arrive(holder["mac_address"], address)
    assert (told.left, told.passes) == ({tap}, 1)
    # Whole or in pieces; but not to the router's other network, nor what is routed as it is.
    later = _arriving(holder["mac_address"], address, ip_frag="later")
    assert met(net, "uplink0", later, "br-int", "trk,est") == [*back]
    assert met(net, tap, _way(site, "one1", site.address("two1"))) == []
    assert met(net, tap, _way(site, "one1", "2001:db8:7::7")) == []
    # Another machine's is not this one's.
    assert met(net, site.taps["two1"], _way(site, "two1", ANYWHERE), "br-int", NEW) == []


def test_a_gateway_is_limited_but_for_floating_ips(site: Site) -> None:
    net = site.net
    floating = net.floating_ip(site.outside, site.ports["one1"])
    slow = policy(net, bandwidth_limit=limits(2000))
    give_gateway(net, site.router, slow)
    (gateway,) = (
        port
        for port in net.api("GET", f"/v2.0/ports?device_id={site.router['id']}")["ports"]
        if port["device_owner"] == "network:router_gateway"
    )
    mine, holder = key(net, gateway), _holder(site, floating)
    tap = site.taps["two1"]
    assert met(net, tap, _way(site, "two1", ANYWHERE), "br-int", NEW) == [OUT.meter(mine)]
    assert met(net, tap, _way(site, "two1", "2001:db8:7::7")) == [OUT.meter(mine)]
    shared = _arriving(site.macs[site.outside["id"], 4], site.gateway())
    assert met(net, "uplink0", shared, "br-int", "trk,est,rpl") == []  # nobody's, untranslated
    assert met(net, tap, _way(site, "two1", site.address("one1"))) == []
    # A floating IP without a policy is under no other.
    assert met(net, site.taps["one1"], _way(site, "one1", ANYWHERE)) == []
    arriving = _arriving(holder["mac_address"], floating["floating_ip_address"])
    assert met(net, "uplink0", arriving) == []
    # What another switch sends to the gateway is asked there, not where it starts.
    assert met(net, site.taps["two2"], _way(site, "two2", ANYWHERE), "br-two", NEW) == []


def test_forwarded_ports_are_under_the_policy_of_their_floating_ip(site: Site) -> None:
    net = site.net
    holder = forward(site, "one1", external_port=2222, internal_port=22)
    slow = policy(net, bandwidth_limit=limits(1000))
    net.update("floatingip", holder["device_id"], qos_policy_id=slow["id"])
    net.settle()
    mine, address = key(net, holder), holder["fixed_ips"][0]["ip_address"]
    tap = site.taps["one1"]
    asked = _arriving(holder["mac_address"], address, "tcp", tp_dst=2222)
    assert met(net, "uplink0", asked, "br-int", NEW) == [IN.meter(mine)]
    answer = _way(site, "one1", ANYWHERE).replace("udp", "tcp", 1) + ",tp_src=22"
    assert met(net, tap, answer, "br-int", "trk,est,rpl") == [OUT.meter(mine)]
    assert met(net, tap, answer.replace("tp_src=22", "tp_src=23"), "br-int", NEW) == []
