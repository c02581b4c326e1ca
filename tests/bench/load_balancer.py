# SPDX-License-Identifier: Apache-2.0

"""What load balancers in the switch cost: a packet, in passes and time beside a learning bridge; a
switch, in flows; a change, in flows and time; and how evenly connections are spread."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from select import select
from socket import SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET
from socket import socket as Socket
from typing import Any

from tenantry.apps.load_balancer.records import Member
from tests import namespace
from tests.api.lbaas import LBAAS
from tests.balancers import Balancers, vip
from tests.bench import Figure, flight, peers, ports, ratio
from tests.bench.groups import sent
from tests.bench.routed import beside_a_bridge
from tests.bench.served import Served
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

PACKETS = 100
RATE = 0.85
MEMBERS, CONNECTIONS = 10, 10_000
EVEN, WEIGHTED = 0.05, 0.1
WEIGHTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
PORT = 80
BALANCERS, MEMBER_PORTS = 1000, 2000


def bench() -> Iterator[Figure]:
    yield from _one()
    yield from _thousand()


def _one() -> Iterator[Figure]:
    """A client, and members beside it, in one network of one switch."""
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory), groups=False) as net,
    ):
        network = net.network("10.1.0.0/24")
        made = [net.port(network) for _ in range(1 + MEMBERS)]
        client, *servers = (net.guest(port) for port in made)
        addresses = [port["fixed_ips"][0]["ip_address"] for port in made[1:]]
        yield from _packets(net, network, client, servers[0], addresses[0])
        yield from _spread(net, network, client, servers, addresses)


def _packets(
    net: Lab, network: Any, client: Guest, server: Guest, address: str
) -> Iterator[Figure]:
    """The way of a packet to a member, of which there is one."""
    ends = (("UDP", flight.UDP_PORT), ("TCP", flight.TCP_PORT))
    to, _, _ = _balanced(net, network, ends, [address])
    with closing(server.socket(SOCK_DGRAM)) as answering:
        answering.bind(("", flight.UDP_PORT))
        new, established = _passes(net, client, to, answering)
    for name, passes, bar in (("new", new, 3), ("established", established, 2)):
        yield Figure(f"load_balancer.{name}.passes", passes, "datapath passes", bar)
    ways = {"bridged": (client, server, to)}
    yield from beside_a_bridge(net, "load_balancer", ways, {"bridged": RATE})


def _passes(net: Lab, client: Guest, address: str, answering: Socket) -> tuple[int, int]:
    """How often the datapath looks at a packet that begins a connection, and at one of a connection
    that is known: what it has counted beyond the first of each, for so many."""
    to = (address, flight.UDP_PORT)

    def asked(client_sockets: list[Socket]) -> int:
        before = _lookups(net)
        for asking in client_sockets:
            asking.sendto(b"?", to)
            answering.recvfrom(10)
        return round((_lookups(net) - before) / len(client_sockets))

    with ExitStack() as stack:
        made = [stack.enter_context(closing(client.socket(SOCK_DGRAM))) for _ in range(1 + PACKETS)]
        for asking in made:
            asking.settimeout(20)
        answering.settimeout(20)
        asked(made[:1])  # neighbours are known now
        new = asked(made[1:])
        made[0].sendto(b"?", to)
        _, peer = answering.recvfrom(10)
        answering.sendto(b"!", peer)
        made[0].recvfrom(10)
        return new, asked(made[:1] * PACKETS)


def _lookups(net: Lab) -> int:
    """Of packets, by the datapath, since it is there."""
    found = re.search(r"lookups: hit:(\d+) missed:(\d+)", net.ovs.appctl("dpctl/show", "-s"))
    assert found
    return sum(map(int, found.groups()))


def _balanced(
    net: Lab, network: Any, ends: tuple[tuple[str, int], ...], addresses: list[str]
) -> tuple[str, Balancers, list[Member]]:
    """A load balancer with listeners (protocol, port), whose members answer at the same ports."""
    made = Balancers(net)
    balancer, members = made.balancer(network), []
    for protocol, port in ends:
        pool = made.pool(balancer, protocol)
        members += made.members(pool, addresses, port)
        made.listener(pool, port)
    net.take_effect()
    return vip(balancer), made, members


def _spread(
    net: Lab, network: Any, client: Guest, servers: list[Guest], addresses: list[str]
) -> Iterator[Figure]:
    """Real connections of one client, one after the other: by how much the member is off that is
    farthest off."""
    to, made, members = _balanced(net, network, (("TCP", PORT),), addresses)
    for name, weights, bar in (("even", (1,) * MEMBERS, EVEN), ("weighted", WEIGHTS, WEIGHTED)):
        for member, weight in zip(members, weights, strict=True):
            made.change(member, weight=weight)
        net.take_effect()
        found, total = _connected(client, servers, to), sum(weights)
        off = max(
            abs(found[number] * total / (CONNECTIONS * weight) - 1)
            for number, weight in enumerate(weights)
        )
        yield Figure(f"load_balancer.{name}", off, "off its share, the worst of 10 members", bar)


def _connected(client: Guest, servers: list[Guest], to: str) -> Counter[int]:
    """How many connections of so many each of the servers got."""
    found: Counter[int] = Counter()
    with ExitStack() as stack:
        listening = []
        for server in servers:
            made = stack.enter_context(closing(server.socket(SOCK_STREAM)))
            made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            made.bind(("", PORT))
            made.listen(64)
            listening.append(made)
        for _ in range(CONNECTIONS):
            with client.socket(SOCK_STREAM) as asking:
                asking.settimeout(20)
                asking.connect((to, PORT))
                ((ready, *_), _, _) = select(listening, (), (), 20)
            ready.accept()[0].close()  # the client has ended first, as clients do
            found[listening.index(ready)] += 1
    return found


def _thousand() -> Iterator[Figure]:
    """Many load balancers on one switch, and one member more in one of them."""
    with (
        ports.switch(1) as ovs,
        peers.plain(ovs) as plain,
        ports.served(ovs) as controller,
    ):
        api, client = controller.client.api, controller.client
        network = client.network(["10.0.0.0/16"])
        ids = client.ports([{"network_id": network}] * MEMBER_PORTS)
        found = api("GET", f"/v2.0/ports?network_id={network}&fields=id&fields=fixed_ips")["ports"]
        of_port = {port["id"]: port["fixed_ips"][0]["ip_address"] for port in found}
        addresses = [of_port[id] for id in ids]
        pools = [_many(controller, network, addresses, number) for number in range(BALANCERS)]
        controller.settled(switches=1)
        plugged = ports.port(network, 0)
        took = controller.confirmed(lambda: api("POST", "/v2.0/ports", {"port": plugged}))
        every = controller.call("counts")["flows"]
        flows = len(api("GET", "/tenantry/v1/flows?app=load_balancer"))
        each = flows / (BALANCERS * MEMBERS)
        yield Figure("load_balancer.flows", each, "flows a member", 4)
        theirs = plain.push(every)
        yield ratio(
            *("load_balancer.many", [took], [theirs], plain.AS_MANY, 1),
            reference="5 s",
        )
        path, numbers = f"{LBAAS}/pools/{pools[0]}/members", count(20_000)
        made: list[str] = []

        def one_more() -> None:
            member = {"address": addresses[-1], "protocol_port": next(numbers)}
            made.append(api("POST", path, {"member": member})["member"]["id"])

        def one_less() -> None:
            api("DELETE", f"{path}/{made.pop()}")

        yield Figure("load_balancer.member.flows", sent(controller, one_more), "flows changed", 4)
        controller.confirmed(one_less)
        times = peers.beside_plain(plain, controller, one_more, one_less)
        yield ratio("load_balancer.member.time", *times, plain.NAME, 7, reference="20 ms")


def _many(controller: Served, network: str, addresses: list[str], number: int) -> str:
    """A load balancer with ten members, all at once; the id of its pool."""
    members = [
        {
            "address": addresses[(number * MEMBERS + each) % len(addresses)],
            "protocol_port": 1000 + number,
        }
        for each in range(MEMBERS)
    ]
    pool = {"name": f"pool-{number}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    listener: dict[str, Any] = {"protocol": "TCP", "protocol_port": PORT}
    listener["default_pool"] = {**pool, "members": members}
    body = {"loadbalancer": {"vip_network_id": network, "listeners": [listener]}}
    made = controller.client.api("POST", f"{LBAAS}/loadbalancers", body)["loadbalancer"]
    id: str = made["pools"][0]["id"]
    return id
