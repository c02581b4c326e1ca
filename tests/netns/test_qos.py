# SPDX-License-Identifier: Apache-2.0

"""Limits and marks with real packets: how much arrives, and what it bears."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.model import Port
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.packets import frames
from tests import broadcasts
from tests.conftest import need
from tests.lab import Lab, eventually, lab
from tests.namespace import Guest
from tests.netns.test_flood import FLOOD, received
from tests.netns.test_fragments import forward
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, Outside, machine
from tests.pacer import Pacer, reflecting
from tests.qos_policies import change, give, give_gateway, kilopackets, limits, policy, rule
from tests.rates import share

SECONDS, KBPS = 4, 5000


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


def pair(net: Lab, *, secure: bool = False) -> tuple[list[Any], list[Guest], list[str]]:
    """Two ports of a network, their guests, and their IPv4 addresses."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network, port_security_enabled=secure) for _ in range(2)]
    guests = [net.guest(port) for port in ports]
    addresses = [
        ip["ip_address"] for port in ports for ip in port["fixed_ips"] if "." in ip["ip_address"]
    ]
    return ports, guests, addresses


@pytest.mark.parametrize("kbps", [1000, 10_000])
def test_what_is_had_of_a_limit_both_ways(net: Lab, kbps: int) -> None:
    """By one TCP connection, with the burst that a limit has by default; and by UDP."""
    need_iperf3()
    ports, (one, other), addresses = pair(net)
    give(net, "port", ports[0], policy(net, bandwidth_limit=limits(kbps)))
    for kind in ("tcp", "udp"):
        for sender, receiver, to in ((one, other, addresses[1]), (other, one, addresses[0])):
            had = share(sender, receiver, to, kbps=kbps, seconds=SECONDS, kind=kind)
            print(f"{kind} {'out' if sender is one else 'in'}: {had:.3f} of {kbps} kbit/s")
            assert 0.90 <= had <= 1.05


def need_iperf3() -> None:
    need(shutil.which("iperf3") is not None, "iperf3")


def test_packets_are_counted_where_a_limit_is_of_packets(net: Lab) -> None:
    """Small ones, as many as the limit says and no more."""
    ports, (one, other), _ = pair(net)
    give(net, "port", ports[0], policy(net, packet_rate_limit=kilopackets(1)))
    meter = MeterUse.FROM_PORT_PACKETS.meter(key(net, ports[0]))
    frame = _datagram(ports, b"small")
    storm = one.start(sys.executable, "-c", FLOOD, frame.hex(), "5000")
    assert storm.stdout is not None
    assert storm.stdout.readline() == "flooding\n"
    # Until what was saved up is used.
    assert eventually(lambda: told(net, meter)[1] > 1000)
    (before, _, began), got = told(net, meter), received(other)
    assert eventually(lambda: told(net, meter)[0] > before + 10_000)
    (_, _, ended), got = told(net, meter), received(other) - got
    storm.terminate()
    storm.communicate()
    print(f"{got} packets in {ended - began:.3f} s")
    assert 0.90 <= got / (ended - began) / 1000 <= 1.05


def told(net: Lab, meter: int) -> tuple[int, int, float]:
    """Of a meter: the packets that came, those that it dropped, and its age in seconds."""
    text = net.ovs.ofctl("meter-stats", "br-int", f"meter={meter}")
    came, seconds, dropped = re.findall(
        r"packet_in_count:(\d+) .*duration:([\d.]+)s bands:\s+0: packet_count:(\d+)", text
    )[0]
    return int(came), int(dropped), float(seconds)


def key(net: Lab, port: Any) -> int:
    number: int = net.controller.model.all(Port)[port["id"]].key
    return number


def _mac(port: Any) -> int:
    return int(port["mac_address"].replace(":", ""), 16)


def _datagram(ports: list[Any], words: bytes, eth_dst: int = 0) -> bytes:
    """From the first of two ports to the second, or as a broadcast."""
    ends = frames.Ends(_mac(ports[0]), eth_dst or _mac(ports[1]), 4, 0x0A000001, 0x0A0000C8)
    return frames.udp(ends, 9, 9, words)


