"""A real switch connects again and has everything it should have: nothing must be sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from controller.switch import channel, codec
from controller.switch.channel import Connection
from tests import namespace
from tests.bench import ROUNDS, Figure
from tests.bench.codec import flows
from tests.bench.push import Bench
from tests.openvswitch import OpenVSwitch

COUNT = 50_000


class Again(Bench):
    """Counts the messages that a reconnected switch is sent to change its flows."""

    changes = 0

    def connected(self, connection: Connection) -> None:
        send = connection.send

        def counting(data: bytes) -> None:
            self.changes += sum(
                header.kind in (codec.FLOW_MOD, codec.BUNDLE_ADD) for header in _headers(data)
            )
            send(data)

        connection.send = counting  # type: ignore[method-assign]
        super().connected(connection)

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


def bench() -> Iterator[Figure]:
    changes: list[Any] = []
    times = []
    with namespace.entered(), OpenVSwitch() as ovs:
        again = Again(ovs, flows(COUNT))
        try:
            again.want(True)
            assert again.changes >= COUNT - 2  # that they are counted at all
            for _ in range(ROUNDS):
                times.append(again.reconnect(ovs))
                changes.append(again.changes)
        finally:
            channel.stop(again.channel)
    yield Figure("reconnect.50k", median(times), "s from hello to confirmed", 1.0)
    yield Figure("reconnect.50k.flow-mods", max(changes), "sent", 0)
