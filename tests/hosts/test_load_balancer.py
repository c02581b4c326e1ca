# SPDX-License-Identifier: Apache-2.0

"""Load balancers over three hosts: clients and members anywhere, two of the hosts reach outside; a
host dies, the controller is restarted, and members go under load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.load_balancer.records import MemberHealth
from tenantry.controller.model import Change, View
from tenantry.controller.network.routers import active, gateways
from tests.api.lbaas import LBAAS
from tests.echo import PORT, asked, serving
from tests.farm import Beyond, Farm, Machine, farm, machines
from tests.netns.test_l2 import addresses
from tests.outside import SERVER, SERVER6
from tests.pairs import LISTENING, SERVICE, connect, listen


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(3, uplinks=2) as ready:
        yield ready


class Stage:
    """Members in one network and clients in another, of each one on every host, on one router; and
    a load balancer, with an address of each family and a floating IP."""

    def __init__(self, net: Farm) -> None:
        self.net, self.beyond = net, Beyond(net)
        self.network, self.other = (
            net.network("10.0.0.0/24", "fd00:a::/64"),
            net.network("10.0.1.0/24", "fd00:b::/64"),
        )
        self.router = net.router(self.network, self.other, outside=self.beyond.network)
        fixed = self.router["external_gateway_info"]["external_fixed_ips"]
        six = next(ip["ip_address"] for ip in fixed if ":" in ip["ip_address"])
        self.beyond.router.run("ip", "route", "add", "fd00:a::/64", "via", six)
        self.ports, self.client_ports = (
            [net.port(network) for _ in net.machines] for network in (self.network, self.other)
        )
        self.members, self.clients = (
            [net.plug(*there) for there in zip(net.machines, ports, strict=True)]
            for ports in (self.ports, self.client_ports)
        )
        four, six = sorted(net.subnets(self.network), key=lambda subnet: subnet["ip_version"])
        self.balancer = self.ask(
            *("POST", "loadbalancers", "loadbalancer"),
            vip_subnet_id=four["id"],
            additional_vips=[{"subnet_id": six["id"]}],
        )
        port = net.api("GET", f"/v2.0/ports/{self.balancer['vip_port_id']}")["port"]
        self.vips = addresses(port)
        self.floating = net.floating_ip(self.beyond.network, port)["floating_ip_address"]
        net.until(lambda: len(gateways(View(net.controller.model), self.router["id"])) == 2)
        net.until(lambda: net.controller.holddown.settled())

    def ask(self, method: str, path: str, kind: str = "", body: Any = None, **given: Any) -> Any:
        """Octavia's API; nothing is changed until what was changed before is confirmed."""
        self.net.settle()
        answer = self.net.api(method, f"{LBAAS}/{path}", {kind: given} if given else body)
        self.net.settle()
        return answer[kind] if kind else answer

    def pool(self, protocol: str = "TCP", to: int = LISTENING) -> Any:
        """A listener, whose members are all, by both of their addresses."""
        pool = self.ask(
            *("POST", "pools", "pool"),
            loadbalancer_id=self.balancer["id"],
            protocol=protocol,
            lb_algorithm="ROUND_ROBIN",
        )
        its = [address for port in self.ports for address in addresses(port)]
        self.put(pool, its, to)
        self.ask(
            *("POST", "listeners", "listener"),
            loadbalancer_id=self.balancer["id"],
            protocol=protocol,
            protocol_port=SERVICE,
            default_pool_id=pool["id"],
        )
        self.net.take_effect()
        return pool

    def put(self, pool: Any, its: list[str], to: int = LISTENING, **more: Any) -> None:
        """These are its members, and no others."""
        members = [{"address": ip, "protocol_port": to, **more} for ip in its]
        self.ask("PUT", f"pools/{pool['id']}/members", body={"members": members})

    def judge(self, pool: Any, port: Any, alive: bool) -> None:
        """What a monitor says of the member that a port is, by both of its addresses."""
        there = self.net.api("GET", f"{LBAAS}/pools/{pool['id']}/members")["members"]
        for member in there:
            if member["address"] in addresses(port):
                judged = MemberHealth(member["id"], alive, "" if alive else "no answer")
                self.net.controller.running.learn(Change(MemberHealth, judged.id, judged))
        self.net.take_effect()

    @property
    def active(self) -> Machine:
        dpid = active(View(self.net.controller.model), self.router["id"])
        return next(m for m in self.net.machines if self.net._dpid(m) == dpid)


