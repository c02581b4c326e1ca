# SPDX-License-Identifier: Apache-2.0

"""A guest that floods is held by the switch's meter, and takes nothing from others."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.l2.tables import TOO_MUCH_TO_MANY
from tenantry.apps.punt.flows import BURST, PACKETS_PER_SECOND
from tenantry.controller.packets import frames
from tests import broadcasts, dhcp_client
from tests.conftest import need
from tests.dhcp_client import running
from tests.lab import Lab, eventually, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

FLOOD_RATE = 10_000
STORM_LIMIT = 200
MDNS = 0x01005E0000FB, 0xE00000FB  # RFC 6762, 3: always to everybody

# Sends a frame (as hexadecimal) so many times a second until it is ended.
FLOOD = """
import socket, sys, time
frame, rate = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    print("flooding", flush=True)
    started, sent = time.monotonic(), 0
    while True:
        for _ in range(int((time.monotonic() - started) * rate) - sent):
            wire.send(frame)
            sent += 1
        time.sleep(0.001)
"""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    need(shutil.which("busybox") is not None, "busybox")
    with lab(ovs, tmp_path) as running_lab:
        yield running_lab
        running_lab.verify()


def floods(port: Any) -> dict[str, bytes]:
    """What to flood with: a DHCP discover, and a router solicitation."""
    mac = int(port["mac_address"].replace(":", ""), 16)
    head = b"\1\1\6\0abcd" + bytes(20) + mac.to_bytes(6, "big") + bytes(10 + 64 + 128)
    discover = head + b"\x63\x82\x53\x63" + b"\x35\1\1\xff"
    everybody = (1 << 48) - 1
    return {
        "DHCP": frames.udp(frames.Ends(mac, everybody, 4, 0, 0xFFFFFFFF), 68, 67, discover),
        "ND": frames.icmpv6(mac, 0x333300000002, 0, 0xFF02 << 112 | 2, b"\x85\0\0\0\0\0\0\0"),
    }


@pytest.mark.parametrize("kind", ["DHCP", "ND"])
def test_a_flood_is_metered_and_others_get_their_address(
    net: Lab, kind: str, tmp_path: Path
) -> None:
    network = net.create("network")
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    net.create("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    net.create("subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6, **modes)
    ports = [net.port(network) for _ in range(2)]
    flooder, other = net.guest(ports[0]), net.guest(ports[1], bare=True)
    other.run("ip", "link", "set", "eth0", "up")
    script = dhcp_client.write(tmp_path)
    frame = floods(ports[0])[kind].hex()
    packets, started = net.controller.packets, time.monotonic()
    handled = packets.handled + packets.dropped
    flood = flooder.start(sys.executable, "-c", FLOOD, frame, str(FLOOD_RATE))
    assert flood.stdout is not None
    assert flood.stdout.readline() == "flooding\n"
    # Until the flood is at the controller, and the meter has nothing saved up.
    assert eventually(lambda: packets.handled - handled > BURST + 20)
    # It asks once: what it says and what it is answered must both get through.
    with running(dhcp_client.udhcpc(other, script, "-T", "60", "-t", "1")) as client:
        assert client.told()["EVENT"] == "deconfig"
        assert client.told()["ip"] == ports[1]["fixed_ips"][0]["ip_address"]
    came, seconds = packets.handled + packets.dropped - handled, time.monotonic() - started
    flood.terminate()
    flood.communicate()
    # What a port may send in that time, twice (two ports), and not what was sent.
    (link,) = json.loads(flooder.run("ip", "-json", "-stats", "link", "show", "eth0"))
    assert came <= 2 * (PACKETS_PER_SECOND * seconds + BURST)
    assert came < link["stats64"]["tx"]["packets"] / 2


def received(guest: Guest) -> int:
    """The packets that a guest has received so far."""
    (link,) = json.loads(guest.run("ip", "-json", "-stats", "link", "show", "eth0"))
    packets: int = link["stats64"]["rx"]["packets"]
    return packets


@pytest.mark.parametrize("to", ["broadcast", "multicast"])
def test_a_storm_is_held_and_others_are_heard(ovs: OpenVSwitch, tmp_path: Path, to: str) -> None:
    with lab(ovs, tmp_path, multicast__packets_per_second=str(STORM_LIMIT)) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network, port_security_enabled=False) for _ in range(3)]
        stormy, other, hearer = (net.guest(port) for port in ports)
        mac = int(ports[0]["mac_address"].replace(":", ""), 16)
        eth_dst, dst = ((1 << 48) - 1, (1 << 32) - 1) if to == "broadcast" else MDNS
        frame = frames.udp(frames.Ends(mac, eth_dst, 4, 0x0A000001, dst), 1, 1, b"storm")
        before, started = received(hearer), time.monotonic()
        storm = stormy.start(sys.executable, "-c", FLOOD, frame.hex(), str(FLOOD_RATE))
        assert storm.stdout is not None
        assert storm.stdout.readline() == "flooding\n"
        # Until nothing is saved up: from now on most of the storm is dropped.
        assert eventually(lambda: received(hearer) - before > STORM_LIMIT + 20)
        with broadcasts.Ear(hearer) as ear:
            for n in range(10):
                broadcasts.say(other, ports[1], b"said %d" % n)
                broadcasts.ask(other, ports[1], f"10.0.0.{200 + n}")
            heard = {ear.next(5.0) for _ in range(20)}
        came, seconds = received(hearer) - before, time.monotonic() - started
        storm.terminate()
        storm.communicate()
        asked = [broadcasts.asked(ports[1], f"10.0.0.{200 + n}") for n in range(10)]
        assert heard == {*asked, *(b"said %d" % n for n in range(10))}
        (link,) = json.loads(stormy.run("ip", "-json", "-stats", "link", "show", "eth0"))
        own_words = 100  # what the guests' kernels say of themselves, and the twenty
        assert came <= STORM_LIMIT * (seconds + 1) + own_words
        assert came < link["stats64"]["tx"]["packets"] / 2
        told = net.api("GET", f"/tenantry/v1/ports/{ports[0]['id']}/counters")
        (dropped,) = [drop for drop in told["drops"] if drop["cause"] == TOO_MUCH_TO_MANY.name]
        assert dropped["packets"] > came
        net.verify()
