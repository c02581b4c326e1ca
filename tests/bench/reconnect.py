# SPDX-License-Identifier: Apache-2.0

"""A real switch connects again and has everything it should have: nothing must be sent.

What it tells is read to the last byte; beside that, in turns, what it costs to read only cookies,
which say what was once written and not what is there.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from statistics import median
from unittest.mock import patch

from tenantry.controller.openflow import codec
from tenantry.controller.switch import channel
from tenantry.controller.switch.connection import Connection
from tests import namespace
from tests.bench import ROUNDS, Figure, beside, number, ratio, seconds, turns
from tests.bench.codec import flows
from tests.bench.push import Bench
from tests.openvswitch import OpenVSwitch

COUNT = 50_000


class Again(Bench):
    """Counts the messages that a reconnected switch is sent to change its flows."""

    changes = 0

    def _connect(self, connection: Connection) -> None:
        send = connection.send

        def counting(data: bytes) -> None:
            self.changes += sum(
                header.kind in (codec.FLOW_MOD, codec.BUNDLE_ADD) for header in _headers(data)
            )
            send(data)

        connection.send = counting  # type: ignore[method-assign]
        super()._connect(connection)

    def reconnect(self, ovs: OpenVSwitch) -> float:
        """Seconds from telling OVS to connect, which comes before its hello, to confirmed."""
        target = ovs.vsctl("get-controller", "br-int").strip()
        # Not without any controller: OVS would flush the bridge.
        ovs.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
        self.changes = 0
        self._connected.wait(0)
        start = time.perf_counter()
        ovs.vsctl("--no-wait", "set-controller", "br-int", target)
        assert self._connected.wait(20)
        return time.perf_counter() - start


def _headers(data: bytes) -> Iterator[codec.Header]:
    offset = 0
    while offset < len(data):
        header = codec.read_header(memoryview(data)[offset:])
        yield header
        offset += header.length


def _cookies_alone(data: bytes) -> tuple[list[codec.FlowStats], bool]:
    """As ``codec.read_flow_stats``, but it believes what flows say of themselves."""
    found, offset = [], 16
    while offset < len(data):
        length, table, priority, cookie, packets, octets = _ENTRY.unpack_from(data, offset)
        found.append(codec.FlowStats(table, priority, cookie, b"", packets, octets))
        offset += length
    return found, bool(data[11] & 1)


_ENTRY = struct.Struct("!HB9xH10xQQQ")


def _measured(again: Again, ovs: OpenVSwitch) -> tuple[float, float, float]:
    """Seconds until confirmed, seconds of our own processor time, MiB more than before at most."""
    before = beside.peak(anew=True)
    started = time.process_time()
    took = again.reconnect(ovs)
    return took, time.process_time() - started, beside.peak() - before


def bench() -> Iterator[Figure]:
    changes: list[int] = []
    read, believed, dumped = [], [], []
    with namespace.entered(), OpenVSwitch() as ovs:
        again = Again(ovs, flows(COUNT))
        try:
            again.want(True)
            assert again.changes >= COUNT - 2  # that they are counted at all
            for _ in turns(ROUNDS):
                read.append(_measured(again, ovs))
                changes.append(again.changes)
                dumped.append(seconds(lambda: ovs.ofctl("dump-flows", "br-int")))
                with patch.object(codec, "read_flow_stats", _cookies_alone):
                    believed.append(_measured(again, ovs))
        finally:
            channel.stop(again.channel)
    (took, cpu, memory), (alone, cpu_alone, memory_alone) = (
        zip(*rows, strict=True) for rows in (read, believed)
    )
    yield ratio("reconnect.50k", took, dumped, "ovs-ofctl dump-flows", 3, reference="0.6 s")
    yield ratio("reconnect.50k.cookies", took, alone, "cookies alone")
    yield ratio("reconnect.50k.cpu", cpu, cpu_alone, "cookies alone, processor time")
    more = f"MiB at most; {number(median(memory_alone))} with cookies alone"
    yield Figure("reconnect.50k.memory", median(memory), more)
    yield Figure("reconnect.50k.flow-mods", max(changes), "sent", 0)
