# SPDX-License-Identifier: Apache-2.0

"""The running controller, as what is answered about it sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tenantry.controller import runtime
from tenantry.controller.api.tenantry.counting import Rates, counted, counts, dropped
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import Unit
from tenantry.controller.feature.routes import Counted, Counts, Dropped, Silent, UnitName
from tenantry.controller.model import Binding, Change, Model, Port, View
from tenantry.controller.model.binding import dpid_text, switch_text
from tenantry.controller.openflow.codec import FlowStats
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.service.audit import Audit
from tenantry.controller.service.loop import Loop
from tenantry.controller.service.packet_in import PacketIns
from tenantry.controller.service.prober import Prober
from tenantry.controller.service.progress import Progress
from tenantry.controller.service.service_port import ServicePort
from tenantry.controller.service.status import Status
from tenantry.controller.service.workers import Workers
from tenantry.controller.sockets.listener import Clients
from tenantry.controller.store import Store
from tenantry.controller.switch.connection import Disconnected
from tenantry.controller.switch.inventory import Inventory

ANSWER_SECONDS = 10.0
"""How long a switch may take to tell what it holds."""


class Held(NamedTuple):
    """What a switch told: its flows, and the keys of its meters and groups."""

    flows: list[FlowStats]
    slots: list[int]


@dataclass(frozen=True, eq=False)
class Running:
    """Its parts; see also :class:`tenantry.controller.feature.routes.Running`."""

    store: Store
    inventory: Inventory
    progress: Progress
    status: Status
    loop: Loop
    audit: Audit
    packets: PacketIns
    service_port: ServicePort
    workers: Workers
    prober: Prober
    clients: Mapping[str, Clients]
    """By kind: those that are connected, and how many may be."""
    certificate_expires: Callable[[], datetime | None]
    """When the controller's certificate runs out; None without TLS."""
    api: Mapping[str, object]
    """How the API is reached: ``auth_type``, ``tls`` and whether from this host only
    (``loopback``)."""
    api_expires: Callable[[], datetime | None]
    """When the API's certificate runs out; None without TLS."""
    sees: Callable[[str, str], bool] = lambda kind, id: True
    """Whether who asks may get the resource of a kind and an id."""
    check: Callable[[str, str, str], None] = lambda rule, kind, id: None
    """Refuses, if who asks may not do what a rule is about to the resource of a kind and an id."""
    rates: Rates = field(default_factory=Rates)
    """What was read of late."""

    @property
    def engine(self) -> Engine:
        return self.loop.engine

    @property
    def model(self) -> Model:
        return self.engine.model

    @property
    def view(self) -> View:
        return View(self.model)

    def chosen(self, switch: str | None) -> Iterator[int]:
        """The switches of this name or datapath id, or all. LookupError if there is none."""
        switches = self.status.switches()
        known = {record.id: {record.name, dpid_text(record.id)} for record in switches}
        found = [dpid for dpid, names in known.items() if switch is None or switch in names]
        if switch is not None and not found:
            names = ", ".join(sorted(record.name for record in switches)) or "none yet"
            raise LookupError(f"there is no switch {switch}; known: {names}")
        return iter(found)

    def ask(self, dpid: int, tables: Collection[int] | None = None) -> Held:
        """What a switch holds now, or holds in these tables. Errors: Silent."""
        connection = self.progress.connections.get(dpid)
        switch = f"switch {switch_text(self.model, dpid)}"
        if connection is None:
            raise Silent(f"{switch} is not connected")
        try:
            with runtime.Timeout(ANSWER_SECONDS):
                return Held(connection.dump_flows(tables), connection.dump_slots())
        except runtime.Timeout:
            raise Silent(f"{switch} has not answered for {ANSWER_SECONDS:.0f} seconds") from None
        except Disconnected as error:
            raise Silent(str(error)) from error

    def counted(
        self, tables: Collection[Table], switch: str | None = None
    ) -> Iterator[list[Counted]]:
        ids = {table.id for table in tables}
        for dpid in self.chosen(switch):
            if dpid not in self.progress.connections:
                continue
            stats = self.ask(dpid, ids).flows
            origins = self.engine.origins(dpid, (flow.cookie for flow in stats))
            yield [
                counted(UnitName(unit.app.name, unit.units.kind, unit.id), dpid, flow, None)
                for flow in stats
                for unit in origins.get(flow.cookie, ())
            ]

    def counts(
        self,
        units: Iterable[UnitName],
        tables: Collection[Table] | None = None,
        switch: str | None = None,
    ) -> Counts:
        names, chosen = [*units], self.chosen(switch)
        return counts(self.engine, self.progress.connections, chosen, names, tables, self.rates)

    def dropped(
        self, whose: Collection[Mapping[str, int]], switches: Collection[int] | None = None
    ) -> tuple[list[Dropped], dict[int, str]]:
        chosen = self.chosen(None) if switches is None else switches
        return dropped(self.engine, self.progress.connections, chosen, whose)

    def ask_process(self, name: str, report: str) -> str:
        return self.workers.ask(name, report)

    def process_state(self, name: str) -> str:
        return self.workers.state(name)

    def wanted(self, units: Iterable[UnitName]) -> Iterator[tuple[int, UnitName, int, Flow]]:
        kinds = {
            (app.name, each.kind): (app, each) for app in self.engine.apps for each in app.units
        }
        for name in units:
            for switch in list(self.engine.wanted):
                unit = Unit(*kinds[name.app, name.kind], switch, name.id)
                if self.engine.cookies(unit):
                    for _, flow, cookie in self.engine.flows(switch, [unit]):
                        yield switch, name, cookie, flow

    def learn(self, change: Change) -> None:
        self.loop.observed(change)

    def port_status(self, id: str) -> str:
        return self.status.port(id)

    def realised(self) -> int:
        return self.status.revision()

    def refused(self, id: str) -> bool:
        return any(
            id in refusal.unit
            for reconciler in self.progress.reconcilers.values()
            for refusal in reconciler.refused
        )

    def shown(self, port: Port) -> dict[str, Any]:
        binding = self.model.get(Binding, port.id)
        return {
            "id": port.id,
            "name": port.name,
            "project_id": port.project_id,
            "network_id": port.network_id,
            "status": self.status.port(port.id),
            "host": binding.host if binding else None,
            "switch": dpid_text(binding.switch) if binding else None,
            "interface": binding.interface if binding else None,
            "ofport": binding.ofport if binding else None,
        }
