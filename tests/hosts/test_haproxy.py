# SPDX-License-Identifier: Apache-2.0

"""Load balancers of layer 7 on real hosts: asked for by Octavia's API, done by HAProxy on a
worker's host, from any guest to members anywhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.network.workers import worker_of
from tests.api.lbaas import LBAAS
from tests.certificates import signed
from tests.conftest import need
from tests.hosts.test_workers import Web, web
from tests.lab import eventually
from tests.namespace import Guest

CERTIFICATES = "/tenantry/v1/certificates"

SERVER = """
import http.server, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    def do_GET(self):
        words = [sys.argv[1], self.headers.get("X-Forwarded-For"), self.headers.get("X-Asked")]
        body = " ".join(map(str, words)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

server = Server(("::", 8080), Handler)
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture
def net(own_netns: None, tmp_path: Path) -> Iterator[Web]:
    need(shutil.which("haproxy") is not None, "haproxy")
    keys = str(tmp_path / "secrets.key")
    with web(tmp_path, 2, certificates__key_file=keys, health__file="") as running:
        yield running
        running.verify()


class Site:
    """A load balancer of HTTP on a network of two families, with a member on each host (two at
    least, one known by IPv4 and one by IPv6), and a client."""

    def __init__(self, net: Web, serve: Callable[[Guest, str], object], both: bool = True) -> None:
        """``serve``: what is started in members. With ``both``, there is a VIP of each version."""
        self.net = net
        self.network = net.network("10.0.0.0/24", "fd00::/64")
        net.open_default_groups()
        self.client = net.plug(net.machines[0], net.port(self.network))
        four, six = sorted(net.subnets(self.network), key=lambda subnet: subnet["ip_version"])
        more = [{"subnet_id": six["id"]}] if both else []
        self.balancer = self.make(
            "loadbalancer", name="site", vip_subnet_id=four["id"], additional_vips=more
        )
        self.pool = self.make(
            "pool",
            loadbalancer_id=self.balancer["id"],
            protocol="HTTP",
            lb_algorithm="ROUND_ROBIN",
        )
        self.members = []
        for number, name, version in ((0, "one", 4), (-1, "two", 6)):
            port, machine = net.port(self.network), net.machines[number]
            serve(net.plug(machine, port), name)
            address = next(a for a in addresses(port) if (":" in a) == (version == 6))
            of = f"pools/{self.pool['id']}/member"
            member = self.make(of, address=address, protocol_port=8080, name=name)
            self.members.append(member)

    def make(self, kind: str, **attributes: Any) -> Any:
        name = kind.rpartition("/")[2]
        return self.net.api("POST", collection(kind), {name: attributes})[name]

    def listener(self, port: int, protocol: str = "HTTP", **attributes: Any) -> Any:
        own = {"protocol": protocol, "protocol_port": port, "default_pool_id": self.pool["id"]}
        of = {"loadbalancer_id": self.balancer["id"]}
        return self.make("listener", **{**of, **own, **attributes})

    def shown(self, kind: str, id: str, *below: str) -> Any:
        answer = self.net.api("GET", "/".join((collection(kind), id, *below)))
        return answer[below[0] if below else kind]

    def until_active(self, *ids: tuple[str, str]) -> None:
        """Switches and the proxy have confirmed all."""
        asked = [("loadbalancer", self.balancer["id"]), *ids]
        is_active = lambda: all(  # noqa: E731
            self.shown(*one)["provisioning_status"] == "ACTIVE" for one in asked
        )
        assert eventually(is_active), self.net.api("GET", "/tenantry/v1/workers")

    @property
    def vips(self) -> list[str]:
        port = self.net.api("GET", f"/v2.0/ports/{self.balancer['vip_port_id']}")["port"]
        asked = [self.balancer["vip_address"]]
        asked += [vip["ip_address"] for vip in self.balancer["additional_vips"]]
        return [address for address in addresses(port) if address in asked]

    def curl(self, url: str, *words: str) -> str:
        return self.client.run("curl", "-sS", "-m", "20", *words, url)

    @property
    def proxy_host(self) -> str:
        host = worker_of(self.net.controller.running.view, self.balancer["id"])
        assert host is not None
        return host


def collection(kind: str) -> str:
    return f"{LBAAS}/{kind.removesuffix('y')}{'ies' if kind.endswith('y') else 's'}"


def addresses(port: Any) -> list[str]:
    return sorted((ip["ip_address"] for ip in port["fixed_ips"]), key=lambda text: ":" in text)


def url(address: str, rest: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://{f'[{address}]' if ':' in address else address}{rest}"


def serve(guest: Guest, name: str) -> None:
    server = guest.start(sys.executable, "-u", "-c", SERVER, name)
    assert server.stdout is not None and server.stdout.readline() == "up\n"


@pytest.fixture
def site(net: Web) -> Site:
    return Site(net, serve)


def test_a_listener_is_active_when_its_proxy_answers(site: Site) -> None:
    listener = site.listener(80, insert_headers={"X-Forwarded-For": "true"})
    site.until_active(("listener", listener["id"]))
    for vip in site.vips:
        said = [site.curl(url(vip)).split() for _ in range(4)]  # at once: ACTIVE is the truth
        assert Counter(name for name, *_ in said) == {"one": 2, "two": 2}
        assert {client for _, client, _ in said} <= {*addresses_of(site.client)}
    answer = site.shown("listener", listener["id"], "stats")
    assert answer["total_connections"] == 8 and answer["bytes_out"] > 100
    whole = site.shown("loadbalancer", site.balancer["id"], "stats")
    assert whole["total_connections"] == 8 and whole["active_connections"] == 0
    assert site.client.pings(site.vips[0]) and site.client.pings(site.vips[1])


def test_a_member_has_another_ip_version_than_the_vip(net: Web) -> None:
    site = Site(net, serve, both=False)
    listener = site.listener(80)
    site.until_active(("listener", listener["id"]))
    (vip,) = site.vips
    said = [site.curl(url(vip)).split()[0] for _ in range(4)]
    assert Counter(said) == {"one": 2, "two": 2}


def addresses_of(guest: Guest) -> list[str]:
    links = json.loads(guest.run("ip", "-json", "address", "show", "dev", "eth0"))
    return [ip["local"] for link in links for ip in link["addr_info"]]


def test_policies_members_and_certificates_change_under_way(site: Site, tmp_path: Path) -> None:
    authority = signed("Authority", authority=True)
    one, two = (signed(name, [name], by=authority) for name in ("one.example", "two.example"))
    (tmp_path / "ca.pem").write_text(authority.pem)
    made = [
        site.net.api(
            "POST",
            CERTIFICATES,
            {"certificate": {"certificate": each.pem, "private_key": each.key_pem}},
        )["certificate"]
        for each in (one, two)
    ]
    references = [f"http://controller{CERTIFICATES}/{each['id']}" for each in made]
    listener = site.listener(
        *(443, "TERMINATED_HTTPS"),
        default_tls_container_ref=references[0],
        sni_container_refs=[references[1]],
    )
    site.until_active(("listener", listener["id"]))
    vip = site.vips[0]

    def ask(name: str, path: str = "/", *words: str) -> str:
        trusted = ("--cacert", str(tmp_path / "ca.pem"), "--resolve", f"{name}:443:{vip}")
        return site.curl(f"https://{name}{path}", *trusted, *words)

    assert ask("one.example").split()[0] in ("one", "two")
    assert ask("two.example").split()[0] in ("one", "two")
    renewed = signed("one.example", ["one.example", "new.example"], by=authority)
    site.net.api(
        "PUT",
        f"{CERTIFICATES}/{made[0]['id']}",
        {"certificate": {"certificate": renewed.pem, "private_key": renewed.key_pem}},
    )
    site.net.settle()  # of a certificate, no status says whether it has come about
    site.until_active()
    assert ask("new.example").split()[0] in ("one", "two")
    policy = site.make("l7policy", listener_id=listener["id"], action="REJECT")
    site.make(
        f"l7policies/{policy['id']}/rule", type="PATH", compare_type="STARTS_WITH", value="/#"
    )
    site.until_active(("l7policy", policy["id"]))
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert ask("one.example", "/%23", *code) == "200"
    for member in site.members[1:]:
        site.net.api("DELETE", f"{LBAAS}/pools/{site.pool['id']}/members/{member['id']}")
    site.until_active()
    assert {ask("one.example").split()[0] for _ in range(4)} == {"one"}
    site.net.api("DELETE", f"{LBAAS}/listeners/{listener['id']}")
    site.until_active()
    assert site.net.api("DELETE", f"{CERTIFICATES}/{made[0]['id']}") is None


def test_another_host_takes_over(site: Site) -> None:
    """The worker is killed, with its proxy: the other one's host has the VIPs soon."""
    site.listener(80)
    site.until_active()
    vips, before = site.vips, site.proxy_host
    assert all(site.curl(url(vip)) for vip in vips)
    kill_host(site, before)

    assert eventually(lambda: is_answered(site))
    assert site.proxy_host != before
    assert all(site.curl(url(vip)) for vip in vips)
    site.until_active()


def kill_host(site: Site, name: str) -> None:
    """A host's worker, and all that it runs."""
    files = site.net.directory / name / "files"
    site.net.kill_worker(name)
    machine = next(m for m in site.net.machines if m.name == name)
    for pid in pids(files):
        machine.guest.run("kill", "-KILL", pid)


def is_answered(site: Site) -> bool:
    asking = site.client.start("curl", "-sS", "-m", "1", url(site.vips[0]))
    asking.communicate()
    return asking.returncode == 0


def pids(place: Path) -> list[str]:
    """The processes that were started in a worker's directories."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.resolve().is_relative_to(place.resolve()):
                found.append(path.parent.name)
        except OSError:
            continue
    return found
