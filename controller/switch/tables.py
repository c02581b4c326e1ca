# SPDX-License-Identifier: Apache-2.0

"""What a monitor tells of one OVSDB (RFC 7047, 4.1.5), and the rows there that are ours, as values.

The columns that are followed here are those that can be mended: what is not here, nobody sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tenantry.controller.feature.ovsdb_rows import BridgeRow, Columns, InterfaceRow, columns

OWNER = {"tenantry": "true"}  # external_ids of rows that we made
WANTED = "tenantry-row"
"""The key in ``external_ids`` of interfaces that are compared with what is wanted: on which bridge
they are."""

STORE = "tenantry-store"
"""The key in a bridge's ``external_ids`` that says of which store's controller it is."""

REMOVED = "tenantry-removed"
"""The key in ``external_ids`` of the Open_vSwitch row that says that this host was removed."""

# All that says how a bridge is controlled: a silent controller is as good as none.
CONTROLLER = (
    *("target", "connection_mode", "max_backoff", "inactivity_probe", "type"),
    *("enable_async_messages", "controller_queue_size"),
    *("controller_rate_limit", "controller_burst_limit"),
)

CLOSED_VLAN = 4095
"""The VLAN id that IEEE 802.1Q keeps for nobody: a trunk of it alone carries nothing."""

MONITORED: Mapping[str, Collection[str]] = {
    "Open_vSwitch": ["external_ids"],
    "Bridge": [
        *("name", "datapath_id", "datapath_type", "controller", "fail_mode", "protocols"),
        *("stp_enable", "rstp_enable", "flow_tables", "external_ids"),
    ],
    "Controller": CONTROLLER,
    "Port": ["name", "vlan_mode", "trunks", "tag"],
    "Interface": [
        "name",
        "type",
        "options",
        "external_ids",
        "bfd",
        "bfd_status",
        "mac",
        "mtu_request",
    ],
}

Changed = list[tuple[str, dict[str, Any], bool]]
"""Rows that came, changed or went, as (table, row, still there)."""


class Tables:
    """The rows of one database, by table."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in MONITORED}
        self.open_ports: set[str] = set()
        """The ports to and from which ``NORMAL`` forwards."""
        self._ports: dict[str, dict[str, Any]] = {}
        self._interfaces: dict[str, dict[str, Any]] = {}
        self._marked: set[str] = set()

    def apply(self, updates: Mapping[str, Any]) -> Changed:
        """Take updates in (RFC 7047, 4.1.6). Of a name that was taken out and put in again, what
        went comes first."""
        changed = []
        for table, rows in updates.items():
            for uuid, update in rows.items():
                before = self._rows[table].pop(uuid, {})
                if "new" in update:
                    row = {name: _plain(value) for name, value in update["new"].items()}
                    self._rows[table][uuid] = row
                    self._index(table, before, row)
                    changed.append((table, row, True))
                else:
                    self._index(table, before, None)
                    changed.append((table, before, False))
        return sorted(changed, key=lambda change: change[2])

    def rows(self, table: str) -> Collection[dict[str, Any]]:
        return self._rows[table].values()

    def said(self) -> Mapping[str, str] | None:
        """The host's own words; None if the database was never initialised."""
        system = next(iter(self.rows("Open_vSwitch")), None)
        return system["external_ids"] if system else None

    def datapaths(self) -> dict[int, str]:
        """Every bridge that ovs-vswitchd has made, by datapath id: its name."""
        return {
            int(row["datapath_id"], 16): row["name"]
            for row in self.rows("Bridge")
            if row["datapath_id"]
        }

    def controlled(self) -> dict[str, Mapping[int, str]]:
        """The bridges that connect to a controller: the names of their tables, by number."""
        return {row["name"]: row["flow_tables"] for row in self.rows("Bridge") if row["controller"]}

    def bridge(self, name: str) -> BridgeRow | None:
        row = next((row for row in self.rows("Bridge") if row["name"] == name), None)
        if row is None:
            return None
        return BridgeRow(
            name,
            row["datapath_type"],
            row["external_ids"].get(STORE, ""),
            frozenset(
                controller_columns(self._rows["Controller"].get(uuid, {}))
                for uuid in _several(row["controller"])
            ),
            row["fail_mode"],
            frozenset(_several(row["protocols"])),
            row["stp_enable"],
            row["rstp_enable"],
        )

    def interfaces(self, wanted: Iterable[str]) -> dict[str, InterfaceRow]:
        """Those that bear the mark, by name; and those that have a ``wanted`` name without it, as
        if on no bridge."""
        found = {}
        for name in self._marked.union(self._interfaces.keys() & wanted):
            row = self._interfaces[name]
            ids = dict(row["external_ids"])
            bridge = ids.pop(WANTED, "")
            ids.pop("tenantry", None)
            found[name] = InterfaceRow(
                name,
                bridge,
                row["type"],
                columns(row["options"]),
                columns(ids),
                columns(row["bfd"]),
                row["mac"],
                row["mtu_request"] or 0,
            )
        return found

    def ports(self) -> Iterable[str]:
        return self._ports.keys()

    def _index(self, table: str, before: dict[str, Any], row: dict[str, Any] | None) -> None:
        """There are many ports, and few of them concern us: who asks for these does not look at
        all. A name may come again before it goes."""
        if table == "Interface":
            name = before.get("name", "")
            if self._interfaces.get(name) is before:
                del self._interfaces[name]
                self._marked.discard(name)
            if row is not None:
                self._interfaces[row["name"]] = row
                keep = self._marked.add if WANTED in row["external_ids"] else self._marked.discard
                keep(row["name"])
        elif table == "Port":
            name = before.get("name", "")
            if self._ports.get(name) is before:
                del self._ports[name]
                self.open_ports.discard(name)
            if row is not None:
                self._ports[row["name"]] = row
                closed = (row["vlan_mode"], row["trunks"], row["tag"]) == ("trunk", CLOSED_VLAN, "")
                keep = self.open_ports.discard if closed else self.open_ports.add
                keep(row["name"])


def controller_columns(row: Mapping[str, Any]) -> Columns:
    """How a bridge is controlled, of a row of Controller."""
    return columns({name: str(row.get(name, "")) for name in CONTROLLER})


def _several(value: Any) -> list[Any]:
    """A set, of which :func:`_plain` has made less."""
    if isinstance(value, list):
        return value
    return [] if value == "" else [value]


def _plain(value: Any) -> Any:
    """A value of OVSDB (RFC 7047, 5.1) as Python has it; a set of none or one as that or ""."""
    if isinstance(value, list):
        kind, items = value
        if kind == "map":
            return dict(items)
        if kind == "set":
            return _plain(items[0]) if len(items) == 1 else [_plain(item) for item in items] or ""
        return items  # a UUID
    return value
