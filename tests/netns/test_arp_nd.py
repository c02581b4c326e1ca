# SPDX-License-Identifier: Apache-2.0

"""Who has an address is answered by the switch, and nobody else hears of it: real packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import link_local
from tenantry.controller.packets.frames import ICMPV6
from tenantry.controller.packets.neighbour_discovery import (
    ADVERTISEMENT,
    ROUTER,
    SOLICITATION,
    question,
)
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


@contextmanager
def heard(guest: Guest, what: str) -> Iterator[list[str]]:
    """Filled at the end of the block with the packets that the guest has heard, as lines."""
    tcpdump = guest.start("tcpdump", "-n", "-e", "-l", "--immediate-mode", "-i", "eth0", what)
    assert tcpdump.stderr is not None
    while "listening on" not in tcpdump.stderr.readline():
        assert tcpdump.poll() is None
    lines: list[str] = []
    yield lines
    tcpdump.terminate()
    lines += filter(None, tcpdump.communicate()[0].splitlines())


def neighbours(guest: Guest) -> dict[str, str]:
    """The MAC address of each neighbour that the guest has found."""
    rows = (line.split() for line in guest.run("ip", "neighbour", "show").splitlines())
    return {words[0]: words[words.index("lladdr") + 1] for words in rows if "lladdr" in words}


def test_a_third_port_hears_nothing(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    ports = [net.port(network) for _ in range(3)]
    a, b, third = (net.guest(port) for port in ports)
    with heard(third, "arp or (icmp6 and (ip6[40] = 135 or ip6[40] = 136))") as lines:
        for one, to in ((a, ports[1]), (b, ports[0])):
            four, six = (ip["ip_address"] for ip in to["fixed_ips"])
            assert one.pings(four)
            assert one.pings(six)
            found = neighbours(one)
            assert found[four] == found[six] == to["mac_address"]
        # Its own question, so that an empty capture is no accident.
        assert third.pings(ports[0]["fixed_ips"][0]["ip_address"])
    strangers = [line for line in lines if ports[2]["mac_address"] not in line]
    assert len(lines) > len(strangers) == 0, lines


def test_an_address_on_another_switch_is_answered_here(net: Lab) -> None:
    net.add_bridge("br-two")
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    here, there = net.port(network), net.port(network)
    a = net.guest(here)
    net.guest(there, bridge="br-two")
    net.settle()
    for ip in there["fixed_ips"]:
        a.pings(ip["ip_address"])  # nothing leads there, but its MAC address is known
        assert neighbours(a)[ip["ip_address"]] == there["mac_address"]


def test_an_address_that_nobody_has_is_not_answered(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    ports = [net.port(network) for _ in range(2)]
    a, b = (net.guest(port) for port in ports)
    with heard(b, "arp or icmp6") as lines:
        assert not a.pings("10.0.0.99")
        assert not a.pings("2001:db8::99")
    assert not [line for line in lines if "10.0.0.99" in line or "2001:db8::99" in line]
    net.delete("port", ports[1]["id"])
    net.settle()
    assert not a.pings(ports[1]["fixed_ips"][0]["ip_address"])


def test_what_the_model_does_not_know_is_asked_where_it_may_be(net: Lab) -> None:
    """An address behind a port without port security, and one of an allowed address pair."""
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    free = net.port(network, port_security_enabled=False)
    pair = [{"ip_address": "10.0.0.200"}, {"ip_address": "2001:db8::200"}]
    ports = [net.port(network), net.port(network, allowed_address_pairs=pair), net.port(network)]
    a, b, third = (net.guest(port) for port in ports)
    c = net.guest(free)
    b.run("ip", "address", "add", "10.0.0.200/24", "dev", "eth0")
    b.run("ip", "address", "add", "2001:db8::200/64", "dev", "eth0")
    c.run("ip", "address", "add", "10.0.0.201/24", "dev", "eth0")
    c.run("ip", "address", "add", "2001:db8::201/64", "dev", "eth0")
    with heard(third, "arp or (icmp6 and ip6[40] = 135)") as lines:
        for address in ("10.0.0.200", "2001:db8::200", "10.0.0.201", "2001:db8::201"):
            assert a.pings(address), address
    assert not [line for line in lines if ports[0]["mac_address"] in line], lines


def test_a_duplicate_is_found_and_ones_own_address_is_none(net: Lab) -> None:
    network = net.network("2001:db8::/64")
    ports = [net.port(network) for _ in range(2)]
    a, b = (net.guest(port) for port in ports)
    for guest in (a, b):
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1")
    theirs = ports[1]["fixed_ips"][0]["ip_address"]
    own = ports[0]["fixed_ips"][0]["ip_address"]
    a.run("ip", "address", "del", f"{own}/64", "dev", "eth0")

    def decided() -> dict[str, bool]:
        """The addresses that are decided on, and whether somebody else has them."""
        shown = a.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global")
        rows = [line.split() for line in shown.splitlines()]
        return {
            words[3]: "dadfailed" in words
            for words in rows
            if "dadfailed" in words or "tentative" not in words
        }

    with heard(a, "icmp6 and ip6[40] = 135"):
        a.run("ip", "address", "add", f"{theirs}/64", "dev", "eth0")
        a.run("ip", "address", "add", f"{own}/64", "dev", "eth0")
        a.until(lambda: len(decided()) == 2)
    assert decided() == {f"{theirs}/64": True, f"{own}/64": False}


def mac(port: Any) -> int:
    return int(port["mac_address"].replace(":", ""), 16)


def own(port: Any) -> int:
    """A port's first address."""
    return int(ip_address(port["fixed_ips"][0]["ip_address"]))


