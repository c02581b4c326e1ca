# SPDX-License-Identifier: Apache-2.0

"""Health monitors: real servers behind a real switch that die, refuse, hang and say 503."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from tenantry.apps.load_balancer.records import MemberHealth
from tenantry.controller.cli import features
from tenantry.controller.model import Change
from tenantry.controller.serve import Controller
from tenantry.controller.service.follower import Passed
from tenantry.controller.service.prober import Prober
from tenantry.controller.sockets import certificates
from tests.balancers import Balancers, vip
from tests.health import NAME, Monitored, listens, says
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine

CIDRS = {4: "10.0.0.0/24", 6: "2001:4:1::/64"}
FURTHER = {4: "10.1.0.0/24", 6: "2001:4:2::/64"}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        assert running.controller.service_port.up.wait(10)
        yield running
        running.verify()


def plugged(net: Lab, network: Any, **attributes: Any) -> tuple[Guest, Any]:
    port = net.port(network, **attributes)
    return machine(net, port), port


@pytest.mark.parametrize("version", [4, 6])
def test_what_becomes_of_members(net: Lab, version: int) -> None:
    """Each kind of question, with answers that are good, bad, late, or none."""
    network = net.network(CIDRS[version])
    (one, port), (two, other) = (plugged(net, network) for _ in range(2))
    balancer = Monitored(Balancers(net), network)
    good = says(one, 80, "200")
    for guest, number, answer in ((two, 80, "503"), (one, 81, "hangs"), (two, 81, "404")):
        says(guest, number, answer)
    for kind, number, expected in (
        ("TCP", 80, ("", "")),
        ("HTTP", 80, ("", "HTTP 503")),
        ("HTTP", 81, ("no answer", "HTTP 404")),
        ("HTTP", 82, ("refused", "refused")),
        ("HTTPS", 80, ("TLS: wrong version number", "TLS: wrong version number")),
        ("PING", 80, ("", "")),
        ("UDP-CONNECT", 80, ("refused", "refused")),
    ):
        pool = balancer.pool(kind)
        members = [balancer.member(pool, each, number) for each in (port, other)]
        for member, reason in zip(members, expected, strict=True):
            balancer.until(member, reason)
    codes = balancer.pool("HTTP", expected_codes="200,400-404")
    balancer.until(balancer.member(codes, other, 80, monitor_port=81))
    # It dies, and comes back.
    member = balancer.member(balancer.pool("HTTP"), port, 80)
    balancer.until(member)
    good.kill()
    balancer.until(member, "refused")
    says(one, 80, "200")
    balancer.until(member)


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_that_somebody_takes(net: Lab, version: int) -> None:
    network = net.network(CIDRS[version])
    guest, port = plugged(net, network)
    balancer = Monitored(Balancers(net), network)
    member = balancer.member(balancer.pool("UDP-CONNECT"), port, 53)
    balancer.until(member, "refused")
    server = listens(guest, 53)
    balancer.until(member)
    server.kill()
    balancer.until(member, "refused")


def test_tls_with_a_certificate_and_a_name(net: Lab, tmp_path: Path) -> None:
    network = net.network(CIDRS[4])
    guest, port = plugged(net, network)
    certificates.create(tmp_path / "pki", [NAME])
    pem = tmp_path / "both.pem"
    made = sorted((tmp_path / "pki").iterdir())
    pem.write_text("".join(path.read_text() for path in made if "controller" in path.name))
    says(guest, 443, "200", pem, NAME)
    balancer = Monitored(Balancers(net), network)
    named = {"domain_name": NAME, "http_version": 1.1}
    for kind in ("TLS-HELLO", "HTTPS"):
        balancer.until(balancer.member(balancer.pool(kind, **named), port, 443))
        unnamed = balancer.member(balancer.pool(kind), port, 443)
        balancer.until(unnamed, "TLS: tlsv1 unrecognized name")


def test_tenants_with_equal_addresses(net: Lab) -> None:
    """Two networks of two tenants, with a router each: members have the same addresses."""
    made = Balancers(net)
    for project, answers in (("red", ("", "refused")), ("blue", ("refused", ""))):
        near = net.network(*CIDRS.values(), project=project)
        far = net.network(*FURTHER.values(), project=project)
        net.router(near, far, project=project)
        wanted = []
        for network, reason in zip((near, far), answers, strict=True):
            port = net.port(
                network,
                fixed_ips=[
                    {"subnet_id": s["id"], "ip_address": _ninth(s)} for s in net.subnets(network)
                ],
            )
            guest = machine(net, port)
            balancer = Monitored(made, near)
            if not reason:
                says(guest, 80, "200")
            for ip in port["fixed_ips"]:
                for kind, number in (("HTTP", 80), ("UDP-CONNECT", 9), ("PING", 9)):
                    member = balancer.member(balancer.pool(kind), ip["ip_address"], number)
                    said = {"HTTP": reason, "UDP-CONNECT": "refused", "PING": ""}[kind]
                    wanted.append((balancer, member, said))
        for balancer, member, said in wanted:
            balancer.until(member, said)


def _ninth(subnet: Any) -> str:
    return str(subnet["cidr"].partition("/")[0]).removesuffix("0") + "9"


@pytest.mark.parametrize("floating", [False, True])
def test_members_outside(net: Lab, floating: bool) -> None:
    """By the router's shared address, or by the VIP's floating IP, where clients come in."""
    outside = Outside(net)
    network = net.network(*CIDRS.values())
    plugged(net, network)
    router = net.router(network, outside=outside.network)
    outside.routes_to(router, CIDRS[6])
    balancer = Monitored(Balancers(net), network)
    if floating:
        vip_port = net.api("GET", f"/v2.0/ports/{balancer.balancer.vip_port_id}")["port"]
        net.floating_ip(outside.network, vip_port)
    server = says(outside.server, 80, "200")
    pool = balancer.pool("HTTP")
    members = [balancer.member(pool, address, 80) for address in (SERVER, SERVER6)]
    pings = balancer.pool("PING")
    members += [balancer.member(pings, address, 80) for address in (SERVER, SERVER6)]
    for member in members:
        balancer.until(member)
    server.kill()
    for member in members[:2]:
        balancer.until(member, "refused")


def test_security_groups_of_members_judge_the_vip(net: Lab) -> None:
    """A monitor is let in where the VIP is."""
    network = net.network(CIDRS[4])
    group = net.create("security_group", name="web")
    for rule in group["security_group_rules"]:
        if rule["direction"] == "ingress":
            net.api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
    guest, port = plugged(net, network, security_groups=[group["id"]])
    says(guest, 80, "200")
    balancer = Monitored(Balancers(net), network)
    member = balancer.member(balancer.pool("HTTP"), port, 80)
    balancer.until(member, "no answer")
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
    address = vip(balancer.balancer)
    net.api(
        "POST",
        "/v2.0/security-group-rules",
        {
            "security_group_rule": {
                **rule,
                "security_group_id": group["id"],
                "remote_ip_prefix": address,
            }
        },
    )
    balancer.until(member)


def test_a_vip_that_is_plugged_in_keeps_its_own_connections(net: Lab) -> None:
    """As a proxy's is: it is the monitor's neighbour, and neither hears of the other."""
    network = net.network(CIDRS[4])
    guest, port = plugged(net, network)
    says(guest, 80, "200")
    monitored = Monitored(Balancers(net), network)
    vip_port = net.api("GET", f"/v2.0/ports/{monitored.balancer.vip_port_id}")["port"]
    proxy = net.guest(vip_port)
    member = monitored.member(monitored.pool("HTTP"), port, 80)
    pings = monitored.member(monitored.pool("PING"), port, 80)
    for each in (member, pings):
        monitored.until(each)
    url = f"http://{port['fixed_ips'][0]['ip_address']}/"
    asked = net.controller.prober.asked
    before = asked["HTTP"]
    while asked["HTTP"] < before + 3:
        code = proxy.run("curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url)
        assert code == "200"
    assert net.controller.prober.failed["HTTP"] == 0
    # But for pings: answers to those have no port that says whose they are.
    monitored.made.remove(pings)
    net.take_effect()
    assert proxy.pings(port["fixed_ips"][0]["ip_address"])


LBAAS = "/load-balancer/v2/lbaas"


def lbaas(net: Lab, kind: str, path: str, **attributes: Any) -> Any:
    return net.api("POST", f"{LBAAS}/{path}", {kind: attributes})[kind]


def test_by_the_api_and_over_a_restart(
    ovs: OpenVSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is dead stays so until it has answered the new controller, and is never thought alive;
    who is deleted is asked no more."""
    with lab(ovs, tmp_path) as net:
        assert net.controller.service_port.up.wait(10)
        network = net.network(CIDRS[4])
        guests = [plugged(net, network) for _ in range(2)]
        says(guests[0][0], 80, "200")
        subnet = net.subnets(network)[0]["id"]
        balancer = lbaas(net, "loadbalancer", "loadbalancers", vip_subnet_id=subnet)
        pool = lbaas(
            *(net, "pool", "pools"),
            loadbalancer_id=balancer["id"],
            protocol="TCP",
            lb_algorithm="ROUND_ROBIN",
        )
        listener = {"protocol": "TCP", "protocol_port": 443, "default_pool_id": pool["id"]}
        lbaas(net, "listener", "listeners", loadbalancer_id=balancer["id"], **listener)
        plan = {"delay": 1, "timeout": 1, "max_retries": 2, "max_retries_down": 2}
        monitor = lbaas(
            net, "healthmonitor", "healthmonitors", type="HTTP", pool_id=pool["id"], **plan
        )
        path = f"pools/{pool['id']}/members"
        alive, dead = (
            lbaas(net, "member", path, address=port["fixed_ips"][0]["ip_address"], protocol_port=80)
            for _, port in guests
        )

        def told(net: Lab) -> dict[str, tuple[str, str, bool]]:
            (found,) = net.api("GET", "/tenantry/v1/load-balancers")
            return {
                each["id"]: (each["operating_status"], each["reason"], each["in_rotation"])
                for each in found["pools"][0]["members"]
            }

        found = {alive["id"]: ("ONLINE", "", True), dead["id"]: ("ERROR", "refused", False)}
        model = net.controller.model
        net.until(lambda: len(model.all(MemberHealth)) == 2 and told(net) == found)
        shown = net.api("GET", f"{LBAAS}/{path}/{dead['id']}")["member"]
        assert shown["operating_status"] == "ERROR"
        status = net.api("GET", "/tenantry/v1/status")["probes"]
        assert (status["asked"], status["dead"]) == (2, 1)
        metrics = Request.blank("/metrics", headers={"X-Project-Id": "demo"}).get_response(
            net.controller.application
        )
        assert "tenantry_probes_dead 1.0" in metrics.text
        assert 'tenantry_probes_total{kind="HTTP",outcome="dead"}' in metrics.text
        net.controller.stop()
        seen: list[Change] = []

        def passed(prober: Prober, passed: Passed) -> None:
            seen.extend(change for change in passed.changes if change.type is MemberHealth)
            follow(prober, passed)

        follow = Prober.passed
        monkeypatch.setattr(Prober, "passed", passed)
        net.controller = Controller(features.load([str(tmp_path / "tenantry.conf")]))
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        assert told(net)[dead["id"]] == ("ERROR", "refused", False)
        assert net.controller.service_port.up.wait(10)
        model = net.controller.model
        net.until(lambda: model.get(MemberHealth, alive["id"]) is not None)
        says(guests[1][0], 80, "200")
        net.until(
            lambda: told(net) == dict.fromkeys((alive["id"], dead["id"]), ("ONLINE", "", True))
        )
        verdicts = [(change.id, change.record and change.record.alive) for change in seen]
        assert verdicts == [(dead["id"], False), (alive["id"], True), (dead["id"], True)]
        net.api("DELETE", f"{LBAAS}/healthmonitors/{monitor['id']}")
        net.until(lambda: not model.all(MemberHealth) and not len(net.controller.prober))
        assert {status for status, _, _ in told(net).values()} == {"NO_MONITOR"}
        net.verify()


_SCTP = """
import socket, struct, sys
from tenantry.controller.service.echoes import summed
version, chunk = int(sys.argv[1]), int(sys.argv[2])
stream = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, 132)
print("up", flush=True)
while True:
    data, sender = stream.recvfrom(4096)
    data = data[20:] if version == 4 else data
    there, here, _, _, kind, _, _ = struct.unpack_from("!HHIIBBH", data)
    if kind == 1:
        tag = data[16:20]
        answer = struct.pack("!HH", here, there) + tag + bytes(4)
        answer += bytes([chunk, 0, 0, 20]) + tag + bytes(12)
        stream.sendto(summed(answer), (sender[0], 0))
"""


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("chunk", "reason"), [(2, ""), (6, "refused")])
def test_sctp(net: Lab, version: int, chunk: int, reason: str) -> None:
    """Of a machine whose kernel need not know it: INIT is answered by INIT ACK, or ABORT."""
    network = net.network(CIDRS[version])
    guest, port = plugged(net, network)
    monitored = Monitored(Balancers(net), network)
    member = monitored.member(monitored.pool("SCTP"), port, 80)
    monitored.until(member, "no answer")
    server = guest.start(sys.executable, "-c", _SCTP, version, chunk)
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"
    monitored.until(member, reason)
