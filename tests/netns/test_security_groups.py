# SPDX-License-Identifier: Apache-2.0

"""Security groups with real packets: who reaches whom, what follows a connection, and how one that
is no longer allowed ends, while it runs and while it is idle."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.openflow.keys import LOG_METER
from tests.echo import PORT, asked, serving
from tests.lab import Lab, eventually, lab
from tests.namespace import Guest
from tests.netns.test_l2 import addresses, join_by_trunk
from tests.openvswitch import OpenVSwitch
from tests.outside import machine

CIDRS = ("10.0.0.0/24", "fd00::/64")
VLAN = {"provider:network_type": "vlan", "provider:physical_network": "wire"}
VRRP = 112
METER = f"meter={LOG_METER}"
SECONDS = 1.0
"""How soon what is revoked must have ended."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def group(net: Lab, name: str, *rules: dict[str, Any], **more: Any) -> str:
    """A group that lets everything out, and has these rules for IPv4 and IPv6; its id."""
    body = {"security_group": {"name": name, **more}}
    id: str = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
    for said in rules:
        for ethertype in ("IPv4", "IPv6"):
            rule(net, id, ethertype=ethertype, **said)
    return id


def rule(net: Lab, group_id: str, **said: Any) -> str:
    body = {"security_group_rule": {"security_group_id": group_id, "direction": "ingress", **said}}
    made = net.api("POST", "/v2.0/security-group-rules", body)["security_group_rule"]
    net.settle()
    id: str = made["id"]
    return id


def drop(net: Lab, rule_id: str) -> None:
    net.api("DELETE", f"/v2.0/security-group-rules/{rule_id}")
    net.settle()


def ports_of(number: int) -> dict[str, Any]:
    return {"protocol": "tcp", "port_range_min": number, "port_range_max": number}


@pytest.mark.parametrize("switches", [1, 2])
def test_members_reach_each_other_and_strangers_nobody(net: Lab, switches: int) -> None:
    """The default group: by both families, TCP and UDP, on one switch and over two."""
    network = net.network(*CIDRS, **VLAN)
    other = group(net, "other")
    if switches == 2:
        join_by_trunk(net)
    ports = [net.port(network) for _ in range(2)]
    ports.append(net.port(network, security_groups=[other]))
    at = ("br-int", "br-two" if switches == 2 else "br-int", "br-int")
    member, server, stranger = (net.guest(p, b) for p, b in zip(ports, at, strict=True))
    net.settle()
    with serving(server):
        seen = [ip["ip_address"] for ip in ports[0]["fixed_ips"] for _ in range(2)]
        assert asked(member, *addresses(ports[1])) == seen
        assert asked(stranger, *addresses(ports[1])) == ["-"] * 4
    for address in addresses(ports[1]):
        assert member.pings(address)
        assert not stranger.pings(address)
    for address in addresses(ports[2]):
        assert not member.pings(address), "it takes nothing in"
    link_local = server.run("ip", "-6", "-o", "address", "show", "scope", "link")
    link_local = link_local.split("inet6 ")[1].partition("/")[0]
    assert not member.pings(f"{link_local}%eth0"), "it is in no group, on whichever switch"
    with serving(stranger):
        net.api("PUT", f"/v2.0/ports/{ports[2]['id']}", {"port": {"security_groups": []}})
        net.settle()
        assert asked(server, *addresses(ports[2])) == ["-"] * 4, "in no group, it is alone"


def test_what_follows_a_connection(net: Lab) -> None:
    """Answers, and errors about it: a port that is closed says so through a rule for UDP alone."""
    network = net.network(*CIDRS)
    udp = {"protocol": "udp", "port_range_min": 5000, "port_range_max": 6000}
    ports = [
        net.port(network, security_groups=[group(net, name, *rules)])
        for name, *rules in (("client",), ("server", udp))
    ]
    client, _ = (net.guest(port) for port in ports)
    net.settle()
    for family, address in zip((socket.AF_INET, socket.AF_INET6), addresses(ports[1]), strict=True):
        for port, answer in ((5555, ConnectionRefusedError), (7000, TimeoutError)):
            with closing(client.socket(socket.SOCK_DGRAM, family)) as asking:
                asking.settimeout(0.5)
                asking.connect((address, port))
                asking.send(b"?")
                with pytest.raises(answer):
                    asking.recv(10)


