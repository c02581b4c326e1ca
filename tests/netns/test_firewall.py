# SPDX-License-Identifier: Apache-2.0

"""Firewalls with real packets: on a router's ports and on a machine's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.echo import PORT
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, Outside, machine

OPEN, REFUSED, SILENT = "open", "refused", "silent"
REJECTED = PORT + 1


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


class Wall:
    """A firewall group and its policies, in the API."""

    def __init__(self, net: Lab, *ports: str) -> None:
        self.net = net
        self.ingress = self._make("policy", "policies", name="in")
        self.egress = self._make("policy", "policies", name="out")
        policies = {
            f"{name}_firewall_policy_id": id
            for name, id in (("ingress", self.ingress), ("egress", self.egress))
        }
        self.group = self._make("group", "groups", ports=list(ports), **policies)
        net.take_effect()

    def _make(self, kind: str, collection: str, **attributes: Any) -> str:
        body = {f"firewall_{kind}": attributes}
        answer = self.net.api("POST", f"/v2.0/fwaas/firewall_{collection}", body)
        id: str = answer[f"firewall_{kind}"]["id"]
        return id

    def rule(self, policy: str, action: str, **said: Any) -> str:
        """A new rule, at the head of a policy."""
        id = self._make("rule", "rules", action=action, **said)
        path = f"/v2.0/fwaas/firewall_policies/{policy}/insert_rule"
        self.net.api("PUT", path, {"firewall_rule_id": id})
        self.net.take_effect()
        return id

    def remove(self, policy: str, rule: str) -> None:
        path = f"/v2.0/fwaas/firewall_policies/{policy}/remove_rule"
        self.net.api("PUT", path, {"firewall_rule_id": rule})
        self.net.take_effect()


def called(client: Guest, address: str, port: int) -> str:
    """What becomes of a TCP connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(client.socket(socket.SOCK_STREAM, family)) as calling:
        calling.settimeout(0.7)
        try:
            calling.connect((address, port))
            return OPEN
        except ConnectionRefusedError:
            return REFUSED
        except TimeoutError:
            return SILENT


def listening(server: Guest, *ports: int) -> list[socket.socket]:
    made = []
    for port in ports:
        one = server.socket(socket.SOCK_STREAM, socket.AF_INET6)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", port))
        one.listen(8)
        made.append(one)
    return made


def test_a_routers_port(net: Lab) -> None:
    one, two = net.network("10.1.0.0/24", "fd01::/64"), net.network("10.2.0.0/24", "fd02::/64")
    router = net.router(one, two)
    ports = [net.port(network) for network in (one, two)]
    client, server = (machine(net, port) for port in ports)
    query = f"/v2.0/ports?device_id={router['id']}&network_id={two['id']}"
    legs = [port["id"] for port in net.api("GET", query)["ports"]]
    to = addresses(ports[1])
    ears = listening(server, PORT, REJECTED, PORT + 2)
    assert [called(client, address, PORT) for address in to] == [OPEN] * 2
    wall = Wall(net, *legs)
    assert [called(client, address, PORT) for address in to] == [SILENT] * 2, "no rule, no way"
    assert client.pings("10.1.0.1"), "the router itself"
    for version in (4, 6):
        wall.rule(wall.egress, "allow", ip_version=version)
        tcp = {"protocol": "tcp", "ip_version": version}
        wall.rule(wall.ingress, "allow", destination_port=f"{PORT}:{PORT + 9}", **tcp)
        wall.rule(wall.ingress, "reject", destination_port=str(REJECTED), **tcp)
    assert [called(client, address, PORT) for address in to] == [OPEN] * 2
    assert [called(client, address, REJECTED) for address in to] == [REFUSED] * 2
    assert not client.pings(to[0])
    assert server.pings(addresses(ports[0])[0]), "whoever is inside may begin"
    # A rule at the head: what is allowed further down ends, in the middle of a connection.
    live = client.socket(socket.SOCK_STREAM)
    live.settimeout(0.7)
    live.connect((to[0], PORT + 2))
    other, _ = ears[2].accept()
    live.send(b"hello")
    assert other.recv(10) == b"hello"
    client_address = addresses(ports[0])[0]
    deny = wall.rule(wall.ingress, "deny", source_ip_address=client_address, ip_version=4)
    other.send(b"still there?")
    with pytest.raises(TimeoutError):
        live.recv(20)
    wall.remove(wall.ingress, deny)
    assert called(client, to[0], PORT) == OPEN
    for end in (live, other, *ears):
        end.close()


def test_towards_the_outside(net: Lab) -> None:
    """Before sources are translated: rules name tenants' addresses."""
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    router = net.router(network, outside=outside.network)
    ports = [net.port(network) for _ in range(2)]
    a, b = (machine(net, port) for port in ports)
    net.settle()
    query = f"/v2.0/ports?device_id={router['id']}&network_id={network['id']}"
    wall = Wall(net, *(port["id"] for port in net.api("GET", query)["ports"]))
    ears = listening(outside.server, PORT)
    wall.rule(wall.egress, "allow", source_ip_address=addresses(ports[0])[0], protocol="tcp")
    assert [called(guest, SERVER, PORT) for guest in (a, b)] == [OPEN, SILENT]
    wall.rule(wall.egress, "reject", source_ip_address=addresses(ports[1])[0])
    assert [called(guest, SERVER, PORT) for guest in (a, b)] == [OPEN, REFUSED]
    net.floating_ip(outside.network, ports[0])
    net.settle()
    assert called(a, SERVER, PORT) == OPEN
    for ear in ears:
        ear.close()


def test_a_machines_port(net: Lab) -> None:
    """Beside its security groups: both must allow."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    client, server = (net.guest(port) for port in ports)
    net.settle()
    to = addresses(ports[1])
    ears = listening(server, PORT, REJECTED)
    wall = Wall(net, ports[1]["id"])
    assert [called(client, address, PORT) for address in to] == [SILENT] * 2
    for version in (4, 6):
        tcp = {"protocol": "tcp", "ip_version": version}
        wall.rule(wall.ingress, "reject", **tcp)
        wall.rule(wall.ingress, "allow", destination_port=str(PORT), **tcp)
    assert [called(client, address, PORT) for address in to] == [OPEN] * 2
    assert [called(client, address, REJECTED) for address in to] == [REFUSED] * 2
    assert called(server, addresses(ports[0])[0], PORT) == SILENT, "its egress policy has no rule"
    wall.rule(wall.egress, "reject", ip_version=4)
    assert called(server, addresses(ports[0])[0], PORT) == REFUSED
    net.delete("port", ports[1]["id"])
    path = f"/v2.0/fwaas/firewall_groups/{wall.group}"
    assert net.api("GET", path)["firewall_group"]["ports"] == []
    for ear in ears:
        ear.close()
