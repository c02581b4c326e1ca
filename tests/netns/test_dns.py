# SPDX-License-Identifier: Apache-2.0

"""The resolver of a subnet, asked by guests with real queries in UDP and TCP."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest

from tenantry.controller import runtime
from tenantry.controller.service.resolvers import read_framed
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

# Asks in the guest: server, tcp or udp, then pairs of name and type; prints what it was told.
CLIENT = """
import json, sys
import dns.flags, dns.message, dns.query, dns.rcode
server, way, *rest = sys.argv[1:]
told = []
for name, type in zip(rest[::2], rest[1::2]):
    query = dns.message.make_query(name, type, use_edns=0, payload=1232)
    answer = getattr(dns.query, way)(query, server, timeout=5)
    told.append([dns.rcode.to_text(answer.rcode()), bool(answer.flags & dns.flags.TC),
                 sorted(str(item) for rrset in answer.answer for item in rrset)])
print(json.dumps(told))
"""


class Upstream:
    """A resolver that knows one name, and one answer that is too long for UDP."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.greenlets = [runtime.spawn(self._serve_udp), runtime.spawn(self._serve_tcp)]

    def close(self) -> None:
        for greenlet in self.greenlets:
            greenlet.kill()
        self.udp.close()
        self.tcp.close()

    def _answer(self, data: bytes, udp: bool) -> bytes:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        answer = dns.message.make_response(query)
        if name == "long.example.org." and udp:
            answer.flags |= dns.flags.TC
        elif name == "long.example.org.":
            texts = [f'"{number:0200}"' for number in range(20)]
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", "TXT", texts))
        else:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
        return answer.to_wire(max_size=65535)

    def _serve_udp(self) -> None:
        while True:
            data, address = self.udp.recvfrom(4096)
            self.udp.sendto(self._answer(data, True), address)

    def _serve_tcp(self) -> None:
        while True:
            stream, _ = self.tcp.accept()
            with stream:
                data = read_framed(stream)
                assert data is not None
                answer = self._answer(data, False)
                stream.sendall(len(answer).to_bytes(2, "big") + answer)


@pytest.fixture
def upstream(own_netns: None) -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path, upstream: Upstream) -> Iterator[Lab]:
    with lab(ovs, tmp_path, dns__resolvers=f"127.0.0.1:{upstream.port}") as running:
        assert running.controller.service_port.up.wait(10)
        yield running
        running.verify()


def ask(net: Lab, guest: Guest, server: str, way: str, *questions: str) -> list[Any]:
    told: list[Any] = json.loads(guest.run(sys.executable, "-c", CLIENT, server, way, *questions))
    return told


def service_addresses(net: Lab, network: Any) -> list[str]:
    subnets = net.api("GET", f"/v2.0/subnets?network_id={network['id']}")["subnets"]
    return [subnet["service_address"] for subnet in subnets]


def test_names_of_the_network_and_of_the_world(net: Lab, upstream: Upstream) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64", dns_domain="blue.example.")
    web = net.port(network, dns_name="web")
    guest = net.guest(net.port(network))
    four, six = (ip["ip_address"] for ip in web["fixed_ips"])
    reverse = "2.0.0.10.in-addr.arpa."
    assert four == "10.0.0.2"
    for server in service_addresses(net, network):
        for way in ("udp", "tcp"):
            told = ask(
                *(net, guest, server, way, "WEB.blue.example.", "A", "web.blue.example.", "AAAA"),
                *("web.blue.example.", "MX", "nobody.blue.example.", "A", reverse, "PTR"),
                *("host-10-0-0-3.blue.example.", "A", "www.example.org.", "A"),
            )
            assert told == [
                ["NOERROR", False, [four]],
                ["NOERROR", False, [six]],
                ["NOERROR", False, []],
                ["NXDOMAIN", False, []],
                ["NOERROR", False, ["web.blue.example."]],
                ["NOERROR", False, ["10.0.0.3"]],
                ["NOERROR", False, ["192.0.2.1"]],
            ]
    assert set(upstream.asked) == {"www.example.org."}
    server = service_addresses(net, network)[0]
    assert ask(net, guest, server, "udp", "long.example.org.", "TXT") == [["NOERROR", True, []]]
    ((rcode, truncated, texts),) = ask(net, guest, server, "tcp", "long.example.org.", "TXT")
    assert (rcode, truncated, len(texts)) == ("NOERROR", False, 20)


def test_two_tenants_with_equal_names_and_addresses(net: Lab) -> None:
    told = {}
    for project, address in (("red", "10.0.0.10"), ("blue", "10.0.0.20")):
        network = net.network("10.0.0.0/24", project=project, dns_domain="same.example.")
        net.port(network, dns_name="web", fixed_ips=[{"ip_address": address}])
        net.port(network, dns_name=f"only-{project}")
        guest = net.guest(net.port(network, mac_address="fa:16:3e:00:00:01"))
        (server,) = service_addresses(net, network)
        names = ("web.same.example.", "A", "only-red.same.example.", "A")
        told[project] = [ask(net, guest, server, way, *names) for way in ("udp", "tcp")]
    for way in (0, 1):
        assert told["red"][way][0][2] == ["10.0.0.10"]
        assert told["blue"][way][0][2] == ["10.0.0.20"]
        assert told["blue"][way][1][0] == "NXDOMAIN"


def test_published_names_are_known_on_other_networks(net: Lab) -> None:
    """Of the same project; another's question goes out into the world."""
    near = net.network("10.0.0.0/24", "2001:db8::/64", project="red", dns_domain="near.example.")
    for subnet in net.api("GET", f"/v2.0/subnets?network_id={near['id']}")["subnets"]:
        net.update("subnet", subnet["id"], dns_publish_fixed_ip=True)
    web = net.port(near, dns_name="web")
    net.guest(web)
    addresses = [ip["ip_address"] for ip in web["fixed_ips"]]
    name = "web.near.example."
    for project, answers in (("red", addresses), ("blue", ["192.0.2.1", "192.0.2.1"])):
        far = net.network("10.0.0.0/24", "2001:db8:1::/64", project=project)
        guest = net.guest(net.port(far))
        for server in service_addresses(net, far):
            for way in ("udp", "tcp"):
                told = ask(net, guest, server, way, name, "A", name, "AAAA")
                assert told == [["NOERROR", False, [answer]] for answer in answers]


def test_other_dns_is_not_touched(net: Lab, upstream: Upstream) -> None:
    """A tenant's own server, also for names that the resolver would answer."""
    network = net.network("10.0.0.0/24", dns_domain="blue.example.")
    ports = [net.port(network) for _ in range(2)]
    guest, server = (net.guest(port) for port in ports)
    own = server.start(
        "python3",
        "-c",
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))\n"
        "print('up', flush=True)\n"
        "data, who = s.recvfrom(512); s.sendto(data[:2] + b'\\x81\\x85' + data[4:], who)",
    )
    assert own.stdout is not None
    assert own.stdout.readline() == "up\n"
    address = ports[1]["fixed_ips"][0]["ip_address"]
    assert ask(net, guest, address, "udp", "web.blue.example.", "A") == [["REFUSED", False, []]]
    own.communicate()
    assert not upstream.asked


def test_nobody_answers(net: Lab, upstream: Upstream) -> None:
    network = net.network("10.0.0.0/24")
    guest = net.guest(net.port(network))
    upstream.close()
    (server,) = service_addresses(net, network)
    assert ask(net, guest, server, "udp", "www.example.org.", "A") == [["SERVFAIL", False, []]]
