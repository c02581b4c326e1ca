# SPDX-License-Identifier: Apache-2.0

"""Routers with real packets: two switches, two tenants with the same addresses, and the outside."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.network.records import Neighbour
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import Arp
from tenantry.controller.packets.neighbour_discovery import BROADCAST, REPLY, announcement, question
from tests import echo
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import join_by_trunk
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def addresses(port: Any) -> tuple[str, str]:
    four, six = (ip["ip_address"] for ip in port["fixed_ips"])
    return four, six


def gateway(router: Any) -> str:
    found = router["external_gateway_info"]["external_fixed_ips"]
    return next(str(ip["ip_address"]) for ip in found if "." in ip["ip_address"])


class Tenant:
    """Two networks and a router of a tenant, a machine of each network on each switch."""

    def __init__(self, net: Lab, outside: Outside, project: str, prefix6: str) -> None:
        self.one = net.network("10.1.0.0/24", f"{prefix6}:1::/64", project=project)
        self.two = net.network("10.2.0.0/24", f"{prefix6}:2::/64", project=project)
        self.router = net.router(self.one, self.two, outside=outside.network, project=project)
        outside.routes_to(self.router, f"{prefix6}::/32")
        places = ((self.one, "br-int"), (self.two, "br-two"))
        self.ports = [net.port(network) for network, _ in places]
        self.machines = [
            machine(net, port, bridge) for port, (_, bridge) in zip(self.ports, places, strict=True)
        ]


def test_two_tenants_with_the_same_addresses_over_two_switches(net: Lab) -> None:
    join_by_trunk(net)
    outside = Outside(net)
    tenants = [Tenant(net, outside, p, x) for p, x in (("red", "2001:4"), ("blue", "2001:5"))]
    floating = net.floating_ip(outside.network, tenants[0].ports[1], description="on br-two")
    net.settle()
    public = floating["floating_ip_address"]
    with echo.serving(outside.server):
        for tenant in tenants:
            (a, b), (one, two) = tenant.machines, tenant.ports
            own, other = addresses(one), addresses(two)
            with echo.serving(b):
                # Between networks and switches everybody is who he is.
                assert echo.asked(a, *other) == [own[0], own[0], own[1], own[1]]
                assert a.pings(other[0])
                assert a.pings(other[1])
            # Outside, IPv4 is the router, or the floating IP; IPv6 is as it is.
            shared = gateway(tenant.router)
            assert echo.asked(a, SERVER, SERVER6) == [shared, shared, own[1], own[1]]
            seen = public if tenant is tenants[0] else gateway(tenant.router)
            assert echo.asked(b, SERVER, SERVER6) == [seen, seen, other[1], other[1]]
            assert a.pings(SERVER)
            assert b.pings(SERVER)
    for shown in net.api("GET", "/tenantry/v1/routers"):
        assert (shown["home"], shown["switches"]) == ("br-int", ["br-int", "br-two"])
        assert "203.0.113.1" in {neighbour["address"] for neighbour in shown["neighbours"]}
    red, blue = tenants
    with echo.serving(red.machines[1]):
        assert echo.asked(outside.server, public) == [SERVER, SERVER]
        assert outside.server.pings(public)
        # From the other tenant, whose addresses are the same; from the own network; from itself.
        theirs, own = gateway(blue.router), gateway(red.router)
        assert echo.asked(blue.machines[0], public) == [theirs, theirs]
        assert echo.asked(red.machines[0], public) == [own, own]
        assert echo.asked(red.machines[1], public) == [public, public]
    # Nobody outside has a way to what is not translated.
    assert not outside.server.pings(addresses(blue.ports[0])[0])


def hops(guest: Guest, tool: str, *words: str) -> list[str]:
    """What a tool says of the way, hop by hop: the address, or the tool's own words."""
    text = subprocess.run(guest.command(tool, *words), capture_output=True, text=True).stdout
    found = re.findall(r"^\s*\d+\??:?\s+(\S+)", text, re.MULTILINE)
    # tracepath asks the first hop twice.
    return [hop for hop, before in zip(found, ["", *found], strict=False) if hop != before]


