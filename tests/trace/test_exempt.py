# SPDX-License-Identifier: Apache-2.0

"""What passes a port that no rule is for: what a link cannot do without, no further than the link.
Told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, NamedTuple

import pytest

from tenantry.controller.packets.addresses import link_local
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.story import trace

ALL_NODES, BROADCAST = "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"
ON_LINK = "icmp6,ipv6_src={src},ipv6_dst={dst},nw_ttl=255,icmpv6_code=0"
LISTENER = "icmp6,ipv6_src={ll},ipv6_dst=ff02::16,nw_ttl=1"
ASKS = "udp,nw_ttl=64,udp_src=68,udp_dst=67"
ANSWERS = "udp,nw_dst={dst4},nw_ttl=64,udp_src=67,udp_dst=68"
ASKS_6 = "udp6,ipv6_src={ll},nw_ttl=64,udp_src=546,udp_dst=547"
ANSWERS_6 = "udp6,nw_ttl=64,udp_src=547,udp_dst=546"
ROUTER = f"{ON_LINK},icmpv6_type=134".replace("{src}", "fe80::1")

BOTH_WAYS = {
    "neighbour solicitation": f"{ON_LINK},icmpv6_type=135",
    "neighbour advertisement": f"{ON_LINK},icmpv6_type=136,nd_target={{src}}",
    "MLD query": f"{LISTENER},icmpv6_type=130",
    "MLD report": f"{LISTENER},icmpv6_type=131",
    "MLD done": f"{LISTENER},icmpv6_type=132",
    "MLDv2 report": f"{LISTENER},icmpv6_type=143",
    "MLDv2 report without an address": f"{LISTENER},icmpv6_type=143".replace("{ll}", "::"),
}
OUT = {
    **BOTH_WAYS,
    "router solicitation": f"{ON_LINK},icmpv6_type=133",
    "DHCP": f"{ASKS},nw_src=0.0.0.0,nw_dst=255.255.255.255",
    "DHCPv6": f"{ASKS_6},ipv6_dst=ff02::1:2",
}
IN = {
    **BOTH_WAYS,
    "router advertisement": ROUTER,
    "DHCP of the network's own": f"{ANSWERS},nw_src=10.1.0.99",
    "DHCPv6 of the link": f"{ANSWERS_6},ipv6_src=fe80::1,ipv6_dst=fe80::2",
}
"""What passes, out of a port and into one."""

NOT_OUT = {
    "DHCP to one server": f"{ASKS},nw_src={{src4}},nw_dst=10.1.0.99",
    "DHCP to the world": f"{ASKS},nw_src={{src4}},nw_dst=198.51.100.7",
    "DHCPv6 to the world": f"{ASKS_6},ipv6_dst=2001:db8::7",
}
NOT_IN = {
    "router solicitation": f"{ON_LINK},icmpv6_type=133",
    "router advertisement of a global address": ROUTER.replace("fe80::1", "fd01::1"),
    "DHCP of others": f"{ANSWERS},nw_src=198.51.100.7",
    "DHCPv6 of others": f"{ANSWERS_6},ipv6_src=2001:db8::7,ipv6_dst={{dst}}",
}
"""What does not."""

LINK_TYPES = (*range(130, 138), 141, 142, 143, 148, 149, 151, 152, 153)


class Site(NamedTuple):
    """In each of two networks that a router joins a port that no rule is for (``closed``), one that
    nobody judges (``free``), and one that rules let have everything (``open``). DHCP is served in
    the second network only."""

    net: Lab
    ports: dict[str, Any]
    gates: dict[str, str]  # MAC addresses of the router's ports, by the senders' names

    def passes(self, sender: str, receiver: str, packet: str) -> bool:
        """From port to port, by the router if it has to be so."""
        source, target = self.ports[sender], self.ports[receiver]
        src, dst = own(source, ":"), own(target, ":")
        told = packet.format(
            src=src, dst=dst, src4=own(source, "."), dst4=own(target, "."), ll=local(source)
        )
        routed = source["network_id"] != target["network_id"]
        mac = self.gates[sender] if routed else target["mac_address"]
        flow = f"{told},dl_src={source['mac_address']},dl_dst={mac}"
        return receiver in trace(self.net, sender, flow, ct_next=("trk,new",) * 2).left


def own(port: Any, mark: str) -> str:
    return next(ip["ip_address"] for ip in port["fixed_ips"] if mark in ip["ip_address"])


def local(port: Any) -> str:
    return str(IPv6Address(link_local(int(port["mac_address"].replace(":", ""), 16))))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    free = {"port_security_enabled": False, "security_groups": []}
    with (
        OpenVSwitch(dummy=True) as ovs,
        lab(ovs, tmp_path_factory.mktemp("lab"), groups=True) as net,
    ):
        networks = [net.network(f"10.{n}.0.0/24", f"fd0{n}::/64") for n in (1, 2)]
        for subnet in net.subnets(networks[0]):
            net.update("subnet", subnet["id"], enable_dhcp=False)
        router = net.router(*networks)
        body = {"security_group": {"name": "open", "stateful": False}}
        opened = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
        for family in ("IPv4", "IPv6"):
            rule = {"security_group_id": opened, "direction": "ingress", "ethertype": family}
            net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        ports = {}
        for network, mark in zip(networks, ("", "2"), strict=True):
            ports[f"closed{mark}"] = net.port(network, security_groups=[])
            ports[f"free{mark}"] = net.port(network, **free)
            ports[f"open{mark}"] = net.port(network, security_groups=[opened])
        for name, port in ports.items():
            net.attach(port, interface=name)
        net.settle()
        found = net.api("GET", f"/v2.0/ports?device_id={router['id']}")["ports"]
        macs = {port["network_id"]: port["mac_address"] for port in found}
        yield Site(net, ports, {name: macs[port["network_id"]] for name, port in ports.items()})
        net.verify()


@pytest.mark.parametrize("packet", OUT.values(), ids=OUT.keys())
def test_what_a_link_needs_leaves_a_port(site: Site, packet: str) -> None:
    assert site.passes("closed", "free", packet)


@pytest.mark.parametrize("packet", IN.values(), ids=IN.keys())
def test_what_a_link_needs_enters_a_port(site: Site, packet: str) -> None:
    assert site.passes("free", "closed", packet)


@pytest.mark.parametrize("packet", NOT_OUT.values(), ids=NOT_OUT.keys())
def test_what_is_for_others_does_not_leave(site: Site, packet: str) -> None:
    assert not site.passes("closed", "free", packet)
    assert site.passes("open", "free", packet), "a rule lets it"


@pytest.mark.parametrize("packet", NOT_IN.values(), ids=NOT_IN.keys())
def test_what_is_of_others_does_not_enter(site: Site, packet: str) -> None:
    assert not site.passes("free", "closed", packet)
    assert site.passes("free", "open", packet), "a rule lets it"


def test_where_dhcp_is_served_nobody_else_answers(site: Site) -> None:
    assert not site.passes("free2", "closed2", f"{ANSWERS},nw_src=10.2.0.99")
    link_local = "ipv6_src=fe80::1,ipv6_dst=fe80::2"
    assert not site.passes("free2", "closed2", f"{ANSWERS_6},{link_local}")


@pytest.mark.parametrize("hops", [255, 64, 1])
@pytest.mark.parametrize("kind", LINK_TYPES)
def test_nothing_of_a_link_goes_by_a_router(site: Site, kind: int, hops: int) -> None:
    """Not even between those who might have everything; and on the link to nobody by another hop
    limit, or to one host alone."""
    packet = f"icmp6,ipv6_src={{src}},ipv6_dst={{dst}},nw_ttl={hops},icmpv6_code=0"
    packet += f",icmpv6_type={kind}"
    assert not site.passes("free", "open2", packet)
    assert not site.passes("closed", "open2", packet)
    assert not site.passes("free2", "closed", packet)
    if hops != 255 or kind not in (133, 135, 136):
        assert not site.passes("closed", "free", packet)
        assert not site.passes("free", "closed", packet)
    echo = packet.replace(f"icmpv6_type={kind}", "icmpv6_type=128")
    assert site.passes("free", "open2", echo) == (hops > 1)


def test_answers_of_dhcp_servers_do_not_go_by_a_router(site: Site) -> None:
    """Not even in the name of a server on the link."""
    for source in ("10.1.0.99", "10.2.0.99", "198.51.100.7"):
        for receiver in ("closed", "open"):
            assert not site.passes("free2", receiver, f"{ANSWERS},nw_src={source}")
    other = "udp,nw_src=10.2.0.99,nw_dst={dst4},nw_ttl=64,udp_src=67,udp_dst=69"
    assert site.passes("free2", "open", other), "what is no answer does"
