# SPDX-License-Identifier: Apache-2.0

"""A load balancer that was asked for by the API, as it is seen there: what becomes of it, how its
members are, and what was counted of real connections."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tenantry.apps.load_balancer.records import Listener, MemberHealth
from tenantry.apps.load_balancer.statistics import of_listener, of_load_balancer
from tenantry.controller.cli.main import main
from tenantry.controller.model import Change
from tests.api.lbaas import LBAAS
from tests.balancers import vip
from tests.lab import Lab, lab
from tests.netns.test_load_balancer_outside import Stage, many
from tests.openvswitch import OpenVSwitch

PORT, SERVICE, OCTETS = 80, 8080, 5000


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


class Asked:
    """A load balancer with a listener, a pool and two members that are plugged in."""

    def __init__(self, net: Lab) -> None:
        self.net = net
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(3)]
        self.client, *self.guests = map(net.guest, ports)
        balancer = self._make("loadbalancers", "loadbalancer", vip_network_id=network["id"])
        self.id, self.vip = balancer["id"], balancer["vip_address"]
        tcp = {"protocol": "TCP", "protocol_port": PORT, "loadbalancer_id": self.id}
        self.listener = self._make("listeners", "listener", **tcp)["id"]
        of = {"listener_id": self.listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
        self.pool = self._make("pools", "pool", **of)["id"]
        self.members = [
            self._make(
                f"pools/{self.pool}/members",
                "member",
                address=port["fixed_ips"][0]["ip_address"],
                protocol_port=SERVICE,
            )["id"]
            for port in ports[1:]
        ]

    def _make(self, path: str, kind: str, **attributes: Any) -> Any:
        return self.net.api("POST", f"{LBAAS}/{path}", {kind: attributes})[kind]

    def get(self, path: str) -> Any:
        return self.net.api("GET", f"{LBAAS}/{path}")

    def statuses(self) -> Any:
        return self.get(f"loadbalancers/{self.id}/status")["statuses"]["loadbalancer"]

    def stats(self, path: str) -> dict[str, Any]:
        self.net.ovs.appctl("revalidator/purge")  # what was counted is added up
        found: dict[str, Any] = self.get(f"{path}/stats")["stats"]
        return found

    def judge(self, member: int, alive: bool, reason: str = "") -> None:
        health = MemberHealth(self.members[member], alive, reason)
        self.net.controller.running.learn(Change(MemberHealth, health.id, health))
        self.net.settle()

    def listen(self, stack: ExitStack) -> list[socket.socket]:
        found = []
        for guest in self.guests:
            made = stack.enter_context(closing(guest.socket(socket.SOCK_STREAM)))
            made.bind(("0.0.0.0", SERVICE))
            made.listen(16)
            found.append(made)
        return found

    def talk(self, listening: list[socket.socket], port: int) -> None:
        """A connection, by which the client sends OCTETS and a member as many twice."""
        with closing(self.client.socket(socket.SOCK_STREAM)) as client:
            client.settimeout(20)
            client.bind(("0.0.0.0", port))
            client.connect((self.vip, PORT))
            ready, _, _ = select.select(listening, (), (), 20)
            server, _ = ready[0].accept()
            with closing(server):
                server.settimeout(20)
                client.sendall(bytes(OCTETS))
                _receive(server, OCTETS)
                server.sendall(bytes(2 * OCTETS))
                _receive(client, 2 * OCTETS)


def _receive(end: socket.socket, octets: int) -> None:
    while octets:
        got = len(end.recv(octets))
        assert got
        octets -= got


def test_connections_are_counted(net: Lab) -> None:
    asked = Asked(net)
    net.settle()
    nothing = dict.fromkeys(
        ("active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections"), 0
    )
    paths = (f"loadbalancers/{asked.id}", f"listeners/{asked.listener}")
    assert [asked.stats(path) for path in paths] == [nothing, nothing]
    with ExitStack() as stack:
        listening = asked.listen(stack)
        for number in range(6):
            asked.talk(listening, 40_000 + 16 * number)
    for path in paths:
        counted = asked.stats(path)
        assert counted["total_connections"] == 6
        assert 6 * OCTETS < counted["bytes_in"] < 8 * OCTETS
        assert 12 * OCTETS < counted["bytes_out"] < 15 * OCTETS
        assert (counted["active_connections"], counted["request_errors"]) == (None, 0)


def test_how_members_are_is_told(net: Lab) -> None:
    asked = Asked(net)
    net.settle()

    def told() -> tuple[str, str, str, list[str]]:
        tree = asked.statuses()
        (listener,) = tree["listeners"]
        (pool,) = listener["pools"]
        found = [tree, listener, pool, *pool["members"]]
        assert {each["provisioning_status"] for each in found} == {"ACTIVE"}
        assert [each["id"] for each in pool["members"]] == asked.members
        how = [each["operating_status"] for each in found]
        return (how[0], how[1], how[2], how[3:])

    assert told() == ("ONLINE", "ONLINE", "ONLINE", ["NO_MONITOR"] * 2)
    times = {"delay": 1000, "timeout": 3, "max_retries": 2}
    monitor = {"pool_id": asked.pool, "type": "TCP", **times}
    made = asked._make("healthmonitors", "healthmonitor", **monitor)
    net.settle()
    asked.judge(0, alive=True)
    asked.judge(1, alive=False, reason="refused")
    assert told() == ("DEGRADED", "ONLINE", "DEGRADED", ["ONLINE", "ERROR"])
    pool = asked.statuses()["listeners"][0]["pools"][0]
    assert pool["healthmonitor"]["id"] == made["id"]
    asked.judge(0, alive=False, reason="HTTP 503")
    assert told() == ("ERROR", "ONLINE", "ERROR", ["ERROR"] * 2)
    run = CliRunner().invoke(main, ["--url", net.controller.api_url, "load-balancers", "--json"])
    (balancer,) = json.loads(run.output)
    members = balancer["pools"][0]["members"]
    assert [m["reason"] for m in members] == ["HTTP 503", "refused"]
    assert [m["in_rotation"] for m in members] == [False, False]
    assert balancer["listeners"][0]["by"] == "switch"
    shown = CliRunner().invoke(main, ["--url", net.controller.api_url, "load-balancers"])
    assert "HTTP 503" in shown.output and "TCP:80" in shown.output, shown.output


def test_connections_from_outside_are_counted(net: Lab) -> None:
    """At the gateway, of both families, and of no other listener."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        on.pool()
        running = net.controller.running

        def counted(kind: str, id: str) -> dict[str, Any]:
            net.ovs.appctl("revalidator/purge")
            found = of_listener if kind == "listener" else of_load_balancer
            return dict(found(running, {"id": id}))

        six = vip(on.balancer, 6)
        assert many(on.outside.server, on.floating, 12) == 12
        assert many(on.outside.server, six, 8) == 8
        told = counted("load balancer", on.balancer.id)
        assert told["total_connections"] == 20
        least = 20 * 4 * 60  # four packets each way, at the least: to begin, to say, to end
        assert told["bytes_in"] > least and told["bytes_out"] > least
        listeners = {
            one.protocol: counted("listener", one.id)["total_connections"]
            for one in running.view.find(Listener, load_balancer_id=on.balancer.id)
        }
        assert listeners == {"TCP": 20, "UDP": 0}
