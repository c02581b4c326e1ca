# SPDX-License-Identifier: Apache-2.0

"""Flow export to a real collector: what it is told matches what was sent."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tenantry.controller.network.sampling import EGRESS, INGRESS
from tests.lab import Lab, eventually, lab
from tests.openvswitch import OpenVSwitch

PACKETS, TO_PORT = 20, 9999

Told: TypeAlias = "Counter[tuple[int, ...]]"


class Collector:
    """A UDP listener on loopback; what it heard is in ``datagrams``."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.at = "127.0.0.1:{1}".format(*self._socket.getsockname())
        self._heard: list[bytes] = []

    def datagrams(self) -> Sequence[bytes]:
        while True:
            try:
                self._heard.append(self._socket.recv(65535))
            except BlockingIOError:
                return self._heard

    def close(self) -> None:
        self._socket.close()


def sflow(datagram: bytes) -> Iterator[bytes]:
    """The beginnings of the packets in sFlow v5 (sflow.org, version 5)."""
    version, family, _, _, _, _, samples = struct.unpack_from("!7I", datagram)
    assert (version, family) == (5, 1)
    offset = 28
    for _ in range(samples):
        kind, length = struct.unpack_from("!2I", datagram, offset)
        if kind == 1:  # a flow sample
            (records,) = struct.unpack_from("!I", datagram, offset + 8 + 28)
            at = offset + 8 + 32
            for _ in range(records):
                form, size = struct.unpack_from("!2I", datagram, at)
                if form == 1:  # the beginning of the packet
                    (header,) = struct.unpack_from("!I", datagram, at + 8 + 12)
                    yield datagram[at + 24 : at + 24 + header]
                at += 8 + size
        offset += 8 + length


def netflow(datagram: bytes) -> Iterator[tuple[int, int, int]]:
    """Destination ports, packets and octets in NetFlow v5."""
    version, count = struct.unpack_from("!HH", datagram)
    assert version == 5
    for number in range(count):
        record = struct.unpack_from("!4s4s4sHHIIIIHHBBBBHHBBH", datagram, 24 + 48 * number)
        yield record[10], record[5], record[6]


def ipfix(datagrams: Sequence[bytes]) -> Iterator[tuple[int, dict[int, int]]]:
    """The observation domain of each record, and its values by element (RFC 7011)."""
    templates: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for wants_data in (False, True):  # a template may come after what is written by it
        for datagram in datagrams:
            version, length, _, _, domain = struct.unpack_from("!HHIII", datagram)
            assert (version, length) == (10, len(datagram))
            at = 16
            while at < length:
                kind, size = struct.unpack_from("!HH", datagram, at)
                body = datagram[at + 4 : at + size]
                at += size
                if kind == 2 and not wants_data:
                    for id, fields in _templates(body):
                        templates[domain, id] = fields
                elif wants_data and (domain, kind) in templates:  # others: RFC 7011, 9
                    yield from ((domain, each) for each in _records(body, templates[domain, kind]))


def _templates(body: bytes) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    at = 0
    while at + 4 <= len(body):
        id, count = struct.unpack_from("!HH", body, at)
        at += 4
        fields = []
        for _ in range(count):
            element, size = struct.unpack_from("!HH", body, at)
            at += 8 if element & 0x8000 else 4
            fields.append((0 if element & 0x8000 else element, size))
        yield id, fields


def _records(body: bytes, fields: list[tuple[int, int]]) -> Iterator[dict[int, int]]:
    at = 0
    while at < len(body):
        record = {}
        for element, size in fields:
            if size == 0xFFFF:  # of any length
                size, at = body[at], at + 1
            record[element] = int.from_bytes(body[at : at + size], "big")
            at += size
        yield record


POINT, DELTA, PROTOCOL, DESTINATION, DIRECTION = 138, 2, 4, 11, 61
"""Elements of IPFIX: observationPointId, packetDeltaCount, protocolIdentifier,
destinationTransportPort and flowDirection."""


def of_ports(collector: Collector) -> Told:
    """Packets to the port of the test, by observation domain and point."""
    found: Told = Counter()
    for domain, record in ipfix(collector.datagrams()):
        if (record.get(PROTOCOL), record.get(DESTINATION)) == (17, TO_PORT):
            found[domain, record.get(POINT, 0)] += record[DELTA]
    return found


@pytest.fixture
def collectors() -> Iterator[dict[str, Collector]]:
    made = {name: Collector() for name in ("sflow", "netflow", "ipfix", "port")}
    with ExitStack() as stack:
        for each in made.values():
            stack.callback(each.close)
        yield made


