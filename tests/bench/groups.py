# SPDX-License-Identifier: Apache-2.0

"""What security groups cost: a packet, in passes and time beside a learning bridge; a switch, in
flows; a change, in flows and time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests import namespace
from tests.bench import Figure, peers, ports, ratio, turns
from tests.bench.routed import beside_a_bridge, interface
from tests.bench.served import Served
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.outside import machine
from tests.story import trace

RATE = 0.85
MEMBERS = 2000
RULES, PORTS = 1000, 1000
ROUNDS = 3
ONE_MORE = {"member": (2, 7, "24 ms"), "rule": (4, 5, "17 ms")}
"""Flows changed; the time beside a plain controller's; and what that comes to for reference."""
Change = Callable[[], object]


def bench() -> Iterator[Figure]:
    """The way of a packet whose two ends are on one switch, both in a group with a rule that names
    the group itself, and a rule for TCP."""
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory), groups=True) as net,
    ):
        one, two = net.network("10.1.0.0/24"), net.network("10.2.0.0/24")
        net.router(one, two)
        made = [net.port(network) for network in (one, one, two)]
        client, beside, routed = (machine(net, port) for port in made)
        net.settle()
        for name, server, bars in (("bridged", made[1], (2, 2)), ("routed", made[2], (3, 2))):
            for (which, state), bar in zip(_STATES.items(), bars, strict=True):
                passes = _passes(net, made[0], server, state)
                yield Figure(f"groups.{name}.{which}.passes", passes, "datapath passes", bar)
        addresses = [port["fixed_ips"][0]["ip_address"] for port in made]
        ways = {
            "bridged": (client, beside, addresses[1]),
            "routed": (client, routed, addresses[2]),
        }
        yield from beside_a_bridge(net, "groups", ways, dict.fromkeys(ways, RATE))


_STATES = {"new": "trk,new", "established": "trk,est"}


def _passes(net: Lab, sender: Any, receiver: Any, state: str) -> int:
    src, dst = (port["fixed_ips"][0]["ip_address"] for port in (sender, receiver))
    same = sender["network_id"] == receiver["network_id"]
    query = f"/v2.0/ports?network_id={sender['network_id']}"
    there = (
        receiver["mac_address"]
        if same
        else next(
            port["mac_address"]
            for port in net.api("GET", query)["ports"]
            if port["device_owner"].startswith("network:router_interface")
        )
    )
    flow = (
        f"ct_state=trk|new,tcp,dl_src={sender['mac_address']},dl_dst={there},nw_ttl=64,"
        f"nw_src={src},nw_dst={dst},tcp_src=1024,tcp_dst=80,"
        f"ct_nw_src={src},ct_nw_dst={dst},ct_nw_proto=6,ct_tp_src=1024,ct_tp_dst=80"
    )
    told = trace(net, interface(net, sender["id"]), flow, ct_next=(state, "trk,est"))
    assert told.left
    return told.passes


def bench_members() -> Iterator[Figure]:
    """One member more of a remote group of many; one rule more."""
    with (
        ports.switch(MEMBERS + 1) as ovs,
        ports.served(ovs) as controller,
        peers.plain(ovs) as plain,
    ):
        api = controller.client.api
        ids = ports.networks(controller)
        for network in ids:
            _route(controller, network)
        group = _group(controller, "members")
        _rule(controller, group, remote_group_id=group)
        controller.client.ports(_ports(ids, MEMBERS, [group]))
        alone = {**ports.port(ids[0], MEMBERS), "security_groups": []}
        port = "/v2.0/ports/" + api("POST", "/v2.0/ports", {"port": alone})["port"]["id"]
        controller.settled(switches=1)
        flows = controller.call("counts")["flows"] / MEMBERS
        yield Figure("groups.flows", flows, "flows a port, routers and all", 15)
        some = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 83}
        made: list[str] = []
        changes: dict[str, tuple[Change, Change]] = {
            "member": (
                lambda: api("PUT", port, {"port": {"security_groups": [group]}}),
                lambda: api("PUT", port, {"port": {"security_groups": []}}),
            ),
            "rule": (
                lambda: made.append(_rule(controller, group, **some)),
                lambda: api("DELETE", f"/v2.0/security-group-rules/{made.pop()}"),
            ),
        }
        for name, (there, back) in changes.items():
            count, bar, reference = ONE_MORE[name]
            flows = sent(controller, there)
            controller.confirmed(back)
            yield Figure(f"groups.{name}.flows", flows, "flows changed", count)
            times = peers.beside_plain(plain, controller, there, back)
            yield ratio(f"groups.{name}.time", *times, plain.NAME, bar, reference=reference)


def bench_rules() -> Iterator[Figure]:
    """Many ports join a group of many rules."""
    with ports.switch(PORTS) as ovs, peers.plain(ovs) as plain:
        ours, theirs = [], []
        for _ in turns(ROUNDS):
            with ports.served(ovs) as controller:
                ids = ports.networks(controller)
                group = _group(controller, "many")
                for start in range(0, RULES, 250):
                    rules = [_numbered(group, number) for number in range(start, start + 250)]
                    body = {"security_group_rules": rules}
                    controller.client.api("POST", "/v2.0/security-group-rules", body)
                controller.settled(switches=1)
                wanted = _ports(ids, PORTS, [group])
                ours.append(controller.confirmed(partial(controller.client.ports, wanted)))
                flows = controller.client.api("GET", "/tenantry/v1/flows?app=security_groups")
                every = controller.call("counts")["flows"]
            theirs.append(plain.push(every))
    yield Figure("groups.rules.flows", len(flows), "filter flows", 10_000)
    yield ratio("groups.rules.time", ours, theirs, plain.AS_MANY, 3.2, reference="3 s")


def _numbered(group: str, number: int) -> dict[str, Any]:
    """A rule unlike any other: every fourth a single port, others up to four of them."""
    return {
        "security_group_id": group,
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": 1000 + number,
        "port_range_max": 1000 + number + number % 4,
        "remote_ip_prefix": f"172.16.{number % 250}.0/24",
    }


def _ports(networks: list[str], count: int, groups: list[str]) -> list[dict[str, Any]]:
    return [
        {**ports.port(networks[number % len(networks)], number), "security_groups": groups}
        for number in range(count)
    ]


def sent(controller: Served, change: Change) -> int:
    """How many flows a change sends."""
    before: int = controller.call("counts")["sent"]
    controller.confirmed(change)
    sent: int = controller.call("counts")["sent"] - before
    return sent


def _group(controller: Served, name: str) -> str:
    body = {"security_group": {"name": name}}
    id: str = controller.client.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
    return id


def _rule(controller: Served, group: str, **said: Any) -> str:
    rule = {"security_group_id": group, "direction": "ingress", **said}
    body = {"security_group_rule": rule}
    made = controller.client.api("POST", "/v2.0/security-group-rules", body)
    id: str = made["security_group_rule"]["id"]
    return id


def _route(controller: Served, network: str) -> None:
    """A router for the network."""
    api = controller.client.api
    router = api("POST", "/v2.0/routers", {"router": {}})["router"]["id"]
    for subnet in api("GET", f"/v2.0/subnets?network_id={network}")["subnets"]:
        path = f"/v2.0/routers/{router}/add_router_interface"
        api("PUT", path, {"subnet_id": subnet["id"]})
