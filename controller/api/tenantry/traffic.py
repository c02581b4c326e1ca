# SPDX-License-Identifier: Apache-2.0

"""What ports and networks carry, and what is dropped of it, as counters that only grow: for
Prometheus.

What switches tell begins anew when a flow or a switch does, and ends with a port; so differences
are added up here, from the first reading on. Readings are kept for some seconds: several who ask
cost one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tenantry.controller import runtime
from tenantry.controller.api.tenantry.growth import Growth, Sum
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.feature.owners import owners
from tenantry.controller.feature.routes import Counted, Counts, UnitName
from tenantry.controller.model import Binding, Port
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.openflow.drops import UNFORESEEN, Cause
from tenantry.controller.openflow.pipeline import Table

LOG = logging.getLogger(__name__)

OFF, NETWORKS, PORTS = "off", "networks", "ports"

EGRESS, INGRESS = "egress", "ingress"
DIRECTIONS = {Table.CLASSIFY.id: EGRESS, Table.OUTPUT.id: INGRESS}
"""Of a port, by the table in which a packet is counted: Neutron's words."""

APPS, PORT = ("l2", "qos"), "port"
"""The apps and the kind of unit whose flows count a port's packets where they come in, and where
they leave (L2's), and whose meters drop some."""


_Flow = tuple[int, str, int, int]  # switch, port, table, priority
_Account = tuple[int, int, tuple[tuple[str, int], ...]]  # switch, cause; fields, or the meter


@dataclass
class Carried:
    """By port and by network, and by direction."""

    ports: dict[tuple[str, str], Sum] = field(default_factory=dict)
    networks: dict[tuple[str, str], Sum] = field(default_factory=dict)
    drops: Mapping[str, dict[tuple[str, str], int]] = field(
        default_factory=lambda: {"network": {}, "port": {}, "switch": {}}
    )
    """Of each kind of thing, by id and by cause: packets. Of a switch, all that it drops."""
    left_out: int = 0
    """Ports that have no counters of their own, for there are too many."""


class Traffic:
    """``level``: OFF, NETWORKS or PORTS (those, too); of ports no more than ``most_ports``. A
    reading is good for ``seconds``."""

    def __init__(self, running: Running, level: str, most_ports: int, seconds: float) -> None:
        self.level = level
        self._running = running
        self._most_ports = most_ports
        self._seconds = seconds
        self._reading = runtime.Lock()
        self._carried = Carried()
        self._read_at = -seconds
        self._counted = Growth[_Flow]()
        self._dropped = Growth[_Account]()
        self._cut = False

    def carried(self) -> Carried:
        """As of now, or of some seconds ago."""
        if self.level == OFF:
            return self._carried
        with self._reading:
            if time.monotonic() - self._read_at >= self._seconds:
                self._read()
                self._read_at = time.monotonic()
        return self._carried

    def _read(self) -> None:
        model = self._running.model
        ports = {port.id: port.network_id for port in model.all(Port).values()}
        bound = [id for id in map(str, model.all(Binding)) if id in ports]
        tables = (Table.CLASSIFY, Table.OUTPUT)
        units = [UnitName(app, PORT, id) for id in bound for app in APPS]
        counts = self._running.counts(units, tables)
        before = self._carried  # which somebody may be reading still
        drops = {kind: {**sums} for kind, sums in before.drops.items()}
        carried = Carried({**before.ports}, {**before.networks}, drops)
        self._add(carried, counts.flows, ports)
        self._add_drops(carried, counts, ports)
        shown, networks = self._shown(bound), {*ports.values()}
        carried.ports = {key: sum for key, sum in carried.ports.items() if key[0] in shown}
        carried.networks = {k: sum for k, sum in carried.networks.items() if k[0] in networks}
        switches = {dpid_text(switch) for switch in self._running.chosen(None)}
        there = {"network": networks, "port": shown, "switch": switches}
        carried.drops = {
            kind: {key: packets for key, packets in sums.items() if key[0] in there[kind]}
            for kind, sums in carried.drops.items()
        }
        carried.left_out = len(bound) - len(shown)
        self._carried = carried

    def _add(self, carried: Carried, flows: Iterable[Counted], networks: Mapping[str, str]) -> None:
        now: dict[_Flow, Sum] = {}
        for one in runtime.paced(flows):
            key = (one.switch, one.id, one.table, one.priority)
            now[key] = now.get(key, Sum()).plus(one.packets, one.octets)
        told = {switch for switch, *_ in now}
        # A flow that is not read may be on its way to be another: it counts on.
        more = self._counted.since(now, told, lambda key: key[1] in networks)
        for (_, port, table, _), sum in runtime.paced(more.items()):
            for of, id in ((carried.ports, port), (carried.networks, networks[port])):
                place = (id, DIRECTIONS[table])
                of[place] = of.get(place, Sum()).plus(*sum)

    def _add_drops(self, carried: Carried, counts: Counts, networks: Mapping[str, str]) -> None:
        """All accounts that there are, and what meters have dropped; those of a switch that does
        not tell go on later."""
        asked = {*self._running.chosen(None)}
        dropped, unknown = self._running.dropped([{}], asked)
        silent = {*unknown, *counts.silent}
        owner = owners(self._running.view, networks)
        now = dict[_Account, int]()
        whose = dict[_Account, tuple[Cause, str | None]]()
        for one in runtime.paced(dropped):
            key = (one.switch, one.cause.number, (*sorted(one.fields.items()),))
            now[key], whose[key] = one.packets, (one.cause, owner(one))
        for meter in runtime.paced(counts.meters):
            if meter.cause and meter.dropped_packets:
                key = (meter.switch, meter.cause.number, (("meter", meter.meter),))
                now[key], whose[key] = meter.dropped_packets, (meter.cause, meter.id)
        told = asked - silent
        sums = carried.drops
        for switch in told:
            sums["switch"].setdefault((dpid_text(switch), UNFORESEEN.name), 0)
        all = {key: Sum(packets) for key, packets in now.items()}
        more = self._dropped.since(all, told, lambda key: key[0] in silent)
        for key, (packets, _) in runtime.paced(more.items()):
            cause, port = whose[key]
            of = {"switch": dpid_text(key[0])}
            if port is not None:
                of |= {"port": port, "network": networks[port]}
            for kind, id in of.items():
                place = (id, cause.name)
                sums[kind][place] = sums[kind].get(place, 0) + packets

    def _shown(self, bound: list[str]) -> set[str]:
        """The ports that have counters of their own: always the same ones of those there are."""
        if self.level != PORTS:
            return set()
        cut = len(bound) > self._most_ports
        if cut and not self._cut:
            LOG.warning(
                "/metrics has counters of %d ports of %d: [metrics] most_ports",
                *(self._most_ports, len(bound)),
            )
        self._cut = cut
        return set(sorted(bound)[: self._most_ports] if cut else bound)