def options(collectors: dict[str, Collector]) -> dict[str, str]:
    to = {f"flow_export__{name}_collectors": each.at for name, each in collectors.items()}
    often = {"sflow_sampling": "1", "ipfix_sampling": "1", "port_sampling": "1"}
    often |= {"netflow_timeout": "1", "ipfix_timeout": "0"}
    return to | {f"flow_export__{name}": value for name, value in often.items()}


def rows(net: Lab) -> dict[str, int]:
    tables = ("sFlow", "NetFlow", "IPFIX", "Flow_Sample_Collector_Set")
    found = {table: net.ovs.vsctl("--bare", "--columns=_uuid", "list", table) for table in tables}
    return {table: len(uuids.split()) for table, uuids in found.items()}


def sends(net: Lab) -> list[Any]:
    """Two ports; the first has sent the second PACKETS datagrams."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    sender, _ = (net.guest(port) for port in ports)
    address = ports[1]["fixed_ips"][0]["ip_address"]
    net.settle()
    assert sender.pings(address)
    sender.run(
        "python3",
        "-c",
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"[s.sendto(b'x', ('{address}', {TO_PORT})) for _ in range({PACKETS})]",
    )
    return ports


def test_what_was_sent_is_told(
    ovs: OpenVSwitch, tmp_path: Path, collectors: dict[str, Collector]
) -> None:
    with lab(ovs, tmp_path, **options(collectors)) as net:
        wanted = {"sFlow": 1, "NetFlow": 1, "IPFIX": 3, "Flow_Sample_Collector_Set": 2}
        assert eventually(lambda: rows(net) == wanted)
        ports = sends(net)
        points = {
            each["port_id"]: each["id"]
            for each in net.api("GET", "/tenantry/v1/observation-points")
        }
        sender, receiver = (points[port["id"]] for port in ports)
        told = {(EGRESS, sender): PACKETS, (INGRESS, receiver): PACKETS}
        assert eventually(lambda: of_ports(collectors["port"]) == told), of_ports(
            collectors["port"]
        )
        (point,) = net.api("GET", f"/tenantry/v1/observation-points?id={sender}")
        assert point["port_id"] == ports[0]["id"]

        def by_sflow() -> int:
            heads = [head for each in collectors["sflow"].datagrams() for head in sflow(each)]
            return sum(head[36:38] == struct.pack("!H", TO_PORT) for head in heads)

        def by_netflow() -> int:
            records = [one for each in collectors["netflow"].datagrams() for one in netflow(each)]
            return sum(packets for port, packets, _ in records if port == TO_PORT)

        def by_ipfix() -> Told:  # as they come in, and as they go out
            found: Told = Counter()
            for _, record in ipfix(collectors["ipfix"].datagrams()):
                if (record.get(PROTOCOL), record.get(DESTINATION)) == (17, TO_PORT):
                    found[record[DIRECTION],] += record[DELTA]
            return found

        assert eventually(lambda: by_sflow() == PACKETS), by_sflow()
        assert eventually(lambda: by_netflow() == PACKETS), by_netflow()
        assert eventually(lambda: by_ipfix() == {(0,): PACKETS, (1,): PACKETS}), by_ipfix()
        net.verify()


def test_what_is_no_longer_an_option_is_gone(
    ovs: OpenVSwitch, tmp_path: Path, collectors: dict[str, Collector]
) -> None:
    """Rows and actions, when the controller starts again without it; nobody removes them."""
    with lab(ovs, tmp_path, **options(collectors)) as net:
        net.attach(net.port(net.network("10.0.0.0/24")))
        net.settle()
        assert eventually(lambda: rows(net)["IPFIX"] == 3)
        flows = "\n".join(net.flows("br-int"))
        assert flows.count("sample(") >= 3
    with lab(ovs, tmp_path) as net:
        net.settle()
        assert eventually(lambda: not any(rows(net).values()))
        assert "sample(" not in "\n".join(net.flows("br-int"))
        net.verify()


def test_a_tenant_is_told_of_their_own_points(dummy_ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(dummy_ovs, tmp_path) as net:
        net.port(net.network("10.0.0.0/24"))
        net.settle()
        assert net.api("GET", "/tenantry/v1/observation-points")
        for asked, status in (("id=x", "400"), ("id=99999", "404")):
            with pytest.raises(Exception, match=status):
                net.api("GET", f"/tenantry/v1/observation-points?{asked}")