def test_the_way_is_shown_hop_by_hop(net: Lab) -> None:
    join_by_trunk(net)
    outside = Outside(net)
    tenant = Tenant(net, outside, "red", "2001:4")
    a, _ = tenant.machines
    four, six = addresses(tenant.ports[1])
    for family, target, way in (
        ("-4", four, ["10.1.0.1", four]),
        ("-6", six, ["2001:4:1::1", six]),
        ("-4", SERVER, ["10.1.0.1", "203.0.113.1", SERVER]),
        ("-6", SERVER6, ["2001:4:1::1", "2001:db8::1", SERVER6]),
    ):
        options = ("-n", family, "-q", "1", "-w", "2", "-z", "0.01")
        assert hops(a, "traceroute", *options, target) == way
        assert hops(a, "traceroute", *options, "-I", target) == way
        assert hops(a, "tracepath", "-n", family, target)[1:] == way
    # A router without anybody behind it, and its own addresses.
    assert hops(a, "traceroute", "-n", "-4", "-q", "1", "10.2.0.1") == ["10.2.0.1"]
    assert hops(a, "traceroute", "-n", "-6", "-q", "1", "2001:4:2::1") == ["2001:4:2::1"]
    # From outside, too: the floating IP, not what it stands for.
    floating = net.floating_ip(outside.network, tenant.ports[1])["floating_ip_address"]
    net.settle()
    way = ["198.51.100.1", gateway(tenant.router), floating]
    assert hops(outside.server, "traceroute", "-n", "-q", "1", "-w", "2", floating) == way
    assert hops(outside.server, "traceroute", "-n", "-q", "1", "-w", "2", "-I", floating) == way


def test_the_way_through_two_tenants_routers(net: Lab) -> None:
    """From behind one's shared address to the other's floating IP: errors come back through both
    translations."""
    outside = Outside(net)
    red, blue = (net.network("10.1.0.0/24", project=project) for project in ("red", "blue"))
    routers = [net.router(n, outside=outside.network, project=n["project_id"]) for n in (red, blue)]
    ports = [net.port(red), net.port(blue)]
    a, _ = (machine(net, port) for port in ports)
    floating = net.floating_ip(outside.network, ports[1])["floating_ip_address"]
    net.settle()
    way = ["10.1.0.1", gateway(routers[1]), floating]
    assert hops(a, "traceroute", "-n", "-q", "1", "-w", "2", floating) == way
    assert hops(a, "traceroute", "-n", "-q", "1", "-w", "2", "-I", floating) == way
    assert hops(a, "tracepath", "-n", floating)[1:] == way


def says(guest: Guest, *words: str) -> str:
    """What ping says, answered or not."""
    command = guest.command("ping", "-n", "-c", "1", "-W", "5", *words)
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_a_router_says_why(net: Lab) -> None:
    network = net.network("10.1.0.0/24", "2001:4:1::/64")
    other = net.network("10.2.0.0/24", "2001:4:2::/64")
    net.router(network, other)
    a = machine(net, net.port(network))
    assert "Net Unreachable" in says(a, "198.51.100.1")
    assert "No route" in says(a, "2001:db8:ffff::1")
    # Who is not there is looked for first, as by any router.
    assert "Host Unreachable" in says(a, "10.2.0.77")
    assert "Address unreachable" in says(a, "2001:4:2::77")
    assert "Time to live exceeded" in says(a, "-t", "1", "10.2.0.2")
    connection = "import socket; socket.create_connection(('10.2.0.1', 80), 2)"
    refused = subprocess.run(
        a.command(sys.executable, "-c", connection), capture_output=True, text=True
    )
    assert "ConnectionRefused" in refused.stderr