def test_revoking_a_rule_ends_iperf3(net: Lab) -> None:
    network = net.network(*CIDRS)
    servers = group(net, "servers")
    allowed = rule(net, servers, **ports_of(5201))
    ports = [net.port(network, security_groups=[group(net, "c")])]
    ports.append(net.port(network, security_groups=[servers]))
    client, server = (net.guest(port) for port in ports)
    net.settle()
    for reverse in ((), ("-R",)):
        listening = server.start("iperf3", "-s", "-1", "--forceflush")
        assert listening.stdout is not None
        while "Server listening" not in listening.stdout.readline():
            assert listening.poll() is None
        running = client.start(
            *("iperf3", "-c", addresses(ports[1])[0], "-t", 30, "-i", "0.25", "--forceflush"),
            *reverse,
        )
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        assert any(_moved(line) for line in lines), "it runs"
        drop(net, allowed)
        revoked = time.monotonic()
        stalled = next(time.monotonic() for line in lines if _moved(line) is False)
        # An interval of 0.25 s must have begun after the rule was gone, and be over.
        assert stalled - revoked < SECONDS
        for process in (running, listening):
            process.kill()
            process.communicate()
        allowed = rule(net, servers, **ports_of(5201))


def _moved(line: str) -> bool | None:
    """Whether an interval moved any octets; None for a line that is about none."""
    found = re.search(r"sec +([\d.]+) +[KMG]?Bytes", line)
    return float(found[1]) > 0 if found else None