def test_a_limit_that_changes_loses_nothing_that_passes(net: Lab) -> None:
    """Up and down, burst and unit; also as it comes and goes."""
    ports, (one, other), addresses = pair(net, secure=True)
    some = policy(net)
    with reflecting(other):
        pacer = Pacer(one, addresses[1], per_second=200)  # some 100 kbit/s
        assert one.pings(addresses[1])
        give(net, "port", ports[0], some)
        rules = [
            rule(net, some, "bandwidth_limit", max_kbps=10_000, direction=direction)
            for direction in ("egress", "ingress")
        ]
        for number in range(1, 20):
            for each in rules:
                change(net, some, "bandwidth_limit", each["id"], max_kbps=10_000 + number * 1000)
            net.settle()
        rule(net, some, "packet_rate_limit", max_kpps=2, direction="egress")
        rule(net, some, "dscp_marking", dscp_mark=26)
        net.settle()
        assert one.pings(addresses[1], count=3)
        give(net, "port", ports[0], None)
        assert one.pings(addresses[1], count=3)
        answered = pacer.result()
    print(f"{answered.asked} asked")
    assert answered.asked > 100
    assert answered.lost == []


def test_a_mark_is_seen_on_what_a_port_sends(net: Lab) -> None:
    """Of both families, and on nothing that it gets."""
    ports, (one, other), _ = pair(net)
    give(net, "port", ports[0], policy(net, dscp_marking={"dscp_mark": 26}))
    for sender, receiver, there, mark in (
        (one, other, ports[1], 26 << 2),
        (other, one, ports[0], 0),
    ):
        for ip in there["fixed_ips"]:
            assert eventually(lambda: sender.pings(ip["ip_address"]))  # noqa: B023
            with receiver.socket(socket.SOCK_RAW, socket.AF_PACKET, EVERYTHING) as ear:
                ear.bind(("eth0", 0))
                ear.settimeout(10)
                assert sender.pings(ip["ip_address"])
                while (seen := _asked_with(ear.recv(2000))) is None:
                    pass
                assert seen == mark, ip


EVERYTHING = socket.htons(3)  # ETH_P_ALL
ECHO_REQUEST, ECHO_REQUEST6 = 8, 128


def _asked_with(frame: bytes) -> int | None:
    """The traffic class of an echo request (RFC 2474: DSCP, and two bits more); or None."""
    eth_type, packet = frame[12:14], frame[14:]
    if eth_type == b"\x08\x00" and packet[9] == 1 and packet[20] == ECHO_REQUEST:
        return packet[1]
    if eth_type == b"\x86\xdd" and packet[6] == 58 and packet[40] == ECHO_REQUEST6:
        return (packet[0] << 4 | packet[1] >> 4) & 0xFF
    return None


def test_what_one_port_may_not_get_is_dropped_for_it_alone(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network, port_security_enabled=False) for _ in range(4)]
    talker, *hearers = (net.guest(port) for port in ports)
    slow = policy(net, bandwidth_limit={"max_kbps": 100, "direction": "ingress"})
    give(net, "port", ports[2], slow)  # in the midst of them
    words = b"x" * 1000
    before = [received(guest) for guest in hearers]
    frame = _datagram(ports, words, broadcasts.EVERYBODY).hex()
    talker.run(sys.executable, "-c", SENT, frame, 200)  # 1.6 Mbit
    first, limited, last = (
        lambda number=number: received(hearers[number]) - before[number] for number in range(3)
    )
    assert eventually(lambda: first() >= 200 and last() >= 200)
    assert limited() < 100, "it has had all"


@pytest.mark.parametrize("whose", ["gateway", "forwarded ports"])
def test_what_passes_a_gateway_is_limited(net: Lab, whose: str) -> None:
    """What the router's own address stands for; and what is forwarded of a floating IP."""
    need_iperf3()
    outside, network = Outside(net), net.network("10.1.0.0/24")
    router = net.router(network, outside=outside.network)
    port = net.port(network)
    inside = machine(net, port)
    slow = policy(net, bandwidth_limit=limits(KBPS))
    if whose == "gateway":
        give_gateway(net, router, slow)
        had = share(inside, outside.server, SERVER, kbps=KBPS, seconds=SECONDS)
    else:
        floating = net.floating_ip(outside.network)
        forward(net, floating, port, 5201, 5201, protocol="tcp")
        give(net, "floatingip", floating, slow)
        to = floating["floating_ip_address"]
        had = share(outside.server, inside, to, kbps=KBPS, seconds=SECONDS)
    print(f"{whose}: {had:.3f}")
    assert 0.90 <= had <= 1.05


# Sends a frame (as hexadecimal) so many times, 500 a second.
SENT = """
import socket, sys, time
frame, times = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    for _ in range(times):
        wire.send(frame)
        time.sleep(0.002)
"""