def test_packets_that_are_too_big(net: Lab) -> None:
    """A network of smaller packets behind the router: IPv6 and what must not be cut are refused,
    other packets of IPv4 are cut."""
    large, small = net.network("10.1.0.0/24", "2001:4:1::/64"), None
    small = net.network("10.2.0.0/24", "2001:4:2::/64", mtu=1400)
    net.router(large, small)
    one, two = net.port(large), net.port(small)
    a, b = machine(net, one), machine(net, two)
    b.run("ip", "link", "set", "eth0", "mtu", "1400")
    four, six = addresses(two)
    assert "mtu = 1400" in says(a, "-M", "do", "-s", "1460", four)
    assert "mtu=1400" in says(a, "-M", "do", "-s", "1440", six)
    a.run("ip", "route", "flush", "cache")
    assert "1 received" in says(a, "-M", "dont", "-s", "1460", four)
    a.run("ip", "route", "flush", "cache")
    for address in (four, six):
        assert hops(a, "tracepath", "-n", address)[-1] == address
        text = a.run("tracepath", "-n", address)
        assert "pmtu 1400" in text


def bytes_fetched(client: Guest, server: Guest, address: str) -> int:
    """How many of 300,000 octets arrive by TCP."""
    serve = (
        "import socket; s = socket.create_server(('::', 8080), family=socket.AF_INET6,"
        " dualstack_ipv6=True); print('ready', flush=True); c, _ = s.accept();"
        " c.sendall(bytes(300000)); c.close()"
    )
    process = server.start(sys.executable, "-c", serve)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    fetch = (
        f"import socket; s = socket.create_connection(('{address}', 8080), 3); n = 0\n"
        "while data := s.recv(65536): n += len(data)\nprint(n)"
    )
    done = subprocess.run(
        client.command(sys.executable, "-c", fetch), capture_output=True, text=True
    )
    process.terminate()
    process.communicate()
    return int(done.stdout or 0)


@pytest.mark.parametrize("floating", [False, True])
def test_path_mtu_discovery_from_inside_and_outside(net: Lab, floating: bool) -> None:
    """The cable to the server takes smaller packets. Its router's errors quote translated packets,
    which come to a tenant as it knows them."""
    outside = Outside(net, mtu=1300)
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside.network)
    port = net.port(network)
    a = machine(net, port)
    if floating:
        public = net.floating_ip(outside.network, port)["floating_ip_address"]
        net.settle()
        assert bytes_fetched(outside.server, a, public) == 300000
    assert "mtu = 1300" in says(a, "-M", "do", "-s", "1400", SERVER)
    assert bytes_fetched(a, outside.server, SERVER) == 300000
    upload = (
        "import socket; s = socket.create_connection(('{}', 8081), 3); s.sendall(bytes(300000))"
    )
    receive = (
        "import socket; s = socket.create_server(('', 8081)); print('ready', flush=True); n = 0\n"
        "c, _ = s.accept()\nwhile data := c.recv(65536): n += len(data)\nprint(n)"
    )
    server = outside.server.start(sys.executable, "-c", receive)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    a.run(sys.executable, "-c", upload.format(SERVER))
    assert server.stdout.readline() == "300000\n"
    server.communicate()


def test_errors_about_a_floating_ips_packets_come_out_right(net: Lab) -> None:
    """A closed port is refused at once, in both directions."""
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside.network)
    port = net.port(network)
    a = machine(net, port)
    public = net.floating_ip(outside.network, port)["floating_ip_address"]
    net.settle()
    ask = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2);"
        " s.connect(('{}', 9)); s.send(b'x'); s.recv(1)"
    )
    for guest, address in ((a, SERVER), (outside.server, public)):
        words = guest.command(sys.executable, "-c", ask.format(address))
        done = subprocess.run(words, capture_output=True, text=True)
        assert "ConnectionRefused" in done.stderr, done.stderr


