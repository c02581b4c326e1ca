"""One host's OVSDB: what it says of its bridges and interfaces is told to the inventory, what it
says of itself is reported, and what is wanted there is written."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any, NamedTuple

from controller import runtime
from controller.rows import InterfaceRow, columns
from controller.switch import ovsdb
from controller.switch.inventory import PHYSICAL_NETWORK, Inventory
from controller.switch.jsonrpc import Peer
from controller.switch.ovsdb import IntegrationBridge, OvsdbError

LOG = logging.getLogger(__name__)

TUNNEL_ADDRESS = "tenantry-encap-ip"
BRIDGE_MAPPINGS = "tenantry-bridge-mappings"
AVAILABILITY_ZONE = "tenantry-availability-zone"
GATEWAY_PRIORITY = "tenantry-gateway-priority"
"""Keys of a host's own words, in ``external_ids`` of its Open_vSwitch row: the address that tunnels
lead to (else that from which its OVSDB connects); PHYSICAL_NETWORK:BRIDGE, by commas; its zone
(else "nova", as in Neutron); a number, higher ones are gateways first."""

DEFAULT_ZONE = "nova"

_COLUMNS = {
    "Open_vSwitch": ["external_ids"],
    "Bridge": ["name", "datapath_id", "controller"],
    "Interface": ["name", "type", "options", "external_ids", "bfd", "bfd_status"],
}


class Words(NamedTuple):
    """What a host says of itself."""

    host: str
    remote: str  # a configured connection, or a name of ours for one that joined
    availability_zone: str
    tunnel_address: str | None
    gateway_priority: int
    bridge_mappings: Mapping[str, str]  # physical network: bridge
    datapaths: tuple[int, ...]  # of bridges that are told to connect to us


class Database:
    """Follows one OVSDB for as long as a connection lasts, and writes what is wanted there."""

    def __init__(
        self,
        remote: str,
        inventory: Inventory,
        bridge: IntegrationBridge | None,
        report: Callable[[Words], None],
    ) -> None:
        self.remote = remote
        self.host = ""
        self.peer: Peer | None = None
        self.since: datetime | None = None
        self.seen: datetime | None = None
        """Since when it is connected, and until when it was."""
        self._inventory = inventory
        self._bridge = bridge
        self._report = report
        self._tables: dict[str, dict[str, dict[str, Any]]] = {}
        self._mtus: dict[str, int] = {}  # still to be set, by interface
        self._rows: frozenset[InterfaceRow] | None = None  # None: nobody has said yet
        self._words: Words | None = None  # as they were reported
        self._address = ""
        self._writing = runtime.Lock()

    @property
    def alive(self) -> bool:
        return self.peer is not None and self.peer.alive

    def set_mtus(self, mtus: Mapping[str, int]) -> None:
        """Give interfaces, by name, these MTUs, in the background; as soon as that is possible."""
        self._mtus |= mtus
        runtime.spawn(self._write)

    def set_rows(self, rows: frozenset[InterfaceRow]) -> None:
        """Have these interfaces, and no others of their kind, likewise."""
        self._rows = rows
        runtime.spawn(self._write)

    def found_at(self, address: str) -> None:
        """Tunnels lead to this address, if the host says no other."""
        self._address = address
        if self._tables:
            self._report_words()

    def follow(self, peer: Peer, name: str, address: str, controller: str) -> None:
        """Until the peer is gone. It is the host ``name`` if it says nothing else; ``address`` is
        where it connects from, or ""; its bridge connects to ``controller``. Errors: OvsdbError,
        Unreachable, Refused."""
        if self._bridge is not None:
            ovsdb.ensure_bridge(peer, self._bridge, controller)
            if self._bridge.service_port and self.remote.startswith("unix:"):
                ovsdb.ensure_service_port(peer, self._bridge.name, self._bridge.service_port)
        runtime.spawn(peer.probe)
        requests = {table: [{"columns": names}] for table, names in _COLUMNS.items()}
        rows = peer.call("monitor", [ovsdb.DATABASE, self.remote, requests])
        self._tables = {table: {} for table in _COLUMNS}
        self._apply(rows)
        self._address = address
        self.peer, self.since = peer, datetime.now(timezone.utc)
        self._tell_all(name)
        while (told := peer.notifications.get()) is not None:
            method, params = told
            if self.peer is not peer:  # the host is back by another connection
                return
            if method == "update":
                self._tell(self._apply(params[1]))
        self.seen = datetime.now(timezone.utc)

    # --- what is there -----------------------------------------------------------------------

    def _apply(self, updates: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
        """Take updates of tables (RFC 7047, 4.1.6) in: which rows, as (table, row, still there).
        Of a name that was taken out and put in again, what went comes first."""
        changed = []
        for table, rows in updates.items():
            for uuid, update in rows.items():
                before = self._tables[table].pop(uuid, {})
                if "new" in update:
                    row = {name: _plain(value) for name, value in update["new"].items()}
                    self._tables[table][uuid] = row
                    changed.append((table, row, True))
                else:
                    changed.append((table, before, False))
        return sorted(changed, key=lambda change: change[2])

    def _bridges(self, *, controlled: bool = False) -> dict[int, str]:
        return {
            int(row["datapath_id"], 16): row["name"]
            for row in self._tables["Bridge"].values()
            if row["datapath_id"] and (row["controller"] or not controlled)
        }

    def _tell_all(self, name: str) -> None:
        system = next(iter(self._tables["Open_vSwitch"].values()), None)
        if system is None:
            raise OvsdbError("the OVSDB is empty; run `ovs-vsctl init` on its host")
        said = system["external_ids"]
        self.host = name or said.get("hostname") or said.get("system-id") or self.remote
        interfaces = self._tables["Interface"].values()
        ids = {row["name"]: row["external_ids"] for row in interfaces}
        controlled = self._bridges(controlled=True)
        self._inventory.synced(self.remote, self.host, self._bridges(), ids, controlled)
        for row in interfaces:
            self._inventory.tunnel(self.remote, row["name"], row["bfd_status"] or None)
        self._report_words()
        self._name_tables()
        runtime.spawn(self._write)

    def _tell(self, changed: Iterable[tuple[str, dict[str, Any], bool]]) -> None:
        tables = set()
        for table, row, there in changed:
            tables.add(table)
            if table == "Interface":
                ids = row["external_ids"] if there else None
                self._inventory.interface(self.remote, row["name"], ids)
                status = row["bfd_status"] if there else None
                self._inventory.tunnel(self.remote, row["name"], status or None)
        if "Bridge" in tables:
            self._inventory.bridges(self.remote, self._bridges())
            self._name_tables()
        if tables != {"Interface"}:
            self._report_words()
            runtime.spawn(self._write)

    def _report_words(self) -> None:
        systems = self._tables["Open_vSwitch"].values()
        said: Mapping[str, str] = next((row["external_ids"] for row in systems), {})
        words = Words(
            host=self.host,
            remote=self.remote,
            availability_zone=said.get(AVAILABILITY_ZONE) or DEFAULT_ZONE,
            tunnel_address=_tunnel_address(self.host, said.get(TUNNEL_ADDRESS) or self._address),
            gateway_priority=_priority(self.host, said.get(GATEWAY_PRIORITY) or "0"),
            bridge_mappings=dict(_mappings(said.get(BRIDGE_MAPPINGS) or "")),
            datapaths=tuple(sorted(self._bridges(controlled=True))),
        )
        if words != self._words:
            self._words = words
            self._report(words)

    # --- what is written ---------------------------------------------------------------------

    def _write(self) -> None:
        """All that is still to be written. What cannot be now, is when the host is back."""
        with self._writing:
            peer = self.peer
            if peer is None or not peer.alive:
                return
            mtus, self._mtus = self._mtus, {}
            try:
                if mtus:
                    ovsdb.set_mtus(peer, mtus)
                if self._rows is not None and self._bridge is not None:
                    there = {row.name: row for row in self._rows_there()}
                    wanted = {row.name: row for row in (*self._rows, *self._patches())}
                    if there != wanted:
                        ovsdb.set_rows(peer, there, wanted)
            except OvsdbError as error:
                self._mtus = mtus | self._mtus
                LOG.warning("%s: not all is written: %s", self.remote, error)

    def _rows_there(self) -> Iterator[InterfaceRow]:
        for row in self._tables["Interface"].values():
            ids = dict(row["external_ids"])
            bridge = ids.pop(ovsdb.WANTED, None)
            if bridge is not None:
                ids.pop("tenantry", None)
                of = (row["options"], ids, row["bfd"])
                yield InterfaceRow(row["name"], bridge, row["type"], *map(columns, of))

    def _patches(self) -> Iterator[InterfaceRow]:
        """Patch ports to the bridges that lead to physical networks."""
        assert self._bridge is not None
        there = {row["name"] for row in self._tables["Bridge"].values()}
        for network, bridge in (self._words.bridge_mappings if self._words else {}).items():
            if bridge not in there:
                LOG.warning("%s maps %s to %s, which it does not have", self.host, network, bridge)
                continue
            tag = blake2b(network.encode(), digest_size=5).hexdigest()
            ours, theirs = f"to-{tag}", f"of-{tag}"
            leads = ((PHYSICAL_NETWORK, network),)
            name = self._bridge.name
            yield InterfaceRow(ours, name, "patch", (("peer", theirs),), leads)
            yield InterfaceRow(theirs, bridge, "patch", (("peer", ours),))

    def _name_tables(self) -> None:
        """Names for tables are a comfort: they must not get in the way of packets."""
        for name in self._bridges(controlled=True).values():
            runtime.spawn(self._try_name_tables, name)

    def _try_name_tables(self, bridge: str) -> None:
        try:
            if self.peer is not None:
                ovsdb.name_tables(self.peer, bridge)
        except OvsdbError as error:
            LOG.warning("tables of %s stay without names: %s", bridge, error)


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _tunnel_address(host: str, text: str) -> str | None:
    if text and not is_address(text):
        LOG.warning("%s: %s=%s is no IP address: no tunnels lead there", host, TUNNEL_ADDRESS, text)
        return None
    return None if not text or ipaddress.ip_address(text).is_loopback else text


def _priority(host: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        LOG.warning("%s: %s=%s is no number: taken for 0", host, GATEWAY_PRIORITY, text)
        return 0


def _mappings(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(","):
        network, _, bridge = item.strip().partition(":")
        if network and bridge:
            yield network, bridge


def _plain(value: Any) -> Any:
    """A value of OVSDB (RFC 7047, 5.1) as Python has it; a set of none or one as that or ""."""
    if isinstance(value, list):
        kind, items = value
        if kind == "map":
            return dict(items)
        if kind == "set":
            return items[0] if len(items) == 1 else [*items] or ""
    return value
