# SPDX-License-Identifier: Apache-2.0

"""What ports and networks carry, as counters that only grow: for Prometheus.

What switches tell begins anew when a flow or a switch does, and ends with a port; so differences
are added up here, from the first reading on. Readings are kept for some seconds: several who ask
cost one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tenantry.controller import runtime
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.feature.routes import Counted, UnitName
from tenantry.controller.model import Binding, Port
from tenantry.controller.openflow.pipeline import Table

LOG = logging.getLogger(__name__)

OFF, NETWORKS, PORTS = "off", "networks", "ports"

EGRESS, INGRESS = "egress", "ingress"
DIRECTIONS = {Table.CLASSIFY.id: EGRESS, Table.OUTPUT.id: INGRESS}
"""Of a port, by the table in which a packet is counted: Neutron's words."""

L2, PORT = "l2", "port"
"""The app and the kind of unit whose flows count a port's packets where they come in, and where
they leave."""


class Sum(NamedTuple):
    packets: int = 0
    octets: int = 0

    def plus(self, packets: int, octets: int) -> Sum:
        return Sum(self.packets + packets, self.octets + octets)


_Key = tuple[int, str, int, int]  # switch, port, table, priority


@dataclass
class Carried:
    """By port and by network, and by direction."""

    ports: dict[tuple[str, str], Sum] = field(default_factory=dict)
    networks: dict[tuple[str, str], Sum] = field(default_factory=dict)
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
        self._before: dict[_Key, Sum] = {}
        self._known: set[int] = set()  # the switches that were read before
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
        counts = self._running.counts([UnitName(L2, PORT, id) for id in bound], tables)
        self._add(counts.flows, ports)
        read = {counted.switch for counted in counts.flows}
        # A switch that is silent goes on where it was; a port that has gone is forgotten.
        self._known |= read
        shown = self._shown(bound)
        carried = self._carried
        carried.ports = {key: sum for key, sum in carried.ports.items() if key[0] in shown}
        networks = set(ports.values())
        carried.networks = {k: sum for k, sum in carried.networks.items() if k[0] in networks}
        carried.left_out = len(bound) - len(shown)

    def _add(self, flows: Iterable[Counted], networks: Mapping[str, str]) -> None:
        now: dict[_Key, Sum] = {}
        for one in runtime.paced(flows):
            key = (one.switch, one.id, one.table, one.priority)
            now[key] = now.get(key, Sum()).plus(one.packets, one.octets)
        carried = self._carried
        for (switch, port, table, priority), total in runtime.paced(now.items()):
            first = Sum() if switch in self._known else total
            before = self._before.get((switch, port, table, priority), first)
            if total.packets < before.packets:
                before = Sum()  # it has begun anew
            more = (total.packets - before.packets, total.octets - before.octets)
            for of, id in ((carried.ports, port), (carried.networks, networks[port])):
                place = (id, DIRECTIONS[table])
                of[place] = of.get(place, Sum()).plus(*more)
        silent = {key: sum for key, sum in self._before.items() if key[1] in networks}
        self._before = silent | now

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