def test_a_floating_ip_moves_with_its_connections_cut(net: Lab) -> None:
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside.network)
    ports = [net.port(network) for _ in range(2)]
    machines = [machine(net, port) for port in ports]
    floating = net.floating_ip(outside.network, ports[0])
    net.settle()
    public = floating["floating_ip_address"]
    # Held open: what it says after the move arrives nowhere.
    hold = (
        "import socket, sys; s = socket.create_server(('', 8082)); print('ready', flush=True);"
        " c, _ = s.accept(); print(c.recv(5), flush=True); print(c.recv(5), flush=True)"
    )
    server = machines[0].start(sys.executable, "-c", hold)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    say = (
        "import socket, sys; s = socket.create_connection(('{}', 8082), 3); s.sendall(b'hello');"
        " print('said', flush=True); sys.stdin.readline(); s.sendall(b'again');"
        " s.settimeout(2)\ntry: print(s.recv(1))\nexcept OSError as e: print(type(e).__name__)"
    )
    client = subprocess.Popen(
        outside.server.command(sys.executable, "-c", say.format(public)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stdout.readline() == "said\n"
    assert "hello" in server.stdout.readline()
    net.update("floatingip", floating["id"], port_id=ports[1]["id"])
    net.settle()
    with echo.serving(machines[1]):
        assert echo.asked(outside.server, public) == [SERVER, SERVER]
    client.stdin.write("\n")
    client.stdin.flush()
    assert client.stdout.readline() == "ConnectionResetError\n", "by the machine that has it now"
    client.communicate()
    server.terminate()
    server.communicate()
    net.delete("floatingip", floating["id"])
    net.settle()
    assert not outside.server.pings(public)


def test_who_is_outside_learns_at_once_that_a_floating_ip_has_moved(net: Lab) -> None:
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside.network)
    port = net.port(network)
    machine(net, port)
    outside.router.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_accept=1")
    floating = net.floating_ip(outside.network, port)
    net.settle()
    (holder,) = net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    heard = outside.router.run("ip", "neighbour", "show", floating["floating_ip_address"])
    assert holder["mac_address"] in heard, "nobody outside has asked yet"


def test_port_forwarding_beside_shared_snat(net: Lab) -> None:
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    router = net.router(network, outside=outside.network)
    ports = [net.port(network) for _ in range(2)]
    a, b = (machine(net, port) for port in ports)
    floating = net.floating_ip(outside.network)
    public = floating["floating_ip_address"]
    for protocol in ("tcp", "udp"):
        forwarding = {
            "protocol": protocol,
            "external_port": 1234,
            "internal_port": echo.PORT,
            "internal_port_id": ports[0]["id"],
            "internal_ip_address": ports[0]["fixed_ips"][0]["ip_address"],
        }
        path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
        net.api("POST", path, {"port_forwarding": forwarding})
    net.settle()
    shared = gateway(router)
    with echo.serving(a), echo.serving(outside.server):
        assert echo.asked(outside.server, public, port=1234) == [SERVER, SERVER]
        assert echo.asked(b, public, port=1234) == [shared, shared]
        assert echo.asked(a, public, port=1234) == [shared, shared], "to itself"
        for guest in (a, b):
            assert echo.asked(guest, SERVER) == [shared, shared]
    assert outside.server.pings(public), "the router answers for the rest"
    for id in (f["id"] for f in net.api("GET", path)["port_forwardings"]):
        net.api("DELETE", f"{path}/{id}")
    net.settle()
    with echo.serving(a):
        assert echo.asked(outside.server, public, port=1234) == ["-", "-"]


FTP = """
import socket, sys
s = socket.create_server(("", 21)); print("ready", flush=True)
c, _ = s.accept(); f = c.makefile("rw", newline="\\r\\n")
def say(t): f.write(t + "\\n"); f.flush()
say("220 hello")
for line in f:
    word, _, rest = line.strip().partition(" ")
    if word == "PORT":
        n = rest.split(","); host, port = ".".join(n[:4]), int(n[4]) * 256 + int(n[5])
        say("200 ok")
    elif word == "RETR":
        say("150 here"); d = socket.create_connection((host, port), 2, ("", 20)); d.sendall(b"file")
        d.close(); say("226 done"); print(host, flush=True)
    elif word == "QUIT": say("221 bye"); break
    else: say("331 go on" if word == "USER" else "230 in" if word == "PASS" else "200 ok")
"""
FETCH = """
import ftplib
f = ftplib.FTP("{}", "a", "b", timeout=3); f.set_pasv(False); got = []
f.retrbinary("RETR x", got.append); f.quit(); print(b"".join(got).decode())
"""


@pytest.mark.parametrize("helped", [True, False])
def test_active_ftp_needs_the_helper(net: Lab, helped: bool) -> None:
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    router = net.router(network, outside=outside.network)
    a = machine(net, net.port(network))
    if helped:
        helper = {"protocol": "tcp", "port": 21, "helper": "ftp"}
        path = f"/v2.0/routers/{router['id']}/conntrack_helpers"
        net.api("POST", path, {"conntrack_helper": helper})
        net.settle()
    # OVS cannot lengthen a packet that it has just looked up by a flow of its own (its log says so,
    # "Unsupported effective MTU"): now and then a client has to try again.
    assert any(
        fetched(a, outside.server) == gateway(router) for _ in range(5 if helped else 1)
    ) == (helped)


def fetched(client: Guest, server: Guest) -> str:
    """Where a server was told to send the file, if the client got it."""
    serving = server.start(sys.executable, "-c", FTP)
    assert serving.stdout is not None
    assert serving.stdout.readline() == "ready\n"
    words = client.command(sys.executable, "-c", FETCH.format(SERVER))
    got = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    serving.terminate()
    told = serving.communicate()[0].strip()
    return told if got == "file" else ""


def test_routers_in_a_row(net: Lab) -> None:
    """Two routers on a shared network, with routes to each other's networks; several subnets of
    IPv6 on one port of a router."""
    left, right = (
        net.network("10.1.0.0/24", "2001:4:1::/64"),
        net.network("10.2.0.0/24", "2001:4:2::/64"),
    )
    middle = net.network("10.9.0.0/24", "2001:4:9::/64")
    routers = [net.router(left), net.router(right)]
    vias: list[dict[str, str]] = []
    for router in routers:
        port = net.port(middle)
        subnets = {"4": port["fixed_ips"][0], "6": port["fixed_ips"][1]}
        net.interface(router, port_id=port["id"])
        vias.append({version: ip["ip_address"] for version, ip in subnets.items()})
    for router, via, far in ((0, vias[1], "2"), (1, vias[0], "1")):
        routes = [
            {"destination": f"10.{far}.0.0/24", "nexthop": via["4"]},
            {"destination": f"2001:4:{far}::/64", "nexthop": via["6"]},
        ]
        net.update("router", routers[router]["id"], routes=routes)
    one, two = net.port(left), net.port(right)
    a = machine(net, one)
    machine(net, two)
    for address in addresses(two):
        assert a.pings(address)
    way = hops(a, "traceroute", "-n", "-q", "1", "-w", "2", addresses(two)[0])
    assert way == ["10.1.0.1", vias[1]["4"], addresses(two)[0]]


@pytest.mark.parametrize("bridge", ["br-int", "br-two"])
def test_a_floating_ip_of_a_router_further_out(net: Lab, bridge: str) -> None:
    """The port is behind a second router; the packets go by the routes of both, both ways; the port
    is where the uplink is, or elsewhere."""
    join_by_trunk(net)
    outside = Outside(net)
    inner, middle = net.network("10.1.0.0/24"), net.network("10.9.0.0/24")
    near, far = net.router(inner), net.router(outside=outside.network)
    legs = [net.port(middle) for _ in range(2)]
    via = [addresses4(leg) for leg in legs]
    for router, leg in zip((near, far), legs, strict=True):
        net.interface(router, port_id=leg["id"])
    net.update("router", near["id"], routes=[{"destination": "0.0.0.0/0", "nexthop": via[1]}])
    net.update("router", far["id"], routes=[{"destination": "10.1.0.0/24", "nexthop": via[0]}])
    port = net.port(inner)
    guest = machine(net, port, bridge)
    public = net.floating_ip(outside.network, port, router_id=far["id"])["floating_ip_address"]
    net.settle()
    with echo.serving(outside.server), echo.serving(guest):
        assert outside.server.pings(public)
        assert echo.asked(outside.server, public) == [SERVER, SERVER]
        assert echo.asked(guest, SERVER) == [public, public]


def test_metadata_and_dns_work_behind_a_router(net: Lab) -> None:
    network = net.network("10.1.0.0/24")
    net.router(network)
    port = net.port(network, dns_name="inside")
    a = machine(net, port)
    words = ("-s", "-m", "3", "http://169.254.169.254/latest/meta-data/local-ipv4")
    assert a.run("curl", *words) == port["fixed_ips"][0]["ip_address"]
    server = net.subnets(network)[0]["service_address"]
    assert "inside" in a.run("busybox", "nslookup", "inside.tenantry.internal", server)


def test_a_restart_of_the_controller_stops_nothing(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """What is routed, shared and floating goes on while it is away, and while it comes back."""
    with lab(ovs, tmp_path) as net:
        outside = Outside(net)
        network, other = net.network("10.1.0.0/24", "2001:4:1::/64"), net.network("10.2.0.0/24")
        router = net.router(network, other, outside=outside.network)
        outside.routes_to(router, "2001:4::/32")
        ports = [net.port(network), net.port(network), net.port(other)]
        a, floated, _ = (machine(net, port) for port in ports)
        net.floating_ip(outside.network, ports[1])
        net.settle()
        ways = [(a, SERVER), (a, SERVER6), (a, addresses4(ports[2])), (floated, SERVER)]
        for guest, address in ways:
            assert guest.pings(address)
        words = ("ping", "-n", "-q", "-i", "0.01", "-c", "250", "-W", "2")
        pings = [guest.start(*words, address) for guest, address in ways]
        before, where = net.flows("br-int"), str(net.controller.openflow)
        net.controller.stop()
        with lab(ovs, tmp_path, openflow__listen=where) as again:
            again.until(lambda: bool(again.controller.progress.reconcilers))
            again.settle()
            assert again.flows("br-int") == before
            for ping in pings:
                text = ping.communicate()[0]
                assert "250 received" in text, text
            again.verify()
        net.controller.stop = lambda: None  # type: ignore[method-assign]


def addresses4(port: Any) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("how", ["announces, asking", "announces, answering", "asks"])
def test_a_router_outside_that_is_replaced_is_believed_as_soon_as_it_speaks(
    net: Lab, monkeypatch: pytest.MonkeyPatch, how: str, version: int
) -> None:
    """Gratuitous ARP comes as a request as often as as an answer (RFC 5944, 4.6), and whoever asks
    says where it is itself (RFC 826; RFC 4861, 7.2.3)."""
    monkeypatch.setattr(
        "tenantry.controller.service.neighbours.REACHABLE_SECONDS", 1000.0
    )  # so nobody asks it
    outside = Outside(net)
    network = net.network("10.1.0.0/24", "2001:db8:1::/64")
    router = net.router(network, outside=outside.network)
    outside.routes_to(router, "2001:db8:1::/64")
    guest = machine(net, net.port(network))
    net.take_effect()
    server, address = (SERVER, "203.0.113.1") if version == 4 else (SERVER6, "2001:db8::1")
    assert guest.pings(server)
    net.take_effect()  # it is known by now
    new, there = 0x020000000099, int(ip_address(address))
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    of = (ip_address(ip["ip_address"]) for ip in fixed)
    ours = next(int(ip) for ip in of if ip.version == version)
    said = announcement(version, new, there, router=True)
    if how == "asks":
        said = question(version, new, there, ours)
    elif how == "announces, answering" and version == 4:
        said = frames.arp(BROADCAST, Arp(REPLY, new, there, new, there))
    outside.router.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    with outside.router.socket(socket.SOCK_RAW, socket.AF_PACKET) as mouth:
        mouth.bind(("eth0", 0))
        mouth.send(said)
    at = (outside.network["id"], version, there)
    net.until(lambda: getattr(net.controller.model.get(Neighbour, at), "mac", 0) == new)
    net.take_effect()
    assert guest.pings(server)
