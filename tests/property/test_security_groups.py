# SPDX-License-Identifier: Apache-2.0

"""Random security groups, in a real Open vSwitch, let through exactly what a plain reference says:
the first packet of a connection, and the answer to it, on one switch and over two."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.property.security_reference import (
    TRACKABLE,
    WITH_PORTS,
    Group,
    Machine,
    Packet,
    Rule,
    World,
    turned,
)
from tests.story import trace

WORLDS = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 20
CASES = 50
GROUPS = ("g1", "g2", "g3", "g4")
ADDRESSES = ("a1", "a2")
BRIDGES = ("br-int", "br-int", "br-int", "br-two", "br-two")
"""Where the machines are."""

PORTS = (22, 80, 81, 83, 1023, 1024, 65535)
CLIENT = 4242
CIDRS = {4: "10.0.0.0/24", 6: "fd00::/64"}
PREFIXES = {
    4: ("0.0.0.0/0", "10.0.0.0/24", "10.0.0.10/31", "10.0.0.12/32", "192.0.2.0/24"),
    6: ("::/0", "fd00::/64", "fd00::a/127", "fd00::c/128", "2001:db8::/32"),
}


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    version = draw(st.sampled_from([4, 6]))
    icmp = 1 if version == 4 else 58
    protocol = draw(st.sampled_from([None, None, 6, 6, 17, icmp, 112, 132]))
    first = last = None
    if protocol in WITH_PORTS and draw(st.booleans()):
        first, last = sorted((draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))))
    elif protocol == icmp and draw(st.booleans()):
        first = 8 if version == 4 else 128
        last = draw(st.sampled_from([None, 0, 1]))
    end = draw(st.sampled_from(["", "", "prefix", "group", "addresses"]))
    return Rule(
        *(draw(st.booleans()), version, protocol, first, last),
        prefix=draw(st.sampled_from(PREFIXES[version])) if end == "prefix" else None,
        group=draw(st.sampled_from(GROUPS)) if end == "group" else None,
        addresses=draw(st.sampled_from(ADDRESSES)) if end == "addresses" else None,
    )


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    version = draw(st.sampled_from([4, 6]))
    icmp = 1 if version == 4 else 58
    protocol = draw(st.sampled_from([6, 6, 17, icmp, 112, 132]))
    ports = (8 if version == 4 else 128, 0) if protocol == icmp else _NO
    if protocol in WITH_PORTS:
        ports = (CLIENT, draw(st.sampled_from(PORTS)))
    return Packet(version, protocol, ports, draw(st.sampled_from(["", "", "first", "later"])))


_NO = (0, 0)
pairs = st.sampled_from(list(permutations(range(len(BRIDGES)), 2)))
prefixes = st.sampled_from([*PREFIXES[4][1:], *PREFIXES[6][1:]])
worlds = st.fixed_dictionaries(
    {
        "stateful": st.lists(st.booleans(), min_size=2, max_size=2),
        "rules": st.lists(st.lists(rules(), max_size=8), min_size=4, max_size=4),
        "open": st.lists(st.booleans(), min_size=8, max_size=8),
        "addresses": st.lists(st.lists(prefixes, max_size=3, unique=True), min_size=2, max_size=2),
        # Of g1 and g2, or of g3 and g4: two of a kind, since a port cannot mix kinds.
        "groups": st.lists(
            st.tuples(st.integers(0, 1), st.sets(st.integers(0, 1), max_size=2)),
            min_size=len(BRIDGES),
            max_size=len(BRIDGES),
        ),
        "cases": st.lists(
            st.tuples(pairs, packets(), st.booleans()),
            min_size=CASES,
            max_size=CASES,
        ),
    }
)


class Built:
    """A world in the lab, and what the reference knows of it."""

    def __init__(self, net: Lab, drawn: dict[str, Any]) -> None:
        self.net = net
        self.world = World(
            {name: Group(drawn["stateful"][number // 2]) for number, name in enumerate(GROUPS)},
            dict(zip(ADDRESSES, drawn["addresses"], strict=True)),
        )
        self.ids = {
            name: self._group(name, group.stateful) for name, group in self.world.groups.items()
        }
        for name, addresses in self.world.address_groups.items():
            body = {"address_group": {"name": name, "addresses": addresses}}
            made = net.api("POST", "/v2.0/address-groups", body)
            self.ids[name] = made["address_group"]["id"]
        for number, (name, some) in enumerate(zip(GROUPS, drawn["rules"], strict=True)):
            opened = [
                Rule(ingress, version)
                for ingress in (False, True)
                for version in (4, 6)
                if drawn["open"][2 * number + ingress]
            ]
            for rule in dict.fromkeys([*some, *opened]):
                self._rule(name, rule)
        number = next(_numbers)
        vlan = {
            "provider:network_type": "vlan",
            "provider:physical_network": "wire",
            "provider:segmentation_id": number,
        }
        self.tag = str(number)
        network = net.network(*CIDRS.values(), **vlan)
        self.machines, self.ports, self.taps = [], [], []
        for at, (pair, which) in enumerate(drawn["groups"]):
            groups = tuple(GROUPS[2 * pair + one] for one in sorted(which))
            fixed = [{"ip_address": f"10.0.0.{10 + at}"}, {"ip_address": f"fd00::{10 + at:x}"}]
            port = net.port(
                network, security_groups=[self.ids[name] for name in groups], fixed_ips=fixed
            )
            self.ports.append(port)
            self.taps.append(net.attach(port, BRIDGES[at]))
            self.machines.append(
                Machine(groups, {4: fixed[0]["ip_address"], 6: fixed[1]["ip_address"]})
            )
        net.settle()

    def _group(self, name: str, stateful: bool) -> str:
        body = {"security_group": {"name": name, "stateful": stateful}}
        group = self.net.api("POST", "/v2.0/security-groups", body)["security_group"]
        for rule in group["security_group_rules"]:
            self.net.api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
        id: str = group["id"]
        return id

    def _rule(self, name: str, rule: Rule) -> None:
        said = {
            "security_group_id": self.ids[name],
            "direction": "ingress" if rule.ingress else "egress",
            "ethertype": f"IPv{rule.version}",
            "protocol": rule.protocol and str(rule.protocol),
            "port_range_min": rule.first,
            "port_range_max": rule.last,
            "remote_ip_prefix": rule.prefix,
            "remote_group_id": rule.group and self.ids[rule.group],
            "remote_address_group_id": rule.addresses and self.ids[rule.addresses],
        }
        try:
            self.net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": said})
        except Exception as error:
            assert "SecurityGroupRuleExists" in str(error)
        self.world.groups[name].rules.append(rule)

    def close(self) -> None:
        for tap in self.taps:
            self.net.ovs.vsctl("del-port", tap)
        for port in self.ports:
            self.net.delete("port", port["id"])

    def check(self, a: int, b: int, packet: Packet, answer: bool) -> None:
        """The packet from ``a`` to ``b``; or ``b``'s answer to it."""
        client, server, world = self.machines[a], self.machines[b], self.world
        if answer:
            leaves = world.answer_may_leave(client, packet, server)
            enters = world.answer_may_enter(client, packet, server)
            sender, receiver, shown = b, a, turned(packet)
        else:
            leaves = world.may_leave(client, packet, server)
            enters = world.may_enter(client, packet, server)
            sender, receiver, shown = a, b, packet
        here, there = BRIDGES[sender], BRIDGES[receiver]
        text = self._flow(sender, receiver, shown)
        told = self._trace(self.taps[sender], here, text, a, b, packet, answer)
        where = {self.taps[receiver]} if here == there else {f"{_WIRES[here]}.{self.tag}"}
        expected = where if leaves and (enters or here != there) else set()
        assert told == expected, (answer, packet, client, server, text)
        if here != there:
            tagged = f"dl_vlan={self.tag},{text}"
            told = self._trace(_WIRES[there], there, tagged, a, b, packet, answer)
            expected = {self.taps[receiver]} if enters else set()
            assert told == expected, ("from the wire", answer, packet, client, server, text)

    def _flow(self, sender: int, receiver: int, packet: Packet) -> str:
        macs = (self.ports[number]["mac_address"] for number in (sender, receiver))
        src, dst = (self.machines[n].addresses[packet.version] for n in (sender, receiver))
        six = "6" * (packet.version == 6)
        family = "ipv6" if six else "nw"
        addresses = f"{family}_src={src}", f"{family}_dst={dst}"
        words = [_KINDS.get(packet.protocol, f"ip{'v' * bool(six)}{six}"), "nw_ttl=64", *addresses]
        words += [f"dl_{end}={mac}" for end, mac in zip(("src", "dst"), macs, strict=True)]
        if packet.cut == "later":
            words[0] = f"ipv6,nw_proto={FRAGMENT}" if six else f"ip,nw_proto={packet.protocol}"
            words[0] += ",ip_frag=later"
        elif packet.protocol in WITH_PORTS:
            name = words[0]
            words[0] += six
            words += [f"{name}_src={packet.ports[0]}", f"{name}_dst={packet.ports[1]}"]
        elif packet.protocol in (1, 58):
            name = "icmpv6" if six else "icmp"
            words += [f"{name}_type={packet.ports[0]}", f"{name}_code={packet.ports[1]}"]
        else:
            words[0] += f",nw_proto={packet.protocol}"
        if packet.cut == "first":
            words[0] += ",ip_frag=first"
        return ",".join(words)

    def _trace(
        self, tap: str, bridge: str, flow: str, a: int, b: int, packet: Packet, answer: bool
    ) -> set[str]:
        """Where it leaves. What conntrack would know of the connection is said here."""
        states: tuple[str, ...] = ()
        if packet.protocol in TRACKABLE[packet.version]:
            name = "ct_nw" if packet.version == 4 else "ct_ipv6"
            src, dst = (self.machines[n].addresses[packet.version] for n in (a, b))
            mark = self.net.controller.store.get("port", self.ports[a]["id"])["key"]  # type: ignore[index]
            flow = (
                f"ct_state=trk|est,{flow},{name}_src={src},{name}_dst={dst},"
                f"ct_nw_proto={packet.protocol},ct_mark={mark if BRIDGES[a] == bridge else 0}"
            )
            if packet.cut != "later":
                flow += f",ct_tp_src={packet.ports[0]},ct_tp_dst={packet.ports[1]}"
            states = ("trk,est,rpl" if answer else "trk,new",) * 2
        elif packet.cut == "later":
            states = ("trk,inv",) * 2
        return set(trace(self.net, tap, flow, bridge=bridge, ct_next=states).left)


FRAGMENT = 44
_KINDS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_WIRES = {"br-int": "trunk0", "br-two": "trunk1"}
_numbers = iter(range(1, 4000))


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with (
        OpenVSwitch(dummy=True) as ovs,
        tempfile.TemporaryDirectory() as directory,
        lab(ovs, Path(directory), groups=True, networks__vlan_ranges="wire:1:4000") as running,
    ):
        running.add_bridge("br-two")
        running.wire("br-int", "trunk0", "wire")
        running.wire("br-two", "trunk1", "wire")
        yield running
        running.verify()


@settings(
    max_examples=WORLDS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(drawn=worlds)
def test_groups_let_through_what_the_reference_says(net: Lab, drawn: dict[str, Any]) -> None:
    built = Built(net, drawn)
    for (a, b), packet, answer in drawn["cases"]:
        built.check(a, b, packet, answer)
    built.close()
