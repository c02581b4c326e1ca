# SPDX-License-Identifier: Apache-2.0

"""One host's OVSDB: what it says of its bridges and interfaces is told to the inventory, what it
says of itself is reported, and what is wanted there is kept as it must be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.feature.ovsdb_rows import BridgeRow, InterfaceRow, difference
from tenantry.controller.store import Unavailable
from tenantry.controller.switch import ovsdb
from tenantry.controller.switch.inventory import Inventory
from tenantry.controller.switch.jsonrpc import Peer
from tenantry.controller.switch.ovsdb import OvsdbError
from tenantry.controller.switch.own_rows import (
    IntegrationBridge,
    bridge_row,
    patch_rows,
    service_port_row,
)
from tenantry.controller.switch.tables import MONITORED, REMOVED, Changed, Tables
from tenantry.controller.switch.words import JOINED, HostReport, read_words

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""When what could not be written is tried again."""

MEND_SECONDS = 0.5
"""How often what somebody else changes is mended, at most."""


class Database:
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
        self.peer: Peer | None = None
        self.since: datetime | None = None
        self.seen: datetime | None = None
        """Since when it is connected, and until when it was."""
        self.refusal = ""
        """Why nothing is written there: words that say what to do."""
        self.given_up = False
        """Whether it was removed: nothing there is made again."""
        self._inventory = inventory
        self._bridge = bridge
        self._store = store
        self._report = report
        self._tables = Tables()
        self._mtus: dict[str, int] = {}  # still to be set, by interface
        self._rows: frozenset[InterfaceRow] | None = None  # None: nobody has said yet
        self._theirs: dict[str, InterfaceRow] = {}  # interfaces in the way of ours
        self._said: set[str] = set()  # what is said once
        self._broken: set[str] = set()  # interfaces of ours that must be made again
        self._written: dict[str, BridgeRow | InterfaceRow] = {}  # by name
        self._mended = -MEND_SECONDS  # when something was, last
        self._words: HostReport | None = None  # as they were reported
        self._locked: bool | None = None  # None: it was not asked for
        self._address = ""  # where the host connects from

    @property
    def alive(self) -> bool:
        return self.peer is not None and self.peer.alive

    def set_mtus(self, mtus: Mapping[str, int]) -> None:
        """Give interfaces, by name, these MTUs, in the background; as soon as that is possible."""
        self._mtus |= mtus
        self._look()

    def set_rows(self, rows: frozenset[InterfaceRow]) -> None:
        """Have these interfaces, and no others of their kind, likewise."""
        self._rows = rows
        self._look()

    def is_stranger(self, peer: Peer) -> bool:
        """Whether nobody is to be expected back who was here by this connection: there never was a
        bridge that connects to us."""
        return self.peer in (None, peer) and not self._controlled()

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
        if self.peer is None or not self.peer.alive or self._bridge is None:
            raise OvsdbError("it is not connected")
        if self._locked is False:
            raise OvsdbError(self.refusal)
        ovsdb.adopt(self.peer, self._bridge.name, self._store)
        self.given_up = False
        self._look()

    def remove(self, port: int) -> bool:
        """Take what is ours out, and keep away from then on; whether the host could be told. We
        listen for hosts at ``port``. Errors: OvsdbError."""
        if self.peer is None or not self.peer.alive or self._bridge is None or self.refusal:
            return False
        self.given_up = True
        ours = self._own_ports(self._tables.ports())
        try:
            ovsdb.tidy(
                *(self.peer, self._bridge.name, port, ours),
                stay_away=not self.remote.startswith(JOINED),
            )
        except OvsdbError:
            self.given_up = False
            raise
        return True

    def found_at(self, address: str) -> None:
        """Tunnels lead to this address, if the host says no other."""
        self._address = address
        self._look()

    def follow(self, peer: Peer, name: str, address: str, controller: str) -> None:
        """Until the peer is gone. It is the host ``name`` if it says nothing else; ``address`` is
        where it connects from, or ""; its bridge connects to ``controller``. Errors: OvsdbError,
        Unreachable, Refused."""
        runtime.spawn(peer.probe)
        requests = {table: [{"columns": [*names]}] for table, names in MONITORED.items()}
        self._tables = Tables()
        self._address = address
        self._written, self._theirs, self._said = {}, {}, set()
        self._locked = None
        changed = self._tables.apply(peer.call("monitor", [ovsdb.DATABASE, self.remote, requests]))
        said = self._tables.said()
        if said is None:
            raise OvsdbError("the OVSDB is empty; run `ovs-vsctl init` on its host")
        self.host = name or said.get("hostname") or said.get("system-id") or self.remote
        self.peer, self.since = peer, datetime.now(timezone.utc)
        LOG.info("OVSDB %s is connected", self.remote)
        synced = False
        try:
            while self.peer is peer:  # else the host is back by another connection
                if self._is_refused(peer):
                    synced, self._written = False, {}
                elif not synced:
                    self._tell_all()
                    synced = True
                else:
                    self._tell(changed)
                if synced:
                    self._report_words()
                    self._write(peer, controller)
                told = _next(peer)
                if told is None:
                    break
                changed = []
                for method, params in told:
                    if method == "update":
                        changed += self._tables.apply(params[1])
                    elif method in ("locked", "stolen"):  # RFC 7047, 4.1.9 and 4.1.10
                        self._locked = method == "locked"
        finally:
            self.seen = datetime.now(timezone.utc)

    def _look(self) -> None:
        """Wake whoever follows."""
        if self.peer is not None and self.peer.alive:
            self.peer.notifications.put(("look", None))

    # --- whose it is -------------------------------------------------------------------------

    def _is_refused(self, peer: Peer) -> bool:
        """Whether the host is not ours to write to; said once. Of several controllers that it would
        be, as those on two copies of one database, the first has OVSDB's lock (RFC 7047, 4.1.8)."""
        refusal, others = "", None
        bridge = self._tables.bridge(self._bridge.name) if self._bridge else None
        owner = bridge.store if bridge else ""
        if self.given_up or REMOVED in (self._tables.said() or ()):
            refusal = (
                f"host {self.host} was removed; `tenantry host adopt {self.host}` takes it back"
            )
        elif bridge and owner not in ("", self._store):
            refusal = (
                f"{bridge.name} of host {self.host} belongs to the controller of another store "
                f"({owner}; this one is {self._store}): nothing is written there. Is [store] url "
                f"right? If it is, `tenantry host adopt {self.host}` takes the bridge over"
            )
            others = self._tables.datapaths()
        if bridge_name := self._bridge.name if self._bridge else "":
            if refusal and self._locked is not None:
                ovsdb.unlock(peer, bridge_name)
                self._locked = None
            elif not refusal and self._locked is None:
                self._locked = ovsdb.lock(peer, bridge_name)
            if not refusal and not self._locked:
                refusal = (
                    f"another controller writes to {bridge_name} of host {self.host}, with this "
                    "database or a copy of it: stop that one first"
                )
                others = self._tables.datapaths()
        if refusal and refusal != self.refusal:
            LOG.warning("%s", refusal)
        if refusal:
            self._inventory.leave(self.remote, refusal, others)
        self.refusal = refusal
        return bool(refusal)

    # --- what is there -----------------------------------------------------------------------

    def _controlled(self) -> set[int]:
        """The bridges that connect to a controller, or will as soon as ours is written."""
        controlled = self._tables.controlled()
        ours = self._bridge.name if self._bridge else ""
        return {
            id
            for id, name in self._tables.datapaths().items()
            if name in controlled or name == ours
        }

    def _tell_all(self) -> None:
        interfaces = self._tables.rows("Interface")
        ids = {row["name"]: row["external_ids"] for row in interfaces}
        bridges = self._tables.datapaths()
        self._inventory.synced(self.remote, self.host, bridges, ids, self._controlled())
        for row in interfaces:
            self._inventory.tunnel(self.remote, row["name"], row["bfd_status"] or None)

    def _tell(self, changed: Changed) -> None:
        for table, row, there in changed:
            if table == "Interface":
                ids = row["external_ids"] if there else None
                self._inventory.interface(self.remote, row["name"], ids)
                status = row["bfd_status"] if there else None
                self._inventory.tunnel(self.remote, row["name"], status or None)
        if any(table == "Bridge" for table, _, _ in changed):
            self._inventory.bridges(self.remote, self._tables.datapaths(), self._controlled())

    def _report_words(self) -> None:
        words = read_words(
            self.host, self.remote, self._tables.said() or {}, self._address, self._controlled()
        )
        if words != self._words:
            try:
                self._report(words)
                self._words = words
            except Unavailable as error:
                LOG.warning("host %s: what it says of itself is not noted: %s", self.host, error)
                runtime.spawn_after(RETRY_SECONDS, self._look)

    # --- what is written ---------------------------------------------------------------------

    def _write(self, peer: Peer, controller: str) -> None:
        """All that differs from what is wanted. What cannot be written now is tried again."""
        mtus, self._mtus = self._mtus, {}
        by_hand: list[str] = []
        try:
            if self._bridge is not None and not self._write_bridge(
                peer, self._bridge, controller, by_hand
            ):
                self._mtus = mtus | self._mtus
                return
            closing = ovsdb.close_ports(self._open_ports())
            if mtus or closing:
                ovsdb.transact(peer, [*ovsdb.set_mtus(mtus), *closing])
            if self._bridge is not None:
                self._write_rows(peer, self._bridge, by_hand)
            self._name_tables(peer)
        except OvsdbError as error:
            self._mtus = mtus | self._mtus
            LOG.warning("host %s: not all is written: %s", self.host, error)
            runtime.spawn_after(RETRY_SECONDS, self._look)
            return
        for words in by_hand:
            LOG.warning("host %s: %s; mended", self.host, words)
        if by_hand:
            self._mended = time.monotonic()

    def _write_bridge(
        self, peer: Peer, bridge: IntegrationBridge, controller: str, by_hand: list[str]
    ) -> bool:
        """Whether the bridge is ours, and as it must be."""
        there = self._tables.bridge(bridge.name)
        if there is not None and not there.store:
            ovsdb.claim_bridge(peer, bridge.name, self._store)
            return False  # somebody else may have been faster: what comes back tells
        wanted = bridge_row(bridge, there, self._store, controller)
        if there != wanted:
            if there is not None or self._written.get(bridge.name) is not None:
                by_hand.append(difference(bridge.name, there, wanted))
                if self._is_too_soon():
                    return False
            if there is None:
                ovsdb.make_bridge(peer, wanted)
                if not by_hand:
                    LOG.info("host %s: %s is made", self.host, bridge.name)
            else:
                ovsdb.set_bridge(peer, there, wanted)
        if not bridge.datapath_type and bridge.name not in self._tables.datapaths().values():
            ovsdb.choose_datapath(peer, bridge.name)
        self._written[bridge.name] = wanted
        return True

    def _write_rows(self, peer: Peer, bridge: IntegrationBridge, by_hand: list[str]) -> None:
        wanted = {row.name: row for row in self._wanted_rows(bridge)}
        there = self._tables.interfaces(wanted)
        if self._rows is None:  # what else is there may be wanted
            there = {name: row for name, row in there.items() if name in wanted}
        theirs = {name for name, row in self._theirs.items() if there.get(name) == row}
        there = {name: row for name, row in there.items() if name not in theirs}
        wanted = {name: row for name, row in wanted.items() if name not in theirs}
        broken, self._broken = self._broken & there.keys(), set()
        there |= {name: there[name]._replace(bridge="") for name in broken}
        if there == wanted:
            return
        changed = [
            f"{name} was taken away" if name in broken else difference(name, there.get(name), row)
            for name, row in wanted.items()
            if there.get(name) != row and self._written.get(name) == row
        ]
        if changed and self._is_too_soon():
            return
        for name in ovsdb.set_rows(peer, there, wanted):
            self._theirs[name] = there[name]
            self._say(f"an interface {name} is there that is not ours; rename it or remove it")
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

    def _wanted_rows(self, bridge: IntegrationBridge) -> Iterator[InterfaceRow]:
        if bridge.service_port and self.remote.startswith("unix:"):
            yield service_port_row(bridge)
        if self._rows is not None:
            yield from self._rows
            there = {row["name"] for row in self._tables.rows("Bridge")}
            for network, to in (self._words.bridge_mappings if self._words else {}).items():
                if to in there:
                    yield from patch_rows(bridge, network, to)
                else:
                    self._say(f"maps {network} to {to}, which it does not have")

    def _own_ports(self, among: Iterable[str]) -> set[str]:
        """Those that are on the integration bridge."""
        name = self._bridge.name if self._bridge else ""
        datapaths = self._tables.datapaths().items()
        there = [self._inventory.names(id) for id, bridge in datapaths if bridge == name]
        return {port for port in among if port == name or any(port in each for each in there)}

    def _open_ports(self) -> set[str]:
        """Ports of the integration bridge between which ``NORMAL`` would forward: so would the
        bridge by itself, if somebody had it do so while we are away."""
        return self._own_ports(self._tables.open_ports)

    def _name_tables(self, peer: Peer) -> None:
        """Names for tables are a comfort: they must not get in the way of packets."""
        for bridge, names in self._tables.controlled().items():
            if not ovsdb.tables_named(names):
                try:
                    ovsdb.name_tables(peer, bridge)
                except OvsdbError as error:
                    LOG.warning("tables of %s stay without names: %s", bridge, error)


def _next(peer: Peer) -> list[tuple[str, Any]] | None:
    """What was told since, as (method, params); waits until something is, or somebody wakes us.
    None when the peer is gone."""
    told = []
    while (one := peer.notifications.get()) is not None:
        told.append(one)
        if peer.notifications.empty():
            return told
    return None
