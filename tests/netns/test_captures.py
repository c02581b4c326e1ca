# SPDX-License-Identifier: Apache-2.0

"""``tenantry capture``: real packets, to a real command, read by tshark and tcpdump."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.tap.records import Capture
from tenantry.controller.openflow.pipeline import Table
from tests.conftest import need
from tests.heard import hearing
from tests.lab import Lab, Refused, eventually, lab
from tests.namespace import Guest, run
from tests.netns.test_l2 import addresses
from tests.openvswitch import OpenVSwitch

COMMAND = Path(sys.executable).with_name("tenantry")
HEEDS_CTRL_C = ("env", "--default-signal=INT")
"""A shell has what it starts in the background ignore it: tests, say, and what they start."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, tap__captures="2", tap__capture_seconds="60") as running:
        yield running
        running.verify()


@pytest.fixture
def plugged(net: Lab) -> tuple[list[Any], list[Guest]]:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(3)]
    return ports, [net.guest(port) for port in ports]


class Reading:
    """A command that captures, once its flows are in the switch."""

    def __init__(self, net: Lab, port: Any, file: Path, *words: str) -> None:
        self._net = net
        before = len(net.controller.model.all(Capture))
        capture = ("--url", net.controller.api_url, "capture", port["id"], "-w", file, *words)
        self.process = subprocess.Popen(
            [*HEEDS_CTRL_C, COMMAND, *capture],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        net.until(lambda: len(net.controller.model.all(Capture)) > before)
        net.take_effect()

    def ended(self) -> str:
        """What it said, when it ended by itself."""
        said, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        self._net.until(lambda: not self._net.controller.model.all(Capture))
        self._net.settle()
        return said + errors


def flows(net: Lab) -> list[str]:
    """What a switch has, but for what it has learned."""
    learned = (Table.DROPPED.name, Table.L2_LEARNED.name)
    return [f for f in net.flows("br-int") if not any(f"table={name}," in f for name in learned)]


def left(net: Lab) -> list[str]:
    """The flows of captures among them."""
    return [flow for flow in flows(net) if f"table={Table.CAPTURE.name}" in flow]


def test_a_capture_is_read_by_tshark(
    net: Lab, plugged: tuple[list[Any], list[Guest]], tmp_path: Path
) -> None:
    """Of one port, whole, both ways, both families; and then nothing of it is left."""
    need(shutil.which("tshark") is not None, "tshark")
    (a, b, c), (one, two, _) = plugged
    file = tmp_path / "a.pcapng"
    for address in (*addresses(b), *addresses(a)):
        assert one.pings(address)  # neighbours are known from here on
    reading = Reading(net, a, file)
    with hearing(one) as heard:
        assert all(two.pings(address) for address in addresses(c))
        assert all(one.pings(address) for address in addresses(b))
        frames = heard.pings(4)
    assert eventually(lambda: all(frame in file.read_bytes() for frame in frames)), "byte by byte"
    reading.process.send_signal(signal.SIGINT)
    reading.ended()
    pings = "icmp or icmpv6.type == 128 or icmpv6.type == 129"
    fields = ("-e", "frame.packet_flags_direction", "-e", "eth.src", "-e", "frame.len")
    told = run("tshark", "-r", str(file), "-Y", pings, "-T", "fields", *fields).split("\n")[:-1]
    outbound, inbound = "0x00000002", "0x00000001"
    asked, answered = a["mac_address"], b["mac_address"]
    length = {"4": len(frames[0]), "6": len(frames[2])}
    assert [line.split("\t") for line in told] == [
        [way, source, str(length[version])]
        for version in ("4", "6")
        for way, source in ((outbound, asked), (inbound, answered))
    ]
    dumped = run("tcpdump", "-nr", str(file), "-e")
    assert dumped.count("echo request") == dumped.count("echo reply") == 2
    assert left(net) == []


def test_terms_and_one_direction(
    net: Lab, plugged: tuple[list[Any], list[Guest]], tmp_path: Path
) -> None:
    """The switch sends what was asked for, and nothing else; so much of each."""
    (a, b, _), (one, two, three) = plugged
    file = tmp_path / "a.pcapng"
    words = ("icmp", "and", "src", "host", addresses(b)[0], "--direction", "in")
    reading = Reading(net, a, file, *words, "--packets", "2", "--snaplen", "60")
    for guest in (three, two):
        assert all(guest.pings(address) for address in addresses(a))
    assert one.pings(addresses(b)[0])
    reading.ended()
    dumped = run("tcpdump", "-nr", file, "-e")
    assert dumped.count("\n") == dumped.count(f"{addresses(b)[0]} > {addresses(a)[0]}") == 2
    assert "echo reply" in dumped and "echo request" in dumped
    lengths = run("tshark", "-r", file, "-T", "fields", "-e", "frame.cap_len", "-e", "frame.len")
    assert lengths.split() == ["60", "98"] * 2


def test_it_ends_with_its_reader(
    net: Lab, plugged: tuple[list[Any], list[Guest]], tmp_path: Path
) -> None:
    (a, b, c), (one, *_) = plugged
    before = flows(net)
    readings = [Reading(net, port, tmp_path / port["id"]) for port in (a, b)]
    assert len(left(net)) == 2
    listed = net.api("GET", "/tenantry/v1/captures")
    assert {each["port_id"] for each in listed} == {a["id"], b["id"]}
    with pytest.raises(Refused, match="There are 2 captures already"):
        net.api("GET", f"/tenantry/v1/ports/{c['id']}/capture")
    for reading in readings:
        reading.process.kill()
        reading.process.communicate()
    net.until(lambda: not net.controller.model.all(Capture))
    net.settle()
    assert flows(net) == before
    assert one.pings(addresses(b)[0])


def test_it_ends_with_its_time(
    net: Lab, plugged: tuple[list[Any], list[Guest]], tmp_path: Path
) -> None:
    """And says so."""
    (a, *_), _ = plugged
    file = tmp_path / "a.pcapng"
    Reading(net, a, file, "--seconds", "1").ended()
    assert b"its time is over" in file.read_bytes()
    assert left(net) == []


def test_more_than_its_rate_is_dropped_and_counted(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """By its own meter; what others send to the controller is not kept waiting."""
    limits = {"tap__capture_packets_per_second": "5"}
    with lab(ovs, tmp_path, **limits) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(2)]
        one, _ = (net.guest(port) for port in ports)
        assert one.pings(addresses(ports[1])[0])
        file = tmp_path / "a.pcapng"
        reading = Reading(net, ports[0], file, "--seconds", "4")
        one.run("ping", "-q", "-f", "-c", "300", addresses(ports[1])[0])
        reading.ended()
        took = run("tcpdump", "-nr", file).count("\n")
        assert 5 <= took < 100
        received, dropped = counts(file)
        assert received == took + dropped
        assert dropped > 400
        net.verify()


def counts(file: Path) -> tuple[int, int]:
    """How many packets there were, and how many of these were lost, as the file's end says."""
    statistics = file.read_bytes().rpartition(b"its time is over")[2].lstrip(bytes(4))[:24]
    assert (statistics[0], statistics[12]) == (4, 5)
    return tuple(int.from_bytes(statistics[at : at + 8], "little") for at in (4, 16))


def test_what_cannot_be_asked_for(net: Lab) -> None:
    port = net.port(net.network("10.0.0.0/24"))
    with pytest.raises(Refused, match="there is no port"):
        net.api("GET", "/tenantry/v1/ports/nobody/capture")
    for wrong in ("filter=tcp+and+arp", "filter=host", "direction=up", "seconds=61", "packets=0"):
        with pytest.raises(Refused) as refused:
            net.api("GET", f"/tenantry/v1/ports/{port['id']}/capture?{wrong}")
        assert refused.value.status == 400
    assert not net.controller.model.all(Capture)


def test_it_is_piped_as_the_page_says(
    net: Lab, plugged: tuple[list[Any], list[Guest]], tmp_path: Path
) -> None:
    """Into tshark, which has seen enough at some time: then the command ends, too."""
    (a, b, _), (one, *_) = plugged
    tenantry = f"{COMMAND} --url {net.controller.api_url} capture {a['id']} icmp"
    said = tmp_path / "said"
    pipe = f"{tenantry} 2> {said} | tshark -i - -c 2 -T fields -e icmp.type"
    process = subprocess.Popen(pipe, shell=True, stdout=subprocess.PIPE, text=True)
    net.until(lambda: bool(net.controller.model.all(Capture)))
    net.take_effect()
    pinging = one.start("ping", "-i", "0.2", addresses(b)[0])
    told, _ = process.communicate(timeout=60)
    pinging.kill()
    assert told.split() == ["8", "0"]
    net.until(lambda: not net.controller.model.all(Capture))
    assert said.read_text() == ""