def advertised(guest: Guest, solicitation: bytes) -> int:
    """The flags of the advertisement that answers."""
    with guest.socket(socket.SOCK_RAW, socket.AF_PACKET, socket.htons(frames.IPV6)) as way:
        way.bind(("eth0", frames.IPV6))
        way.settimeout(5)
        way.send(solicitation)
        while True:
            frame = frames.parse(way.recv(2048))
            if frame.protocol == ICMPV6 and frame.data[0] == ADVERTISEMENT:
                return int.from_bytes(frame.data[4:8], "big")


def probe(port: Any, source: int, target: int, there: int, to: int) -> bytes:
    """A solicitation to one host, or to a group: without its option."""
    message = bytes((SOLICITATION, *bytes(7))) + target.to_bytes(16, "big")
    return frames.icmpv6(mac(port), there, source, to, message)


def test_routers_say_that_they_are_routers_and_hosts_do_not(net: Lab) -> None:
    """Whoever has taken a router for one no longer takes its default route: RFC 4861, 7.3.3. A
    machine that has the gateway's address is a router, too."""
    one, two = net.network("2001:db8:1::/64"), net.network("2001:db8:2::/64")
    (interface,) = net.api("GET", f"/v2.0/ports?device_id={net.router(one)['id']}")["ports"]
    machine = net.port(two, fixed_ips=[{"ip_address": "2001:db8:2::1"}])
    net.guest(machine)
    for network, router in ((one, interface), (two, machine)):
        asking, host = net.port(network), net.port(network)
        guest, _ = net.guest(asking), net.guest(host)
        net.take_effect()
        for port, flag in ((router, ROUTER), (host, 0)):
            for target in (own(port), link_local(mac(port))):
                source = link_local(mac(asking))
                group = 0xFF02 << 112 | 1 << 32 | 0xFF000000 | target & 0xFFFFFF
                for words in (
                    question(6, mac(asking), source, target),
                    probe(asking, source, target, mac(port), target),  # is it still there?
                    probe(asking, 0, target, 0x333300000000 | group & 0xFFFFFFFF, group),  # mine?
                ):
                    assert advertised(guest, words) & ROUTER == flag, (port, hex(target))


def test_a_default_route_outlives_many_probes(net: Lab) -> None:
    """The kernel's own view, its times made short."""
    network, far = net.network(), net.network("2001:db8:2::/64")
    mode = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    cidr = {"cidr": "2001:db8:1::/64", "ip_version": 6}
    net.create("subnet", network_id=network["id"], **cidr, **mode)
    net.router(network, far)
    there = net.port(far)
    net.guest(there).run("ip", "route", "add", "default", "via", "2001:db8:2::1")
    guest = net.guest(net.port(network), bare=True)
    times = ("base_reachable_time_ms=300", "retrans_time_ms=200", "delay_first_probe_time=1")
    guest.run("sysctl", "-qw", *(f"net.ipv6.neigh.eth0.{time}" for time in times))
    settings = ("accept_dad=0", "accept_ra=2", "router_solicitation_delay=0")
    guest.run("sysctl", "-qw", *(f"net.ipv6.conf.eth0.{setting}" for setting in settings))
    guest.run("ip", "link", "set", "eth0", "up")

    def route() -> list[str]:
        return guest.run("ip", "-6", "route", "show", "default").split()

    guest.until(lambda: bool(route()))
    gateway = route()[2]
    watch = guest.start("stdbuf", "-oL", "ip", "-6", "monitor", "route", "neigh")
    assert watch.stdout is not None
    # One ping at a time: from the second reply on, ping itself tells the kernel that all is well.
    again = "while ping -n -q -c 1 -W 1 $0 && sleep 0.1; do :; done"
    pings = guest.start("sh", "-c", again, there["fixed_ips"][0]["ip_address"])
    probes = 0
    while probes < 3:
        words = watch.stdout.readline().split()
        assert "default" not in words, "the route is gone"
        probes += words[:1] == [gateway] and words[-1] == "PROBE"
    for process in (pings, watch):
        process.terminate()
        process.communicate()
    assert route()