@pytest.mark.parametrize("how", ["rule", "port"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_revoking_ends_an_idle_connection_both_ways(net: Lab, how: str, who: str) -> None:
    """Whoever says the first word after it. A connection of another rule goes on."""
    network = net.network(*CIDRS)
    clients, servers = group(net, "clients"), group(net, "servers")
    allowed = rule(net, servers, remote_group_id=clients, **ports_of(PORT))
    other = group(net, "other", ports_of(PORT + 1))
    ports = [net.port(network, security_groups=[clients])]
    ports.append(net.port(network, security_groups=[servers, other]))
    client, server = (net.guest(port) for port in ports)
    net.settle()
    ended = connected(client, server, addresses(ports[1])[0], PORT)
    kept = connected(client, server, addresses(ports[1])[0], PORT + 1)
    if how == "rule":
        drop(net, allowed)
    else:
        net.api("PUT", f"/v2.0/ports/{ports[0]['id']}", {"port": {"security_groups": [other]}})
        net.settle()
    net.take_effect()
    order = (0, 1) if who == "client" else (1, 0)
    for pair, arrives in ((ended, False), (kept, True)):
        speaker, listener = (pair[number] for number in order)
        speaker.send(b"still there?")
        if arrives:
            assert listener.recv(100) == b"still there?"
        else:
            with pytest.raises(TimeoutError):
                listener.recv(100)
    for end in (*ended, *kept):
        end.close()


def connected(
    client: Guest, server: Guest, address: str, port: int
) -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection that has spoken."""
    with closing(server.socket(socket.SOCK_STREAM)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("", port))
        listening.listen(1)
        calling = client.socket(socket.SOCK_STREAM)
        calling.settimeout(SECONDS)
        calling.connect((address, port))
        called, _ = listening.accept()
    called.settimeout(SECONDS)
    for one, other in ((calling, called), (called, calling)):
        one.send(b"hello")
        assert other.recv(10) == b"hello"
    return calling, called


def test_a_stateless_group_tracks_nothing(net: Lab) -> None:
    """And so has to allow answers by rules of its own."""
    network = net.network(*CIDRS)
    servers = group(net, "servers", ports_of(PORT), stateful=False)
    clients = group(net, "clients", stateful=False)
    ports = [net.port(network, security_groups=[id]) for id in (clients, servers)]
    client, server = (net.guest(port) for port in ports)
    net.settle()
    to = addresses(ports[1])
    with serving(server):
        assert asked(client, *to) == ["-"] * 4
        for ethertype in ("IPv4", "IPv6"):
            span = {"protocol": "tcp", "port_range_min": 1024, "port_range_max": 65535}
            rule(net, clients, ethertype=ethertype, **span)
        four, six = addresses(ports[0])
        assert asked(client, *to) == [four, "-", six, "-"]
    assert net.ovs.appctl("dpctl/dump-conntrack").strip() == ""


def test_protocols_that_nobody_can_track_need_a_rule_at_each_end(net: Lab) -> None:
    """VRRP, as an example: what has no connection has no answers either."""
    network = net.network("10.0.0.0/24")
    vrrp = {"protocol": "vrrp", "ethertype": "IPv4"}
    talking, deaf = group(net, "talking"), group(net, "deaf")
    rule(net, talking, **vrrp)
    ports = [net.port(network, security_groups=[id]) for id in (talking, talking, deaf)]
    a, b, c = (net.guest(port) for port in ports)
    net.settle()
    ears = [guest.socket(socket.SOCK_RAW, protocol=VRRP) for guest in (b, c)]
    mouth = a.socket(socket.SOCK_RAW, protocol=VRRP)
    for ear, port, heard in zip(ears, ports[1:], (True, False), strict=True):
        ear.settimeout(0.5)
        mouth.sendto(b"\x21\x01\x01\x00\x00\x01\x00\x00", (addresses(port)[0], 0))
        if heard:
            assert ear.recv(100)
        else:
            with pytest.raises(TimeoutError):
                ear.recv(100)
        ear.close()
    mouth.close()


def test_between_two_networks_of_a_router(net: Lab) -> None:
    """A remote group is its members wherever they are; what the router says is heard."""
    one, two = net.network("10.1.0.0/24", "fd01::/64"), net.network("10.2.0.0/24", "fd02::/64")
    net.router(one, two)
    clients = group(net, "clients")
    servers = group(net, "servers", {"remote_group_id": clients, **ports_of(PORT)})
    ports = [net.port(one, security_groups=[clients]), net.port(two, security_groups=[servers])]
    ports.append(net.port(one, security_groups=[group(net, "strangers")]))
    client, server, stranger = (machine(net, port) for port in ports)
    net.settle()
    with serving(server):
        to = addresses(ports[1])
        four, six = addresses(ports[0])
        assert asked(client, *to) == [four, "-", six, "-"]
        assert asked(stranger, *to) == ["-"] * 4
    for address in ("10.1.0.1", "fd01::1"):
        assert stranger.pings(address), "its router"
    text = client.run("traceroute", "-n", "-q", "1", "-w", "1", "-m", "1", to[0])
    assert "10.1.0.1" in text


def test_dhcp_needs_no_rule(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    port = net.port(network, security_groups=[])
    guest = net.guest(port, bare=True)
    net.settle()
    guest.run("ip", "link", "set", "eth0", "up")
    asking = guest.start("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true")
    assert f"lease of {addresses(port)[0]} obtained" in asking.communicate()[1]


def test_a_restart_of_the_controller_keeps_connections(ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(ovs, tmp_path, groups=True) as net:
        where = str(net.controller.openflow)
        network = net.network(*CIDRS)
        ports = [net.port(network) for _ in range(2)]
        client, server = (net.guest(port) for port in ports)
        net.settle()
        ends = connected(client, server, addresses(ports[1])[0], PORT)
        before = net.flows("br-int")
        net.controller.stop()
        with lab(ovs, tmp_path, groups=True, openflow__listen=where) as again:
            again.settle()
            assert again.flows("br-int") == before
            for one, other in (ends, ends[::-1]):
                one.send(b"still there?")
                assert other.recv(100) == b"still there?"
            again.verify()
        for end in ends:
            end.close()
        net.controller.stop = lambda: None  # type: ignore[method-assign]


def test_hits_are_counted_by_rule(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    servers = group(net, "servers")
    used, unused = (rule(net, servers, **ports_of(number)) for number in (PORT, PORT + 1))
    ports = [net.port(network, security_groups=[group(net, "clients")])]
    ports.append(net.port(network, security_groups=[servers]))
    client, server = (net.guest(port) for port in ports)
    net.settle()
    for end in connected(client, server, addresses(ports[1])[0], PORT):
        end.close()
    net.ovs.appctl("revalidator/purge")  # the datapath's counts go to the flows
    hits = {one["id"]: one["packets"] for one in net.api("GET", "/tenantry/v1/rules")}
    assert hits[used] > 0
    assert hits[unused] == 0
    never = {one["id"] for one in net.api("GET", "/tenantry/v1/rules?unused=1")}
    assert unused in never
    assert used not in never


def test_what_is_accepted_and_dropped_is_logged(net: Lab, tmp_path: Path) -> None:
    """With tenant, port, rule and addresses; and no more than the meter lets through."""
    network = net.network("10.0.0.0/24")
    servers = group(net, "servers")
    allowed = rule(net, servers, **ports_of(PORT))
    ports = [net.port(network, security_groups=[group(net, "clients")])]
    ports.append(net.port(network, security_groups=[servers], name="web"))
    client, server = (net.guest(port) for port in ports)
    body = {"log": {"resource_type": "security_group", "target_id": ports[1]["id"]}}
    log = net.api("POST", "/v2.0/log/logs", body)["log"]
    net.take_effect()
    from_address, to = (addresses(port)[0] for port in ports)
    for end in connected(client, server, to, PORT):
        end.close()
    assert eventually(lambda: bool(net.logged()))
    accepted = net.logged()[0]
    expected = {
        "event": "ACCEPT",
        "direction": "ingress",
        "project_id": "demo",
        "rule_id": allowed,
        "port_id": ports[1]["id"],
        "port_name": "web",
        "protocol": "tcp",
        "source": from_address,
        "destination": to,
        "destination_port": PORT,
        "security_group_id": servers,
        "log_ids": [log["id"]],
    }
    assert {name: accepted[name] for name in expected} == expected
    with closing(client.socket(socket.SOCK_DGRAM)) as asking:
        for _ in range(500):
            asking.sendto(b"?", (to, 9))
    assert eventually(lambda: net.logged()[-1]["event"] == "DROP")
    (beyond,) = re.findall(r"0: packet_count:(\d+)", net.ovs.ofctl("meter-stats", "br-int", METER))
    assert int(beyond) > 100, "the meter holds the rest"
    lines = net.logged()
    dropped = lines[-1]
    assert (dropped["protocol"], dropped["destination_port"], dropped["rule_id"]) == (
        *("udp", 9, None),
    )
    written = (tmp_path / "network.log").read_text().splitlines()
    assert len(written) >= len(lines)
    net.api("DELETE", f"/v2.0/log/logs/{log['id']}")
    net.take_effect()
    before = net.logged()
    for end in connected(client, server, to, PORT):
        end.close()
    assert net.logged() == before


def test_a_floating_ip_and_a_port_beside_it(net: Lab) -> None:
    """Both judged by their groups: the one behind the router, and the one on the network outside,
    who asks, and is answered."""
    outside = net.external("203.0.113.0/24")
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside)
    servers = group(net, "servers", ports_of(PORT))
    ports = [net.port(network, security_groups=[servers]), net.port(outside)]
    server, beside = (machine(net, port) for port in ports)
    floating = net.floating_ip(outside, ports[0])["floating_ip_address"]
    net.settle()
    with serving(server):
        assert asked(beside, floating) == [addresses(ports[1])[0], "-"]
    assert not beside.pings(floating)
    with serving(beside):
        to = addresses(ports[1])[0]
        assert asked(server, to) == ["-"] * 2
        rule(net, servers, direction="egress", protocol="udp", remote_ip_prefix="192.0.2.0/24")
        net.api("PUT", f"/v2.0/ports/{ports[1]['id']}", {"port": {"security_groups": [servers]}})
        net.take_effect()
        assert asked(server, to) == [floating, "-"]
