# SPDX-License-Identifier: Apache-2.0

"""Each cause for which a packet is dropped, named and counted by a real switch."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenantry.controller.model import Network, Port
from tenantry.controller.openflow.drops import Whose, account
from tenantry.controller.openflow.oxm import value_text
from tenantry.controller.openflow.pipeline import DROP_CAUSE, IN_PORT, UNPROVEN, Table
from tenantry.controller.packets.own_addresses import SERVICE_MAC
from tests.api.lbaas import LBAAS
from tests.contract import CAUSES, OWNERS
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_l2 import BROADCAST, STRANGER
from tests.trace.test_routing import UPSTREAM, Site, macs

SERVICE = value_text("eth_dst", SERVICE_MAC)


class Dropped(NamedTuple):
    """A trace, as ``ofproto/trace`` tells it."""

    text: str

    @property
    def causes(self) -> set[str]:
        """The names of the causes for which the packet, or a copy of it, is dropped. (A flood
        that has gone to somebody passes DROP with a cause, too, and is on nobody's account.)"""
        cause = rf"set_field:(0x[0-9a-f]+)->{DROP_CAUSE}"
        leads = rf"(?:goto_table:|resubmit\(,){Table.DROP.id}\)?"
        values = re.findall(rf"{cause}\s+{leads}\s+{Table.DROP.id}\. {DROP_CAUSE}=", self.text)
        return {CAUSES[int(value, 16)].name for value in values}

    @property
    def meters(self) -> set[str]:
        """The names of the causes of the meters that it passes."""
        used = re.findall(r"^ *(\d+)\. .*\n +meter:\d+", self.text, re.MULTILINE)
        tables = {table for table in Table if str(table.id) in used}
        said = (cause for table in tables for cause in OWNERS[table].tables[table].drops)
        return {cause.name for cause in said if cause.whose is Whose.METER}


def counted(net: Lab) -> dict[tuple[str, tuple[int, ...]], int]:
    """What DROPPED has learned: cause and whose, with the packets after the first."""
    net.ovs.appctl("revalidator/purge")  # what was counted is added up
    found = {}
    for line in net.ovs.ofctl("dump-flows", "br-int", f"table={Table.DROPPED.id}").splitlines():
        if "n_packets" in line:
            match = dict(re.findall(r"(reg\d+|in_port)=\"?(\w+)", line.partition(" actions")[0]))
            told = account({field: int(value, 0) for field, value in match.items()})
            assert told is not None, line
            (cause,) = (one for one in CAUSES.values() if one.number == told.number)
            packets = int(re.findall(r"n_packets=(\d+)", line)[0])
            found[cause.name, tuple(told.fields.values())] = packets
    return found


def send(net: Lab, interface: str, frame: str, times: int) -> None:
    for _ in range(times):
        net.ovs.appctl("netdev-dummy/receive", interface, frame)


def test_each_cause_and_port_is_counted_by_itself_and_over_a_restart(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    spoofed = f"eth(src={STRANGER},dst={BROADCAST}),eth_type(0x1234)"
    with lab(dummy_ovs, tmp_path) as net:
        ports = [net.port(net.network("10.0.0.0/24")) for _ in range(2)]
        a, b = (net.attach(port) for port in ports)
        assert counted(net) == {}
        send(net, a, spoofed, 3)
        send(net, b, spoofed, 6)
        send(net, b, f"eth(src={ports[1]['mac_address']},dst={STRANGER}),eth_type(0x1234)", 2)
        key, other = (net.controller.model.all(Port)[port["id"]].key for port in ports)
        told = {
            ("not_its_address", (key,)): 2,
            ("not_its_address", (other,)): 5,
            ("unknown_destination", (other,)): 1,
        }
        assert counted(net) == told
        net.verify()
    with lab(dummy_ovs, tmp_path) as net:
        net.settle()
        net.verify()
        assert counted(net) == told
        send(net, a, spoofed, 4)
        assert counted(net) == told | {("not_its_address", (key,)): 6}


def test_what_the_switch_has_learned_stays_and_nothing_else(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    with lab(dummy_ovs, tmp_path) as net:
        a = net.attach(net.port(net.network("10.0.0.0/24")))
        send(net, a, f"eth(src={STRANGER},dst={BROADCAST}),eth_type(0x1234)", 3)
        before = counted(net)
        assert list(before.values()) == [2]
        flow = f"table={Table.DROPPED.id},priority=200,{DROP_CAUSE}=0x20301,{IN_PORT}=77"
        net.ovs.ofctl("add-flow", "br-int", f"{flow},actions=drop")
        net.until(lambda: counted(net) == before)
        net.verify()


# --- each cause is named -------------------------------------------------------------------------


class Stage(Site):
    """All that packets may fail at: networks with groups and without, routers, firewalls ..."""

    def __init__(self, net: Lab) -> None:
        super().__init__(net)
        local = {"provider:network_type": "local"}
        self.alone = net.network("10.9.0.0/24", **local)
        self.small = net.network("10.3.0.0/24", "fd03::/64", mtu=1280)
        for subnet in net.subnets(self.small):
            net.interface(self.router, subnet_id=subnet["id"])
        self.bare = net.network("10.4.0.0/24", **local)
        self.empty = net.network("10.8.0.0/24", **local)
        self.lone_router = net.router(self.bare, self.empty)
        self.fenced = net.network("10.6.0.0/24")
        for subnet in net.subnets(self.fenced):
            net.interface(self.router, subnet_id=subnet["id"])
        (pool,) = net.api("GET", "/v2.0/subnetpools")["subnetpools"]
        self.proxied = net.network("10.7.0.0/24", "fd00:7::/64", pool6=pool["id"], **local)
        self.proxy = net.router(self.proxied, outside=self.outside, enable_ndp_proxy=True)
        self.private = net.network("10.5.0.0/24", "fd05::/64", pvlan=True)
        for name, network, more in (
            ("alone", self.alone, {}),
            ("small", self.small, {}),
            ("bare", self.bare, {}),
            ("private1", self.private, {"pvlan_type": "isolated"}),
            ("private2", self.private, {"pvlan_type": "isolated"}),
            ("private3", self.private, {"pvlan_type": "isolated"}),
            ("silent", self.one, {"security_groups": []}),
            ("any", self.one, {"port_security_enabled": False, "security_groups": []}),
            ("other", self.one, {"security_groups": [self.group()]}),
            ("walled", self.one, {}),
            ("rejected", self.one, {}),
            ("local", self.one, {}),
            ("proxied", self.proxied, {}),
            ("fenced", self.fenced, {}),
            ("limited", self.one, {"qos_policy_id": self.policy()}),
        ):
            self.ports[name] = net.port(network, **more)
            self.taps[name] = net.attach(
                self.ports[name], "br-two" if name == "private3" else "br-int"
            )
        net.ovs.vsctl("add-port", "br-int", "nobody")
        self.wall("walled", "deny")
        self.wall("rejected", "reject")
        self.wall(self.leg(self.small), "deny")
        self.wall(self.leg(self.fenced), "reject")
        self.local_ip = net.create("local_ip", network_id=self.one["id"])
        path = f"/v2.0/local_ips/{self.local_ip['id']}/port_associations"
        behind = {"fixed_port_id": self.ports["local"]["id"]}
        net.api("POST", path, {"port_association": behind})
        self.balancer = self.balance()
        for router in (self.router, self.lone_router, self.proxy):
            self.macs |= macs(net, router)
        net.settle()

    def mac(self, name: str) -> str:
        mac: str = self.ports[name]["mac_address"]
        return mac

    def says(self, name: str, to: str, kind: str = "udp", **more: Any) -> Dropped:
        """What becomes of a frame of a port."""
        port = self.ports[name]
        fields = {"dl_src": port["mac_address"], "dl_dst": to, **more}
        if kind.startswith(("udp", "tcp", "icmp")) and "nw_src" not in fields:
            six = kind.endswith("6")
            fields.setdefault("nw_ttl", 64)
            fields["ipv6_src" if six else "nw_src"] = self.address(name, 6 if six else 4)
        bridge = "br-two" if name in ("one2", "two2", "private3") else "br-int"
        return self.trace(self.taps[name], kind, bridge, **fields)

    def routed(self, name: str, to: str, kind: str = "", **more: Any) -> Dropped:
        """What becomes of a packet to somewhere behind the port's router."""
        version = 6 if ":" in to else 4
        mac = self.macs[self.ports[name]["network_id"], version]
        more["ipv6_dst" if version == 6 else "nw_dst"] = to
        return self.says(name, mac, kind or ("udp6" if version == 6 else "udp"), **more)

    def trace(
        self, interface: str, kind: str, bridge: str = "br-int", ct: str = "trk,new", **fields: Any
    ) -> Dropped:
        flow = ",".join([kind, *(f"{key}={value}" for key, value in fields.items())])
        states = [word for _ in range(3) for word in ("--ct-next", ct)]
        packet = f"in_port={interface},{flow}"
        return Dropped(self.net.ovs.appctl("ofproto/trace", bridge, packet, *states))

    def inside(self, table: Table, **registers: int) -> Dropped:
        """What becomes of a packet that is in a table, by no way that flows lead there."""
        sets = [f"set_field:{value}->{field}" for field, value in registers.items()]
        actions = ",".join([*sets, f"resubmit(,{table.id})"])
        flow = "in_port=CONTROLLER,udp,nw_ttl=64,nw_dst=239.7.7.7"
        return Dropped(self.net.ovs.appctl("ofproto/trace-packet-out", "br-int", flow, actions))

    def balance(self) -> Any:
        """A load balancer: nobody answers at port 80, few may ask at 81, and seldom at 53."""
        pool = {"name": "nobody", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
        members = [{"address": self.address("two1"), "protocol_port": 53}]
        names = {**pool, "name": "names", "protocol": "UDP", "members": members}
        listeners = [
            {"protocol": "TCP", "protocol_port": 80, "default_pool": pool},
            {"protocol": "TCP", "protocol_port": 81, "allowed_cidrs": ["192.0.2.0/24"]},
            {
                "protocol": "UDP",
                "protocol_port": 53,
                "connection_limit": 200,
                "default_pool": names,
            },
        ]
        asked = {"vip_network_id": self.one["id"], "listeners": listeners}
        made = self.net.api("POST", f"{LBAAS}/loadbalancers", {"loadbalancer": asked})
        return made["loadbalancer"]

    def balanced(self, port: int, kind: str = "tcp", **more: Any) -> Dropped:
        """What becomes of a packet for the load balancer."""
        address, id = self.balancer["vip_address"], self.balancer["vip_port_id"]
        mac = self.net.api("GET", f"/v2.0/ports/{id}")["port"]["mac_address"]
        return self.says("one1", mac, kind, nw_dst=address, **{f"{kind}_dst": port}, **more)

    def group(self) -> str:
        """A security group of nobody else."""
        body = {"security_group": {"name": "other"}}
        id: str = self.net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
        return id

    def policy(self) -> str:
        """A policy of quality of service, which limits both ways, also at the gateway."""
        policy = self.net.api("POST", "/v2.0/qos/policies", {"policy": {"name": "p"}})["policy"]
        path = f"/v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules"
        for direction in ("egress", "ingress"):
            rule = {"max_kbps": 1000, "direction": direction}
            self.net.api("POST", path, {"bandwidth_limit_rule": rule})
        gateway = {"network_id": self.outside["id"], "qos_policy_id": policy["id"]}
        self.net.update("router", self.router["id"], external_gateway_info=gateway)
        id: str = policy["id"]
        return id

    def leg(self, network: Any) -> str:
        """The router's port on a network."""
        query = f"/v2.0/ports?device_id={self.router['id']}&network_id={network['id']}"
        id: str = self.net.api("GET", query)["ports"][0]["id"]
        return id

    def wall(self, port: str, action: str) -> None:
        """A firewall before a port, for which one rule stands."""
        rule = self.fwaas("rule", "rules", action=action, ip_version=4)
        policy = self.fwaas("policy", "policies", firewall_rules=[rule])
        both = {f"{way}_firewall_policy_id": policy for way in ("ingress", "egress")}
        self.fwaas(
            "group",
            "groups",
            ports=[self.ports[port]["id"] if port in self.ports else port],
            **both,
        )

    def fwaas(self, kind: str, collection: str, **attributes: Any) -> str:
        body = {f"firewall_{kind}": attributes}
        made = self.net.api("POST", f"/v2.0/fwaas/firewall_{collection}", body)
        id: str = made[f"firewall_{kind}"]["id"]
        return id

    def key(self, network: Any) -> int:
        return self.net.controller.model.all(Network)[network["id"]].key


Case = Callable[[Stage], Dropped]
CASES: dict[str, Case] = {
    "group_source": lambda s: s.trace(s.taps["one1"], "udp", dl_src="01:00:5e:00:00:01"),
    "bridge_protocol": lambda s: s.says("one1", "01:80:c2:00:00:0e"),
    "no_such_tag": lambda s: s.says("one1", STRANGER, dl_vlan=7),
    "switched_off": lambda s: s.trace("nobody", "udp", dl_src=STRANGER),
    "too_much_to_many": lambda s: s.says("one1", BROADCAST),
    "not_answered": lambda s: s.says("one1", SERVICE),
    "unknown_destination": lambda s: s.says("alone", STRANGER),
    "nobody_hears": lambda s: s.inside(Table.FLOOD, metadata=s.key(s.empty), reg15=0),
    "no_way_out": lambda s: s.inside(Table.OUTPUT, metadata=s.key(s.alone), reg15=77),
    "nobody_asked": lambda s: s.inside(Table.MULTICAST, metadata=s.key(s.empty), reg15=0),
    "too_much_sent": lambda s: s.says("limited", BROADCAST),
    "too_much_received": lambda s: s.says("one1", s.mac("limited")),
    "too_much_outside": lambda s: s.routed("one1", "203.0.113.1"),
    "not_its_address": lambda s: s.says("one1", BROADCAST, nw_src="10.1.0.77"),
    "forbidden_message": lambda s: s.says("one1", BROADCAST, udp_src=67),
    "hidden_message": lambda s: s.says("one1", BROADCAST, "icmp6", icmpv6_type=0),
    "too_much_to_answer": lambda s: s.says(
        "one1", BROADCAST, nw_src="0.0.0.0", nw_dst="255.255.255.255", udp_src=68, udp_dst=67
    ),
    "answered_elsewhere": lambda s: s.trace(
        "trunk0",
        "arp",
        dl_vlan=s.tag(s.one),
        dl_src=STRANGER,
        dl_dst=BROADCAST,
        arp_op=1,
        arp_sha=STRANGER,
        arp_spa="10.1.0.99",
        arp_tpa=s.address("one2"),
    ),
    "unforeseen": lambda s: s.inside(Table.ND_REPLY),
    "no_service_port": lambda s: s.says(
        "one2", SERVICE, "tcp", nw_dst="169.254.169.254", tcp_dst=80
    ),
    "not_ip": lambda s: s.says("any", s.macs[s.one["id"], 4], "dl_type=0x88b5"),
    "of_one_link": lambda s: s.routed("one1", "224.0.0.5"),
    "time_is_up": lambda s: s.routed("one1", s.address("two1"), nw_ttl=1),
    "no_route": lambda s: s.routed("bare", "198.51.100.1"),
    "other_scope": lambda s: s.routed("one1", s.address("small", 6)),
    "router_is_silent": lambda s: s.routed("one1", "10.1.0.1", "icmp", icmp_type=3),
    "too_large": lambda s: s.routed("one1", s.address("small")),
    "no_neighbour": lambda s: s.routed("one1", "203.0.113.77"),
    "back_outside": lambda s: s.trace(
        "uplink0",
        "udp",
        dl_src=UPSTREAM,
        dl_dst=s.macs[s.outside["id"], 4],
        nw_ttl=60,
        nw_src="192.0.2.1",
        nw_dst="198.51.100.9",
    ),
    "not_routed_here": lambda s: s.trace(
        "trunk1",
        "udp",
        "br-two",
        dl_vlan=s.tag(s.one),
        dl_src=STRANGER,
        dl_dst=s.macs[s.one["id"], 4],
        nw_dst=s.address("two2"),
    ),
    "no_egress_rule": lambda s: s.says("silent", s.mac("one1")),
    "no_ingress_rule": lambda s: s.says("one1", s.mac("other")),
    "invalid_leaving": lambda s: s.says("one1", s.mac("other"), ct="trk,inv"),
    "invalid_entering": lambda s: s.says("any", s.mac("one1"), ct="trk,inv"),
    "not_ip_leaving": lambda s: s.says("one1", STRANGER, "dl_type=0x88b5"),
    "not_ip_entering": lambda s: s.says("any", s.mac("one1"), "dl_type=0x88b5"),
    "no_flows_yet_leaving": lambda s: s.inside(Table.FROM_PORT_CT, reg14=77),
    "no_flows_yet_entering": lambda s: s.inside(Table.TO_PORT_CT, reg15=77),
    "too_many_connections": lambda s: s.says("one1", s.mac("two1")),
    "denied_leaving": lambda s: s.says("walled", s.mac("one1")),
    "denied_entering": lambda s: s.says("one1", s.mac("walled")),
    "denied_routed": lambda s: s.routed("one1", s.address("small")),
    "rejected_leaving": lambda s: s.says("rejected", s.mac("one1")),
    "rejected_entering": lambda s: s.says("one1", s.mac("rejected")),
    "rejected_routed": lambda s: s.routed("one1", s.address("fenced")),
    "invalid_routed": lambda s: s.routed("any", s.address("fenced"), ct="trk,inv"),
    "another_behind_it": lambda s: s.says(
        "one1", s.mac("local"), nw_dst=s.local_ip["local_ip_address"], ct="trk,est"
    ),
    "no_member": lambda s: s.balanced(80),
    "not_allowed": lambda s: s.balanced(81),
    "member_gone": lambda s: s.inside(Table.VIP),
    "no_listener": lambda s: s.balanced(82),
    "too_many_for_listener": lambda s: s.balanced(53, "udp"),
    "nobody_there": lambda s: s.inside(Table.HEALTH),
    "old_connection": lambda s: s.inside(Table.ROUTER_NAT_DONE, reg9=UNPROVEN),
    "not_proxied": lambda s: s.trace(
        "uplink0",
        "udp6",
        dl_src=UPSTREAM,
        dl_dst=s.macs[s.outside["id"], 6],
        nw_ttl=60,
        ipv6_src="2001:db8:7::7",
        ipv6_dst=s.address("proxied", 6),
    ),
    "other_community": lambda s: s.says("private1", s.ports["private2"]["mac_address"]),
    "other_community_beyond": lambda s: s.says("private1", s.ports["private3"]["mac_address"]),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    options = {"networks__vlan_ranges": "wire:100:199", "multicast__snooping": "true"}
    with (
        OpenVSwitch(dummy=True) as ovs,
        tempfile.TemporaryDirectory() as directory,
        lab(ovs, Path(directory), groups=True, **options) as net,
    ):
        yield Stage(net)


ELSEWHERE = {"not_the_gateway": "tests/hosts/test_gateways.py"}
"""Causes that need several hosts, and the tests that trace them."""


@pytest.mark.parametrize("name", [c.name for c in CAUSES.values() if c.name not in ELSEWHERE])
def test_each_cause_is_named_by_what_it_drops(stage: Stage, name: str) -> None:
    told = CASES[name](stage)
    assert name in told.causes | told.meters, told.text


@pytest.mark.parametrize(("name", "file"), ELSEWHERE.items())
def test_other_causes_are_named_elsewhere(name: str, file: str) -> None:
    assert f"{name.upper()}.value" in (Path(__file__).parents[2] / file).read_text()
