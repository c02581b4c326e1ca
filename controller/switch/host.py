# SPDX-License-Identifier: Apache-2.0

"""One host's OVSDB: what it says of its bridges and interfaces is told to the inventory, what it
says of itself is reported, and what is wanted there is kept as it must be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from uuid import UUID

from tenantry.controller import runtime
from tenantry.controller.feature.ovsdb_rows import BridgeRow, Plugged, Row, difference
from tenantry.controller.store import Unavailable
from tenantry.controller.switch import ovsdb
from tenantry.controller.switch.host_report import JOINED, HostReport, read_report
from tenantry.controller.switch.inventory import Inventory
from tenantry.controller.switch.ovsdb_replica import (
    Change,
    OvsdbError,
    Replica,
    Unreachable,
)
from tenantry.controller.switch.ovsdb_tables import REMOVED, Tables
from tenantry.controller.switch.own_rows import (
    IntegrationBridge,
    bridge_row,
    patch_rows,
    service_port_row,
)

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""When what could not be written is tried again."""

MEND_SECONDS = 0.5
"""How often what somebody else changes is mended, at most."""


class HostConnection:
    """Follows one OVSDB for as long as a connection lasts, and keeps what is ours there as it must
    be. One greenlet does it all: what it has written, it has seen before it looks again."""

    def __init__(
        self,
        remote: str,
        inventory: Inventory,
        bridge: IntegrationBridge | None,
        store: str,
        report: Callable[[HostReport], None],
    ) -> None:
        """``store``: the identity of ours."""
        self.remote = remote
        self.host = ""
        self.replica: Replica | None = None  # the connection, or the last there was
        self.since: datetime | None = None
        self.seen: datetime | None = None
        """Since when it is connected, and until when it was."""
        self.refusal = ""
        """Why nothing is written there: words that say what to do."""
        self.given_up = False
        """Whether it was removed: nothing there is made again."""
        self.datapath_ids: dict[UUID, list[str]] = {}
        """For :class:`Tables`."""
        self._inventory = inventory
        self._bridge = bridge
        self._store = store
        self._report = report
        self._tables: Tables | None = None
        self._plugged: dict[str, Plugged] = {}  # still to be set, by interface
        self._rows: frozenset[Row] | None = None  # None: nobody has said yet
        self._theirs: dict[str, Row] = {}  # rows in the way of ours
        self._said: set[str] = set()  # what is said once
        self._broken: set[str] = set()  # interfaces of ours that must be made again
        self._written: dict[str, BridgeRow | Row] = {}  # by name
        self._mended = -MEND_SECONDS  # when something was, last
        self._words: HostReport | None = None  # as they were reported
        self._locked: bool | None = None  # None: it was not asked for
        self._address = ""  # where the host connects from

    @property
    def alive(self) -> bool:
        return self.replica is not None and self.replica.alive

    def set_plugged(self, wanted: Mapping[str, Plugged]) -> None:
        """Give interfaces, by name, this, in the background; as soon as that is possible."""
        self._plugged |= wanted
        self._look()

    def set_rows(self, rows: frozenset[Row]) -> None:
        """Have these rows, and no others that are ours, likewise."""
        self._rows = rows
        self._look()

    def is_stranger(self, replica: Replica) -> bool:
        """Whether nobody is to be expected back who was here by this connection: there never was a
        bridge that connects to us."""
        return self.replica in (None, replica) and not (
            self._tables and self._controlled(self._tables)
        )

    def say_again(self) -> None:
        """What the host says of itself is forgotten: report it once more."""
        self._words = None
        self._look()

    def renew(self, interface: str) -> None:
        """An interface of ours is there no more, though the database says so: make it again."""
        self._broken.add(interface)
        self._look()

    def adopt(self) -> None:
        """Follow the host from now on, whoever has it. Errors: OvsdbError."""
        tables, bridge = self._tables, self._bridge
        if tables is None or bridge is None:
            raise OvsdbError("it is not connected")
        if self._locked is False:
            raise OvsdbError(self.refusal)
        tables.replica.run(lambda: ovsdb.adopt(tables, bridge.name, self._store))
        self.given_up = False
        self._look()

    def remove(self, port: int) -> bool:
        """Take what is ours out, and keep away from then on; whether the host could be told. We
        listen for hosts at ``port``. Errors: OvsdbError."""
        tables, bridge = self._tables, self._bridge
        if tables is None or bridge is None or not self.alive or self.refusal:
            return False
        ours = self._own_ports(tables, tables.ports())
        away = not self.remote.startswith(JOINED)
        self.given_up = True
        try:
            tables.replica.run(lambda: ovsdb.tidy(tables, bridge.name, port, ours, stay_away=away))
        except OvsdbError:
            self.given_up = False
            raise
        return True

    def found_at(self, address: str) -> None:
        """Tunnels lead to this address, if the host says no other."""
        self._address = address
        self._look()

    def follow(self, tables: Tables, name: str, address: str, controller: str) -> None:
        """Until the connection ends. It is the host ``name`` if it says nothing else; ``address``
        is where it connects from, or ""; its bridge connects to ``controller``. Errors:
        OvsdbError."""
        said = tables.said()
        self._tables, replica = tables, tables.replica
        self._address = address
        self._written, self._theirs, self._said = {}, {}, set()
        self._locked = None
        self.host = name or said.get("hostname") or said.get("system-id") or self.remote
        self.replica, self.since = replica, datetime.now(timezone.utc)
        LOG.info("OVSDB %s is connected", self.remote)
        synced = False
        try:
            while self.replica is replica:  # else the host is back by another connection
                changed, bridges = tables.changes()
                if self._is_refused(tables):
                    synced, self._written = False, {}
                elif not synced:
                    self._tell_all(tables)
                    synced = True
                else:
                    self._tell(tables, changed, bridges)
                if synced:
                    self._report_words(tables)
                    self._write(tables, controller)
                replica.next()
        except Unreachable as error:
            LOG.debug("OVSDB %s: %s", self.remote, error)
        finally:
            self.seen = datetime.now(timezone.utc)

    def _look(self) -> None:
        """Wake whoever follows."""
        if self.replica is not None:
            self.replica.wake()

    # --- whose it is -------------------------------------------------------------------------

    def _is_refused(self, tables: Tables) -> bool:
        """Whether the host is not ours to write to; said once. Of several controllers that it would
        be, as those on two copies of one database, the first has OVSDB's lock (RFC 7047, 4.1.8)."""
        refusal, others = "", None
        bridge = tables.bridge(self._bridge.name) if self._bridge else None
        owner = bridge.store if bridge else ""
        if self.given_up or REMOVED in tables.said():
            refusal = (
                f"host {self.host} was removed; `tenantry host adopt {self.host}` takes it back"
            )
        elif bridge and owner not in ("", self._store):
            refusal = (
                f"{bridge.name} of host {self.host} belongs to the controller of another store "
                f"({owner}; this one is {self._store}): nothing is written there. Is [store] url "
                f"right? If it is, `tenantry host adopt {self.host}` takes the bridge over"
            )
            others = tables.datapaths()
        if self._bridge:
            name = self._bridge.name
            self._locked = tables.replica.lock(None if refusal else ovsdb.lock_of(name))
            if not refusal and self._locked is None:
                return True  # until it is answered
            if not refusal and not self._locked:
                refusal = (
                    f"another controller writes to {name} of host {self.host}, with this "
                    "database or a copy of it: stop that one first"
                )
                others = tables.datapaths()
        if refusal and refusal != self.refusal:
            LOG.warning("%s", refusal)
        if refusal:
            self._inventory.leave(self.remote, refusal, others)
        self.refusal = refusal
        return bool(refusal)

    # --- what is there -----------------------------------------------------------------------

    def _controlled(self, tables: Tables) -> set[int]:
        """The bridges that connect to a controller, or will as soon as ours is written."""
        controlled = {*tables.controlled()}
        if self._bridge:
            controlled.add(self._bridge.name)
        return {id for id, name in tables.datapaths().items() if name in controlled}

    def _tell_all(self, tables: Tables) -> None:
        rows = tables.replica.rows("Interface")
        ids = {row.name: row.external_ids for row in rows}
        datapaths, controlled = tables.datapaths(), self._controlled(tables)
        self._inventory.synced(self.remote, self.host, datapaths, ids, controlled)
        for row in rows:
            self._inventory.tunnel(self.remote, row.name, getattr(row, "bfd_status", None) or None)

    def _tell(self, tables: Tables, changed: Iterable[str], bridges: bool) -> None:
        """``changed``: interfaces; ``bridges``: whether one of them has."""
        for name in changed:
            row = tables.interface(name)
            ids = None if row is None else row.external_ids
            self._inventory.interface(self.remote, name, ids)
            self._inventory.tunnel(self.remote, name, getattr(row, "bfd_status", None) or None)
        if bridges:
            datapaths, controlled = tables.datapaths(), self._controlled(tables)
            self._inventory.bridges(self.remote, datapaths, controlled)

    def _report_words(self, tables: Tables) -> None:
        controlled = self._controlled(tables)
        bridge = tables.bridge(self._bridge.name) if self._bridge is not None else None
        said = (tables.said(), self._address, controlled, bridge)
        words = read_report(self.host, self.remote, *said)
        if words != self._words:
            try:
                self._report(words)
                self._words = words
            except Unavailable as error:
                LOG.warning("host %s: what it says of itself is not noted: %s", self.host, error)
                runtime.spawn_after(RETRY_SECONDS, self._look)

    # --- what is written ---------------------------------------------------------------------

    def _write(self, tables: Tables, controller: str) -> None:
        """All that differs from what is wanted. What cannot be written now is tried again."""
        plugged, self._plugged = self._plugged, {}
        by_hand: list[str] = []
        try:
            if self._bridge is not None and not self._write_bridge(
                tables, self._bridge, controller, by_hand
            ):
                self._plugged = plugged | self._plugged
                return
            self._write_ports(tables, plugged)
            if self._bridge is not None:
                self._write_rows(tables, self._bridge, by_hand)
            for bridge in tables.controlled():
                self._name_tables(tables, bridge)
        except OvsdbError as error:
            self._plugged = plugged | self._plugged
            if tables.replica.alive:
                LOG.warning("host %s: not all is written: %s", self.host, error)
                runtime.spawn_after(RETRY_SECONDS, self._look)
            return
        for words in by_hand:
            LOG.warning("host %s: %s; mended", self.host, words)
        if by_hand:
            self._mended = time.monotonic()

    def _write_bridge(
        self, tables: Tables, bridge: IntegrationBridge, controller: str, by_hand: list[str]
    ) -> bool:
        """Whether the bridge is ours, and as it must be."""
        there = tables.bridge(bridge.name)
        if there is not None and not there.store:
            ovsdb.claim_bridge(tables, bridge.name, self._store)
            return False  # somebody else may have been faster: what comes back tells
        wanted = bridge_row(bridge, there, self._store, controller)
        if there != wanted:
            if there is not None or self._written.get(bridge.name) is not None:
                by_hand.append(difference(bridge.name, there, wanted))
                if self._is_too_soon():
                    return False
            if there is None:
                ovsdb.make_bridge(tables, wanted)
                if not by_hand:
                    LOG.info("host %s: %s is made", self.host, bridge.name)
            else:
                ovsdb.set_bridge(tables, there, wanted)
        if not bridge.datapath_type and bridge.name not in tables.datapaths().values():
            ovsdb.choose_datapath(tables, bridge.name)
        self._written[bridge.name] = wanted
        return True

    def _write_ports(self, tables: Tables, plugged: Mapping[str, Plugged]) -> None:
        """``plugged``: by interface. Open ports are closed."""
        open_ports = self._open_ports()

        def write(change: Change) -> None:
            ovsdb.close_ports(change, tables, open_ports)
            for words in ovsdb.set_plugged(change, tables, plugged):
                self._say(words)

        if plugged or open_ports:
            tables.replica.transact(write)

    def _write_rows(self, tables: Tables, bridge: IntegrationBridge, by_hand: list[str]) -> None:
        possible = map(tables.possible, self._wanted_rows(tables, bridge))
        wanted = {row.name: row for row in possible if row is not None}
        broken, self._broken = self._broken, set()
        there = tables.rows(wanted, broken)
        if self._rows is None:  # what else is there may be wanted
            there = {name: row for name, row in there.items() if name in wanted}
        aside = {name for name, row in self._theirs.items() if there.get(name) == row}
        for name, row in wanted.items():
            if there.get(name) != row and (objection := tables.objection(row)):
                self._say(objection)
                aside.add(name)
        there = {name: row for name, row in there.items() if name not in aside}
        wanted = {name: row for name, row in wanted.items() if name not in aside}
        if there == wanted:
            return
        changed = [
            f"{name} was taken away" if name in broken else difference(name, there.get(name), row)
            for name, row in wanted.items()
            if there.get(name) != row and self._written.get(name) == row
        ]
        if changed and self._is_too_soon():
            return
        for name in ovsdb.set_rows(tables, there, wanted):
            self._theirs[name] = there[name]
            self._say(ovsdb.in_the_way(wanted[name]))
        by_hand += changed
        self._written = {bridge.name: self._written[bridge.name], **wanted}

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            LOG.warning("host %s: %s", self.host, words)

    def _is_too_soon(self) -> bool:
        """Whoever changes things again and again is answered now and then."""
        wait = self._mended + MEND_SECONDS - time.monotonic()
        if wait > 0:
            runtime.spawn_after(wait, self._look)
        return wait > 0

    def _wanted_rows(self, tables: Tables, bridge: IntegrationBridge) -> Iterator[Row]:
        if bridge.service_port and self.remote.startswith("unix:"):
            yield service_port_row(bridge)
        if self._rows is not None:
            yield from self._rows
            there = tables.bridges()
            for network, to in (self._words.bridge_mappings if self._words else {}).items():
                if to in there:
                    yield from patch_rows(bridge, network, to)
                else:
                    self._say(f"maps {network} to {to}, which it does not have")

    def _own_ports(self, tables: Tables, among: Iterable[str]) -> set[str]:
        """Those that are on the integration bridge."""
        name = self._bridge.name if self._bridge else ""
        datapaths = tables.datapaths().items()
        there = [self._inventory.names(id) for id, bridge in datapaths if bridge == name]
        return {port for port in among if port == name or any(port in each for each in there)}

    def _open_ports(self) -> set[str]:
        """Ports of the integration bridge between which ``NORMAL`` would forward: so would the
        bridge by itself, if somebody had it do so while we are away."""
        return self._own_ports(self._tables, self._tables.open_ports) if self._tables else set()

    def _name_tables(self, tables: Tables, bridge: str) -> None:
        """Names for tables are a comfort: they must not get in the way of packets."""
        try:
            ovsdb.name_tables(tables, bridge)
        except OvsdbError as error:
            LOG.warning("tables of %s stay without names: %s", bridge, error)