@pytest.mark.parametrize("own", [False, True], ids=["", "floating"])
def test_clients_and_members_anywhere(started: list[Machine], tmp_path: Path, own: bool) -> None:
    """Each sees the other as ever; members may have floating IPs of their own."""
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net)
        mine = [net.floating_ip(on.beyond.network, p) for p in on.ports if own]
        for guest in on.members:
            stack.enter_context(serving(guest))
        for protocol in ("TCP", "UDP"):
            on.pool(protocol, PORT)
        for guest, port in zip(on.clients, on.client_ports, strict=True):
            four, six = addresses(port)
            for _ in range(4):
                assert asked(guest, *on.vips, port=SERVICE) == [four] * 2 + [six] * 2
        for guest in on.members:  # of the same network, and perhaps to itself
            for _ in range(4):
                assert "-" not in asked(guest, *on.vips, port=SERVICE)
        server = on.beyond.server
        for _ in range(8):
            seen = asked(server, on.floating, on.vips[1], port=SERVICE)
            assert seen == [SERVER] * 2 + [SERVER6] * 2
        for one in mine:
            assert asked(server, one["floating_ip_address"]) == [SERVER] * 2
        for guest in (*on.clients, *on.members):
            for _ in range(4):
                assert "-" not in asked(guest, on.floating, port=SERVICE)
        assert server.pings(on.floating, count=3)
        net.verify()


CONNECTIONS = 1_000


def test_connections_outlive_members_and_the_controller(
    started: list[Machine], tmp_path: Path
) -> None:
    """Of 1,000, from every host and from outside, of both families, none ends because a member is
    found dead, or because the controller is restarted; and only those with a member that is removed
    end then."""
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net)
        listening = [listen(stack, guest) for guest in on.members]
        pool = on.pool()
        ways = [(guest, to) for guest in on.clients for to in on.vips]
        ways += [(on.beyond.server, to) for to in (on.floating, on.vips[1])]
        held = [
            connect(stack, *ways[number % len(ways)], listening) for number in range(CONNECTIONS)
        ]
        assert all(pair.talks() for pair in held)
        counted = Counter(pair.member for pair in held)
        assert min(counted.values()) > CONNECTIONS / 3 * 0.8, counted
        on.judge(pool, on.ports[0], alive=False)
        new = [connect(stack, *way, listening) for way in ways]
        assert {pair.member for pair in new} <= {1, 2}
        assert [pair for pair in held if not pair.talks()] == []
        on.judge(pool, on.ports[0], alive=True)
        staying = [ip for port in on.ports[1:] for ip in addresses(port)]
        on.put(pool, staying)
        net.take_effect()
        others = [pair for pair in held if pair.member]
        lost = [pair for pair in others if not pair.talks()]
        assert lost == []
        new += [connect(stack, *way, listening) for way in ways]
        assert {pair.member for pair in new} <= {1, 2}
        flows = balancing(net)
        net.stop_controller()
        assert all(pair.talks() for pair in (*others, *new))
        new += [connect(stack, *way, listening) for way in ways]
        net.start_controller()
        assert balancing(net) == flows
        net.take_effect()
        assert all(pair.talks() for pair in (*others, *new))
        on.put(pool, [ip for port in on.ports for ip in addresses(port)])
        net.take_effect()
        assert all(pair.talks() for pair in (*others, *new))
        net.verify()


def balancing(net: Farm) -> dict[str, set[str]]:
    """The flows of load balancers, by host, as they are installed."""
    tables = ("table=VIP,", "table=LB_", "table=ROUTER_LB")
    return {
        machine.name: {flow for flow in net.flows_on(machine) if any(t in flow for t in tables)}
        for machine in net.machines
    }


def test_a_host_dies(started: list[Machine], tmp_path: Path) -> None:
    """The active gateway, with a member and a client. Connections from outside with others go on by
    the other gateway, for the same clients have the same members there; and those of other hosts
    do not notice."""
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net)
        listening = [listen(stack, guest) for guest in on.members]
        pool = on.pool()
        first = on.active
        alive = [number for number, machine in enumerate(net.machines) if machine is not first]
        server = on.beyond.server
        ways = [(on.clients[number], to) for number in alive for to in on.vips]
        ways += [(server, to) for to in (on.floating, on.vips[1])]
        held = [connect(stack, *ways[number % len(ways)], listening) for number in range(90)]
        going_on = [pair for pair in held if pair.member in alive]
        assert len(going_on) > 30
        first.crash()
        net.until(lambda: on.active is not first)
        lost = [pair for pair in going_on if not pair.talks()]
        assert lost == []
        on.put(pool, [ip for number in alive for ip in addresses(on.ports[number])])
        for way in ways:
            assert connect(stack, *way, listening).talks()
        assert all(pair.talks() for pair in going_on)
