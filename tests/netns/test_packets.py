# SPDX-License-Identifier: Apache-2.0

"""Packets that the switch sends to the controller, and what comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.controller import serve
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Binding, Network, Port, View, ports_on
from tenantry.controller.openflow.flow import CONTROLLER, Flow, Output, SetField
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, Table
from tenantry.controller.service.packet_in import QUEUE_LENGTH
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

ETHERTYPE = 0x88B5  # IEEE 802: local experimental
RAISE = b"raise"


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    binding, port = view.get(Binding, port_id), view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if binding and port and network:
        yield Flow(
            Table.CLASSIFY,
            300,
            {"in_port": binding.ofport, "eth_type": ETHERTYPE},
            (SetField(NETWORK, network.key), SetField(IN_PORT, port.key), Output(CONTROLLER)),
        )


def echo(view: View, packet: PacketIn) -> Iterator[PacketOut]:
    """Send it back, with what the pipeline knew of it."""
    destination, source, rest = packet.data[:6], packet.data[6:12], packet.data[12:]
    if RAISE in rest:
        raise ValueError("as told")
    known = f" network {packet.network} port {packet.port}".encode()
    yield PacketOut(source + destination + rest[:20] + known, (Output(packet.ofport),))


ECHO = App(
    id=251,
    name="echo",
    units=(Units("port", ports_on, compile_port),),
    build=lambda conf: Parts(packet_in=echo),
)

TALK = """
import socket, sys
words = [bytes.fromhex(word) for word in sys.argv[1:]]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as wire:
    wire.bind(("eth0", 0x88B5))
    wire.settimeout(10)
    for word in words:
        wire.send(bytes.fromhex("020000000001") + wire.getsockname()[4] + b"\\x88\\xb5" + word)
    while True:
        answer, sender = wire.recvfrom(2000)
        if sender[2] != socket.PACKET_OUTGOING:
            print(answer[33:].decode())
            break
"""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(serve, "APPS", (*serve.APPS, ECHO))
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


def test_a_packet_goes_to_the_app_whose_flow_sent_it(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    guest = net.guest(net.port(network))
    keys = net.controller.store.read("port").values()
    answer = guest.run(sys.executable, "-c", TALK, bytes(20).hex())
    assert answer.strip() == f"network 1 port {next(iter(keys))['key']}"


def test_a_handler_that_raises_costs_its_packet_only(net: Lab) -> None:
    guest = net.guest(net.port(net.network("10.0.0.0/24")))
    words = [RAISE.ljust(20).hex(), bytes(20).hex()]
    assert "network" in guest.run(sys.executable, "-c", TALK, *words)
    assert net.controller.packets.failed == 1


def test_a_flooding_port_loses_its_own_packets_only(net: Lab) -> None:
    (connection,) = net.controller.progress.connections.values()
    packets = net.controller.packets
    handled = packets.handled
    for ofport, count in ((1, QUEUE_LENGTH + 10), (2, 1)):
        for _ in range(count):
            packets.receive(connection, packet_in(ofport))
    assert packets.dropped == 10
    net.controller.progress.wait_until(lambda: packets.handled == handled + QUEUE_LENGTH + 1, 0.5)
    assert packets.handled == handled + QUEUE_LENGTH + 1


def test_what_is_no_packet_in_is_counted(net: Lab) -> None:
    (connection,) = net.controller.progress.connections.values()
    whole = packet_in(1)
    for length in range(8, 40):
        net.controller.packets.receive(connection, whole[:length])
    assert net.controller.packets.failed > 0


def packet_in(ofport: int) -> bytes:
    """A packet-in of app 251, as OVS sends it (OpenFlow 1.4, 7.4.1)."""
    match = b"\x00\x01\x00\x0c" + b"\x80\x00\x00\x04" + ofport.to_bytes(4, "big") + bytes(4)
    head = b"\xff\xff\xff\xff\x00\x0e\x01\x00" + (251 << 56).to_bytes(8, "big")
    return b"\x05\x0a\x00\x00\x00\x00\x00\x00" + head + match + b"\0\0" + bytes(14)
