# SPDX-License-Identifier: Apache-2.0

"""From flows as values to flows that a real switch has confirmed, beside ``ovs-ofctl --bundle``."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import App, Units
from tenantry.controller.model import Change, Host, Model, Switch
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.service.loop import run_in_slices
from tenantry.controller.sockets.listener import listen
from tenantry.controller.switch import channel
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.reconcile import Realised, Reconciler
from tests import namespace
from tests.bench import ROUNDS, Figure, ratio, seconds, turns
from tests.bench.codec import flows
from tests.bench.peers import Ofctl
from tests.openvswitch import OpenVSwitch

PER_UNIT = 10
PAUSE_SECONDS = 0.3
"""Open vSwitch frees what was deleted in a thread of its own; that is no part of the next push."""


class Bench:
    """An engine whose only app yields given flows while a record is there, and its switch."""

    def __init__(self, ovs: OpenVSwitch, flows: list[Flow]) -> None:
        chunks = {
            str(start): flows[start : start + PER_UNIT] for start in range(0, len(flows), PER_UNIT)
        }
        every = frozenset(chunks)
        kind = Units(
            "chunk",
            ids=lambda view, switch: every if view.ids(Host) else frozenset(),
            compile=lambda view, switch, id: chunks[id],
        )
        self._model = Model()
        self._engine = Engine(self._model, [App(200, "bench", (kind,))])
        self._connected, self._confirmed = runtime.Signal(), runtime.Signal()
        self._generation = 0
        self.channel, listening = channel.start(), listen("127.0.0.1", 0)
        self.channel.serve(listening, channel.Observer(connected=self._connect))
        port = listening.getsockname()[1]
        ovs.add_bridge("br-int", f"tcp:127.0.0.1:{port}")
        assert self._connected.wait(20)

    def _connect(self, connection: Connection) -> None:
        self._model.apply([Change(Switch, connection.dpid, Switch(connection.dpid, "", ""))])
        self._run()
        self._reconciler = Reconciler(
            connection,
            self._engine,
            target=lambda: Realised(self._generation),
            confirmed=self._done,
            audit_seconds=3600,
        )
        runtime.spawn(self._reconciler.run)

    def _done(self, realised: Realised) -> None:
        self._connected.set()
        if realised.generation == self._generation:
            self._confirmed.set()

    def _run(self) -> None:
        run_in_slices(self._engine)

    def want(self, wanted: bool) -> None:
        """All the flows, or none of them: from the model to the switch's confirmation."""
        record = Host("bench") if wanted else None
        self._generation += 1
        self._engine.touch(self._model.apply([Change(Host, "bench", record)]))
        self._run()
        self._confirmed.wait(0)
        self._reconciler.wake()
        assert self._confirmed.wait(120)


def compare(ovs: OpenVSwitch, count: int) -> tuple[list[float], list[float]]:
    """Seconds of ours and of ovs-ofctl for the same flows, in turns."""
    made = flows(count)
    ofctl = Ofctl(ovs)
    ofctl.hold([flow.text() for flow in made])
    ours, theirs = [], []
    bench = Bench(ovs, made)
    try:
        for _ in turns(ROUNDS):
            runtime.sleep(PAUSE_SECONDS)
            ours.append(seconds(lambda: bench.want(True)))
            assert len(ovs.ofctl("dump-flows", "br-int").splitlines()) >= count // 3 * 3
            bench.want(False)
            runtime.sleep(PAUSE_SECONDS)
            theirs.append(ofctl.push())
    finally:
        channel.stop(bench.channel)
    return ours, theirs


def bench() -> Iterator[Figure]:
    for count, name, bar, reference in (
        (10_000, "10k", 3.0, "0.47 s"),
        (50_000, "50k", 1.5, "0.9 s"),
    ):
        with namespace.entered(), OpenVSwitch() as ovs:
            times = compare(ovs, count)
        yield ratio(f"push.{name}", *times, Ofctl.NAME, bar, reference=reference)
