# SPDX-License-Identifier: Apache-2.0

"""The running controller: the parts, wired, and the one loop that ties them together.

::

    store ──commits──┐                                ┌──> Reconciler (one a connected switch)
                     ├──> inbox ──> Model ──> Engine ─┤
    switches ──seen──┘     (one pass at a time)       └──> what status tells

Everything that happens goes through the inbox; a pass takes all of it, changes the model, lets the
engine run, and wakes the reconcilers. So the model never changes while flows are computed, and a
burst of changes costs one pass.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple, cast
from weakref import WeakSet

from neutron_lib.constants import DEVICE_OWNER_FLOATINGIP

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import App, Parts, stored_records
from tenantry.controller.feature.effects import (
    Announce,
    EffectHandler,
    NeighbourReply,
    PacketOut,
    Periodic,
    ResolveNeighbour,
)
from tenantry.controller.feature.ovsdb_rows import InterfaceRow
from tenantry.controller.model import (
    Agent,
    Binding,
    Change,
    Host,
    Interface,
    Model,
    Network,
    Option,
    Port,
    Read,
    Record,
    Switch,
    View,
)
from tenantry.controller.model.before import Before, Changed, formers
from tenantry.controller.model.binding import rebind
from tenantry.controller.network.records import Router
from tenantry.controller.network.tunnels import Apart, apart
from tenantry.controller.service.conntrack_limits import Limits
from tenantry.controller.service.holddown import HoldDown
from tenantry.controller.service.journal import Journal
from tenantry.controller.service.neighbours import Neighbours
from tenantry.controller.service.packet_in import PacketIns
from tenantry.controller.store import Commit, Store
from tenantry.controller.switch.channel import Connection
from tenantry.controller.switch.inventory import Inventory
from tenantry.controller.switch.reconcile import Realised, Reconciler

LOG = logging.getLogger(__name__)

SLICE_SECONDS = 0.02
"""How long the engine computes before it lets others run: echo replies, API calls."""


START_SECONDS = 10.0
"""After a start, how long nothing is written while a switch that an OVSDB names is missing."""

NEIGHBOUR_SECONDS = 1.0
"""After a start, how long nothing is written while neighbours that routers need have not answered:
flows from before the start lead to them."""

AGAIN_SECONDS = (0.0, 0.15, 0.4, 1.0, 3.0)
"""When an announcement is sent. Once is not enough: until the last switch knows better, another may
still send from where the announced address was."""

REMEMBERED_SECONDS = 300.0
"""How long a switch that does not confirm a change may yet tell its hosts of it. Later they have
looked for themselves."""

BATCH = 500
"""Changes that go into the model between two breaths."""


class Pass(NamedTuple):
    """What one pass did: from how many changes, how many nodes ran, how long it took."""

    generation: int
    changes: int
    nodes: int
    seconds: float


class Told(NamedTuple):
    """Who has something to say after a change, what was before it, in which pass and when that
    was."""

    after: Announce
    before: Before
    change: Change
    generation: int
    at: float


def run_in_slices(engine: Engine, rest: float = 0.0) -> int:
    """Let the engine run to its end, resting for ``rest`` seconds between slices; how many nodes
    ran."""
    nodes = 0
    started = time.monotonic()
    with runtime.collections_paused():
        for _ in engine.run():
            nodes += 1
            if time.monotonic() - started > SLICE_SECONDS:
                if rest:
                    runtime.sleep(rest)
                runtime.yield_now()
                started = time.monotonic()
        runtime.freeze_heap(made=nodes)
    return nodes


def _batches(changes: list[Change]) -> Iterator[list[Change]]:
    for start in range(0, len(changes), BATCH):
        yield changes[start : start + BATCH]


class Service:
    """Follows the store and the switches, and keeps every connected switch as wanted.

    It is the channel's observer (``connected``, ``disconnected``, ``ports``, ``port``,
    ``packet_in``).
    """

    def __init__(
        self,
        store: Store,
        parts: Mapping[App, Parts],
        *,
        effects: Mapping[type, EffectHandler] | None = None,
        set_mtus: Callable[[str, dict[str, int]], None] = lambda remote, mtus: None,
        set_rows: Callable[[str, frozenset[InterfaceRow]], None] = lambda remote, rows: None,
        connections_per_port: int = 0,
        ovsdb_connections: Iterable[str] = (),
        remembered: Mapping[str, frozenset[int]] | None = None,
        awaited: Collection[str] = (),
        hosts_join: bool = False,
        integration_bridge: str = "",
        physical_interfaces: Mapping[str, str] | None = None,
        audit_seconds: float = 120.0,
        engine_audit_seconds: float = 600.0,
        coalesce_seconds: float = 0.002,
    ) -> None:
        self.store = store
        self.model = Model()
        rows = {app.name: one.interfaces for app, one in parts.items() if one.interfaces}
        self.engine = Engine(self.model, parts, rows)
        self.inventory = Inventory(
            ovsdb_connections,
            self._submit,
            physical_interfaces or {},
            remembered=remembered,
            awaited=awaited,
            hosts_join=hosts_join,
            integration_bridge=integration_bridge,
        )
        self.limits = Limits(self.model, self.inventory, ovsdb_connections, connections_per_port)
        self.connections: dict[int, Connection] = {}
        self.reconcilers: dict[int, Reconciler] = {}
        self.realised: dict[int, Realised] = {}
        self._audit_seconds = audit_seconds
        self._engine_audit_seconds = engine_audit_seconds
        self._coalesce_seconds = coalesce_seconds
        self._inbox: list[Change] = []
        self._revision = store.head  # the newest commit in the inbox or before
        self._wake = runtime.Signal()
        self._progress: list[runtime.Signal] = []
        neighbourhoods = [one.neighbours for one in parts.values() if one.neighbours]
        self.neighbours = Neighbours(self.model, neighbourhoods, self._submit, self._send)
        handled: dict[type, EffectHandler] = {
            PacketOut: lambda packet, origin: origin.send(packet),
            Change: lambda change, _: self._submit([change]),
            ResolveNeighbour: lambda seek, origin: self.neighbours.seek(seek, origin.send),
            NeighbourReply: lambda heard, _: self.neighbours.heard(heard),
            **(effects or {}),
        }
        for app, one in parts.items():
            if again := handled.keys() & one.effects.keys():
                raise ValueError(f"app {app.name} handles {again}, which others handle already")
            handled |= one.effects
        packets = {app.id: one.packet_in for app, one in parts.items() if one.packet_in}
        self.packets = PacketIns(self.model, packets, handled)
        self.rest = HoldDown(self.model, self._submit, self._holds_its_flows)
        self.journal = Journal(self.model, self.port_status)
        self._after = tuple(one.announce for one in parts.values() if one.announce)
        self._to_send: dict[int, deque[Told]] = {}  # by switch, the oldest first
        self._befores: WeakSet[Before] = WeakSet()  # that some of them hold
        self.every = tuple(one.periodic for one in parts.values() if one.periodic)
        self.connected_clients: Callable[[], dict[str, tuple[int, int]]] = dict
        """How many of each kind of client are connected, and how many may be."""
        self.service_port_state: Callable[[], str] = lambda: "off"
        """What has become of the service port, in words."""
        self.certificate_expires: datetime | None = None
        """When the controller's certificate runs out; None without TLS."""
        self._set_mtus = set_mtus
        self._set_rows = set_rows
        self._sized: dict[Hashable, int] = {}  # the MTU that an interface was given
        self._target = Realised()
        self._apart: dict[str, Apart | None] = {}  # by network, as of the last pass
        self._wired: dict[str, int] = {}  # the pass that last moved a port, or changed a network
        self._passing = runtime.Lock()
        self._computing = False
        self._shadows: list[Engine] = []
        self.passes: deque[Pass] = deque(maxlen=20)
        self.engine_audits = 0
        self.engine_differences = 0
        option = Option("connections_per_port", connections_per_port)
        self._inbox.append(Change(Option, option.id, option))
        self._records = stored_records(parts)
        for kind, (record, parse) in self._records.items():
            if kind not in store.schema:  # of a feature that is not there
                continue
            for id, body in store.read(kind).items():
                self._inbox.append(Change(record, id, parse(body)))
        runtime.freeze_heap(made=len(self._inbox))
        store.subscribe(self._committed)
        self._started = time.monotonic()
        self._asked: float | None = None  # when neighbours were asked, after the start
        self._wake.set()

    # --- what happens ------------------------------------------------------------------------

    def _committed(self, commit: Commit) -> None:
        for change in commit.changes:
            if change.kind in self._records:
                record, parse = self._records[change.kind]
                after = None if change.after is None else parse(change.after)
                self._inbox.append(Change(record, change.id, after))
        self._revision = commit.number
        self._wake.set()

    def _submit(self, changes: list[Change]) -> None:
        self._inbox += changes
        self._wake.set()

    def ports(self, dpid: int, ports: Mapping[int, str]) -> None:
        self.inventory.ports(dpid, ports)

    def port(self, dpid: int, number: int, name: str | None) -> None:
        self.inventory.port(dpid, number, name)

    def packet_in(self, connection: Connection, data: bytes) -> None:
        self.packets.receive(connection, data)

    def host_of(self, dpid: int) -> str:
        return self.inventory.host_of(dpid)

    def connected(self, connection: Connection) -> None:
        self.connections[connection.dpid] = connection
        self.journal.connected(connection.dpid, connection.peer)
        self._wake.set()

    def disconnected(self, connection: Connection) -> None:
        if self.connections.get(connection.dpid) is connection:
            del self.connections[connection.dpid]
            self.journal.disconnected(connection.dpid)
            if reconciler := self.reconcilers.pop(connection.dpid, None):
                reconciler.wake()  # to see that it is over
            self._tell_progress()

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Pass after pass, for as long as the process lives."""
        runtime.spawn_after(START_SECONDS, self._start_is_over)
        while True:
            self._wake.wait()
            runtime.sleep(self._coalesce_seconds)
            try:
                with self._passing:
                    self._computing = True
                    self._pass()
            except Exception:
                LOG.exception("a pass failed; the next change starts another")
            finally:
                self._computing = False
                self._tell_progress()

    def _start_is_over(self) -> None:
        self.inventory.give_up()
        self._wake.set()

    @runtime.collections_paused()
    def _pass(self) -> None:
        started = time.monotonic()
        all_here = self._all_here()  # as of the changes taken now: more may come meanwhile
        changes, self._inbox = self._inbox, []
        revision = self._revision
        generation = self._target.generation + 1
        changed: dict[tuple[type[Record], Hashable], Record | None] = {}

        def apply(some: Iterable[Change]) -> set[Read]:
            for kind, id, _ in some:
                changed.setdefault((kind, id), self.model.get(kind, id))
            return self.model.apply(some)

        for some in _batches(changes):
            touched = apply(some)
            bound = rebind(self.model, some)
            touched |= apply(bound)
            for kind, id, record in (*some, *bound):
                if kind in (Binding, Network):
                    if record is None:
                        self._wired.pop(str(id), None)
                    else:
                        self._wired[str(id)] = generation
            self._touch(touched)
            runtime.yield_now()
        self._apart.clear()
        self._touch(self.model.apply(list(formers(self.model, changed))))
        everything = [
            Change(kind, id, record)
            for (kind, id), before in changed.items()
            if (record := self.model.get(kind, id)) != before
        ]
        nodes = run_in_slices(self.engine)
        self._size_interfaces(changes)
        self._want_rows(changes)
        self.rest.look(changes)
        if any(change.type in (Binding, Port) for change in everything):
            self.limits.look()
        self._tell_of(everything, changed, generation)
        self.journal.look(everything, generation)
        # From here on without a break: what was touched belongs to this generation.
        self._target = Realised(generation, revision)
        for dpid in self.engine.wanted:
            reconciler = self.reconcilers.get(dpid)
            if reconciler is not None:
                reconciler.wake()
            elif dpid in self.connections and all_here and self._neighbours_known():
                self._start_reconciler(self.connections[dpid])
        self.passes.append(Pass(generation, len(changes), nodes, time.monotonic() - started))
        runtime.freeze_heap(made=len(changes))

    def _touch(self, touched: set[Read]) -> None:
        for engine in (self.engine, *self._shadows):
            engine.touch(touched)

    def _tell_of(self, changes: Iterable[Change], changed: Changed, generation: int) -> None:
        """Keep in mind who sends something after these changes, until the switches have confirmed
        them."""
        before = Before(self.model)
        self._befores.add(before)
        for one in self._befores:
            one.undo(changed)
        now, at = View(self.model), time.monotonic()
        for number, change in enumerate(changes, 1):
            if number % BATCH == 0:
                runtime.yield_now()
            for after in self._after:
                for dpid in {dpid for dpid, _ in after(View(before), now, change)}:
                    told = Told(after, before, change, generation, at)
                    self._to_send.setdefault(dpid, deque()).append(told)
        for waiting in self._to_send.values():
            while waiting and at - waiting[0].at > REMEMBERED_SECONDS:
                waiting.popleft()  # of a switch that is not there

    def _send_confirmed(self, dpid: int, generation: int) -> None:
        """What is sent is what holds now: another switch may have confirmed something newer, and an
        announcement of before would take its traffic away."""
        waiting, ready = self._to_send.get(dpid, deque()), []
        while waiting and waiting[0].generation <= generation:
            ready.append(waiting.popleft())
        if ready:
            for seconds in AGAIN_SECONDS:
                runtime.spawn_after(seconds, self._send_what_holds, dpid, ready)

    def _send_what_holds(self, dpid: int, ready: list[Told]) -> None:
        now = View(self.model)
        packets: dict[PacketOut, None] = {}
        for after, before, change, *_ in ready:
            if self.model.get(change.type, change.id) == change.record:
                said = after(View(before), now, change)
                packets |= {packet: None for to, packet in said if to == dpid}
        for packet in packets:
            self._send(dpid, packet)

    def _send(self, dpid: int, packet: PacketOut) -> None:
        """Send a packet by a switch, if it is there."""
        connection = self.connections.get(dpid)
        if connection is not None:
            self.packets.send(connection, packet)

    def _size_interfaces(self, changes: Iterable[Change]) -> None:
        """Interfaces get the MTU of the network that they are plugged into. What was set once is
        not set again: an interface that somebody gives another one keeps it."""
        resized: set[str] = set()
        for change in changes:
            if change.type is Port:
                resized.add(str(change.id))
            elif change.type is Network:
                resized |= self.model.ids(Binding, ("network_id",), (change.id,))
            elif change.type is Interface:
                if change.record is None:
                    self._sized.pop(change.id, None)
                at = cast("tuple[int, str]", change.id)
                resized |= self.model.ids(Binding, ("switch", "interface"), at)
        by_remote: dict[str, dict[str, int]] = {}
        for port_id in resized:
            binding = self.model.get(Binding, port_id)
            network = self.model.get(Network, binding.network_id) if binding else None
            remote = self.inventory.remote(binding.switch) if binding else None
            if binding and network and remote and not binding.vlan:  # a trunk's is its parent's
                at = (binding.switch, binding.interface)
                if self._sized.get(at) != network.mtu:
                    self._sized[at] = network.mtu
                    by_remote.setdefault(remote, {})[binding.interface] = network.mtu
        for remote, mtus in by_remote.items():
            self._set_mtus(remote, mtus)

    def _holds_its_flows(self, dpid: int) -> bool:
        """Whether a switch is connected, and has been brought up to date since."""
        reconciler = self.reconcilers.get(dpid)
        return reconciler is not None and reconciler.realised.generation > 0

    def _want_rows(self, changes: Iterable[Change]) -> None:
        """Tell of the interfaces that are wanted on switches: where others are by now, and where a
        database is heard of, perhaps again."""
        touched, self.engine.rows_touched = self.engine.rows_touched, set()
        heard = {cast("int", change.id) for change in changes if change.type is Switch}
        # What is plugged in is to be kept apart, should the switch ever forward by itself.
        plugged = {c.record.switch for c in changes if isinstance(c.record, Interface)}
        for switch in touched | heard | plugged:
            remote, record = self.inventory.remote(switch), self.model.get(Switch, switch)
            if remote is not None and record is not None and record.integration:
                self._set_rows(remote, self.engine.rows(switch))

    def _all_here(self) -> bool:
        """Whether what is computed is whole. After a start, ports on switches that have not
        connected yet are unknown; flows towards them must not be taken for stale."""
        late = time.monotonic() > self._started + START_SECONDS
        return late or not (self.inventory.waiting_for() or self.inventory.missing())

    def _neighbours_known(self) -> bool:
        """Whether routers' next hops have answered since the start, or had their time."""
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            self.neighbours.look()
            runtime.spawn_after(NEIGHBOUR_SECONDS, self._wake.set)
        late = now >= self._asked + NEIGHBOUR_SECONDS
        return late or not self.neighbours.missing()

    # --- the oracle --------------------------------------------------------------------------

    def shadow(self) -> Engine:
        """An engine computed from nothing, in slices, while the other goes on: on return the two
        have seen the same changes, and must want the same."""
        shadow = Engine(self.model, self.engine.apps)
        self._shadows.append(shadow)
        try:
            run_in_slices(shadow, SLICE_SECONDS)
            with self._passing:  # no pass until the last of it is computed
                run_in_slices(shadow)
        finally:
            self._shadows.remove(shadow)
        return shadow

    def audit_engine(self) -> int:
        """Compare the engine with its shadow; if they differ, adopt the shadow, and say so. How
        many flows differed: any at all are a mistake of ours."""
        shadow = self.shadow()
        different = 0
        for dpid, wanted in shadow.wanted.items():
            wanted.touched = wanted.flows.keys() ^ self.engine.wanted[dpid].flows.keys()
            wanted.touched |= self.engine.wanted[dpid].touched
            different += len(wanted.flows.keys() ^ self.engine.wanted[dpid].flows.keys())
        self.engine_audits += 1
        if different:
            self.engine_differences += different
            LOG.error(
                "the engine was wrong about %d flows; recomputed all, please report", different
            )
            shadow.runs = self.engine.runs
            self.engine = shadow
            for reconciler in self.reconcilers.values():
                reconciler.engine = shadow
            self._wake.set()
        return different

    def run_audits(self) -> None:
        """Audit the engine, now and then, for as long as the process lives."""
        while True:
            runtime.sleep(self._engine_audit_seconds)
            try:
                self.audit_engine()
            except Exception:
                LOG.exception("the engine's audit failed")

    # --- packets that nobody asked for -------------------------------------------------------

    def repeat(self, every: Periodic) -> None:
        """Send what an app sends now and then, for as long as the process lives."""
        while True:
            runtime.sleep(every.seconds)
            self.send_now(every)

    def send_now(self, every: Periodic) -> None:
        """Send to all switches what an app sends now and then."""
        for dpid, connection in list(self.connections.items()):
            try:
                for packet in every.packets(View(self.model), dpid):
                    self.packets.send(connection, packet)
                    runtime.yield_now()
            except Exception:
                LOG.exception("what switch %016x is sent now and then failed", dpid)

    # --- reconcilers -------------------------------------------------------------------------

    def _start_reconciler(self, connection: Connection) -> None:
        """Only now: the switch is connected, its interfaces are known, its flows computed."""

        def confirmed(realised: Realised) -> None:
            self.realised[connection.dpid] = realised
            self._send_confirmed(connection.dpid, realised.generation)
            self.journal.confirmed(connection.dpid, realised.generation)
            self._tell_progress()

        reconciler = Reconciler(
            connection,
            self.engine,
            target=lambda: self._target,
            confirmed=confirmed,
            audit_seconds=self._audit_seconds,
            mended=partial(self.journal.mended, connection.dpid),
        )
        self.reconcilers[connection.dpid] = reconciler
        self.limits.forget(connection.dpid)
        runtime.spawn(reconciler.run)

    def _tell_progress(self) -> None:
        for signal in self._progress:
            signal.set()

    # --- what has become of it ---------------------------------------------------------------

    def port_status(self, port_id: str) -> str:
        """ACTIVE once the switch has confirmed the pass that wired the port; BUILD before that;
        ERROR if the switch refused its flows; DOWN if it is not plugged in or switched off. A
        router's port is on every switch, so it is as its router; a floating IP's has none (N/A)."""
        port, binding = self.model.get(Port, port_id), self.model.get(Binding, port_id)
        if port is not None and port.device_owner == DEVICE_OWNER_FLOATINGIP:
            return "N/A"
        if port is not None and port.router_id:
            router = self.model.get(Router, port.router_id)
            up = router is not None and router.admin_state_up and port.admin_state_up
            return "ACTIVE" if up else "DOWN"
        if port is None or binding is None or not port.admin_state_up:
            return "DOWN"
        if self.cut_off(binding):
            return "ERROR"
        reconciler = self.reconcilers.get(binding.switch)
        if reconciler and any(port_id in refusal.unit for refusal in reconciler.refused):
            return "ERROR"
        realised = self.realised.get(binding.switch, Realised())
        return "ACTIVE" if realised.generation >= self._wired[port_id] else "BUILD"

    def cut_off(self, binding: Binding) -> bool:
        """Whether a port is on a host that does not reach the one of its network's first port.
        (Bridges of one host may be joined by a wire that nobody has told us of.)"""
        id = binding.network_id
        if id not in self._apart:
            self._apart[id] = apart(View(self.model), id)
        parts = self._apart[id]
        if parts is None or binding.switch not in parts.others:
            return False
        first = self.model.get(Switch, parts.first)
        return first is not None and first.host != binding.host

    def network_status(self, network_id: str) -> str:
        """ACTIVE once every switch that has the network has confirmed its newest change; BUILD
        before that; DOWN if it is switched off."""
        network = self.model.get(Network, network_id)
        if network is None or not network.admin_state_up:
            return "DOWN"
        changed = self._wired.get(network_id, 0)
        switches = self.model.distinct(Binding, ("network_id", "switch"), (network_id,))
        behind = (self.realised.get(dpid, Realised()).generation < changed for dpid in switches)
        return "BUILD" if any(behind) else "ACTIVE"

    def revision(self) -> int:
        """The newest commit that every connected switch has confirmed."""
        switches = [dpid for dpid in self.engine.wanted if dpid in self.connections]
        confirmed = [self.realised.get(dpid, Realised()).revision for dpid in switches]
        return min(confirmed, default=self._target.revision)

    def absent(self) -> list[str]:
        """The switches that should hold flows and are not connected, in words: whatever they hold,
        what is asked for has not come about there."""
        gone = self.engine.wanted.keys() - self.connections.keys()
        silent = {agent.host for agent in self.model.all(Agent).values()}
        silent -= {host.id for host in self.model.all(Host).values()}
        return sorted(
            [
                *map(self.journal.switch_text, gone),
                *self.inventory.unseen(),
                *(f"the one on {host}" for host in silent),
            ]
        )

    def settled(self) -> bool:
        """Nothing is under way: all that happened is computed, and confirmed where connected."""
        return not (self._inbox or self._computing) and all(
            dpid in self.reconcilers and self.realised.get(dpid) == self._target
            for dpid in self.engine.wanted
            if dpid in self.connections
        )

    def wait_settled(self, seconds: float) -> bool:
        """Wait until :meth:`settled`; False if that takes longer than ``seconds``."""
        return self.wait_until(self.settled, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for what passes, confirmations and lost connections bring about; False if that
        takes longer than ``seconds``."""
        signal = runtime.Signal()
        self._progress.append(signal)
        deadline = time.monotonic() + seconds
        try:
            while not condition():
                if not signal.wait(max(0.0, deadline - time.monotonic())):
                    return condition()
            return True
        finally:
            self._progress.remove(signal)

    def switches(self) -> list[Switch]:
        """The switches that are known, by name."""
        return sorted(self.model.all(Switch).values(), key=lambda switch: (switch.name, switch.id))
