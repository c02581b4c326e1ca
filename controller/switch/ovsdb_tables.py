# SPDX-License-Identifier: Apache-2.0

"""What is in one OVSDB, as values: the rows that concern us, by name, and how ours are marked.

The columns that are followed here are those that can be mended: what is not here, nobody sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from tenantry.controller.feature.ovsdb_rows import (
    BridgeRow,
    Columns,
    InterfaceRow,
    Named,
    Row,
    columns,
)
from tenantry.controller.switch.attached import COLUMNS, LEADING, OWNER, WANTED, Attached
from tenantry.controller.switch.ovsdb_replica import BadValue, Replica, takes

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

CLOSED = {"vlan_mode": "trunk", "trunks": [CLOSED_VLAN], "tag": []}
OPEN: Mapping[str, Any] = {"vlan_mode": [], "trunks": [], "tag": []}
"""Columns of a Port: it carries no VLAN but one that nobody has, or all. Flows do not care."""

COPIED: Mapping[str, Collection[str]] = {
    "Open_vSwitch": ("external_ids", "next_cfg", "cur_cfg", "bridges", "manager_options"),
    "Bridge": (
        *("name", "datapath_id", "datapath_type", "controller", "fail_mode", "protocols"),
        *("stp_enable", "rstp_enable", "flow_tables", "external_ids", "ports"),
        *LEADING["Bridge"],
    ),
    "Controller": (*CONTROLLER, "external_ids"),
    "Flow_Table": ("name", "external_ids"),
    "Interface": (
        *("name", "type", "options", "external_ids", "bfd", "bfd_status", "mac", "mtu_request"),
        "other_config",
    ),
    "Manager": ("target", "max_backoff"),
    "Port": ("name", "interfaces", "vlan_mode", "trunks", "tag", *LEADING["Port"]),
    **{table: (*columns, "external_ids") for table, columns in COLUMNS.items()},
}

ONLY_WRITTEN: Mapping[str, Collection[str]] = {
    "Open_vSwitch": ("bridges", "manager_options"),
    "Bridge": ("ports",),
}
"""Of these: sets that grow with every row, of which each change would be told as a whole."""

_COLUMN_OF = {"mtu": "mtu_request"}  # a field's, where its name is another


class Tables:
    """The tables of one database, and what has changed in them since somebody looked."""

    def __init__(self, replica: Replica, datapath_ids: dict[UUID, list[str]]) -> None:
        """``datapath_ids``: of bridges, as they were told before. Those are not written to disk: a
        database server that starts again has none, until ovs-vswitchd is back. Errors: OvsdbError.
        """
        self.replica = replica
        self._datapath_ids = datapath_ids
        self.open_ports: set[str] = set()
        """The ports to and from which ``NORMAL`` forwards."""
        self._changes: set[str] = set()  # interfaces that came, changed or went
        self._bridges_changed = False
        self._by_name: dict[str, dict[str, Any]] = {"Interface": {}, "Port": {}}
        self._marked: set[str] = set()
        self.attached = Attached(replica, self._named)
        replica.start(COPIED, ONLY_WRITTEN, self._changed)

    def _changed(self, event: str, row: Any, before: Any = None) -> None:
        """There are many ports, and few of them concern us: who asks for these does not look at
        all. A name may come again before it goes."""
        table = row._table.name
        if table == "Bridge":
            self._bridges_changed = True
            if row.datapath_id or hasattr(before, "datapath_id"):  # it is there, or was until now
                self._datapath_ids[row.uuid] = row.datapath_id
        if table not in self._by_name:
            return
        name, rows = row.name, self._by_name[table]
        if event != "delete":
            rows[name] = row
        elif rows.get(name) == row:
            del rows[name]
        there = rows.get(name)
        if table == "Interface":
            self._changes.add(name)
            kept, keep = self._marked, there and WANTED in there.external_ids
        else:
            kept, keep = self.open_ports, there and not _is_closed(there)
        (kept.add if keep else kept.discard)(name)

    def changes(self) -> tuple[set[str], bool]:
        """The interfaces that came, changed or went since this was asked, by name; and whether a
        bridge did."""
        changes = self._changes, self._bridges_changed
        self._changes, self._bridges_changed = set(), False
        return changes

    def said(self) -> Mapping[str, str]:
        """The host's own words. Errors: OvsdbError."""
        said: Mapping[str, str] = self.replica.system.external_ids
        return said

    def bridges(self) -> dict[str, Any]:
        """All rows of Bridge, by name."""
        return {row.name: row for row in self.replica.rows("Bridge")}

    def datapaths(self) -> dict[int, str]:
        """Every bridge that ovs-vswitchd has made, by datapath id: its name."""
        found = (
            (self._datapath_ids.get(row.uuid, ()), name) for name, row in self.bridges().items()
        )
        return {int(id, 16): name for ids, name in found for id in ids}

    def controlled(self) -> Collection[str]:
        """The names of the bridges that connect to a controller."""
        return [name for name, row in self.bridges().items() if row.controller]

    def bridge(self, name: str) -> BridgeRow | None:
        row = self.bridges().get(name)
        return row and BridgeRow(
            name,
            row.datapath_type,
            row.external_ids.get(STORE, ""),
            frozenset(_controller_columns(each) for each in row.controller),
            "".join(row.fail_mode),
            frozenset(row.protocols),
            getattr(row, "stp_enable", False),
            getattr(row, "rstp_enable", False),
        )

    def interface(self, name: str) -> Any:
        """A row of Interface, or None."""
        return self._by_name["Interface"].get(name)

    def port(self, name: str) -> Any:
        """A row of Port, or None."""
        return self._by_name["Port"].get(name)

    def _named(self, row: Named) -> Any:
        """A row of Bridge or Port, or None."""
        return self.bridges().get(row.name) if row.table == "Bridge" else self.port(row.name)

    def rows(self, wanted: Mapping[str, Row], broken: Collection[str] = ()) -> dict[str, Row]:
        """What is there of ours, and what is in the way of what is ``wanted``, by name;
        interfaces that are ``broken``, as if on no bridge."""
        interfaces = {
            name: row._replace(bridge="") if name in broken else row
            for name, row in self.interfaces(wanted).items()
        }
        return {**interfaces, **self.attached.there(wanted)}

    def interfaces(self, wanted: Iterable[str]) -> dict[str, InterfaceRow]:
        """Those that bear the mark, by name; and those that have a ``wanted`` name without it, as
        if on no bridge."""
        found = {}
        for name in self._marked.union(self._by_name["Interface"].keys() & wanted):
            row = self.interface(name)
            ids = dict(row.external_ids)
            bridge = ids.pop(WANTED, "")
            ids.pop("tenantry", None)
            found[name] = InterfaceRow(
                name,
                bridge,
                row.type,
                columns(row.options),
                columns(ids),
                columns(getattr(row, "bfd", {})),
                "".join(row.mac),
                sum(getattr(row, "mtu_request", ())),  # of one, or of none
            )
        return found

    def owned(self) -> list[str]:
        """The names of all interfaces that we made."""
        interfaces = self._by_name["Interface"].items()
        return [name for name, row in interfaces if row.external_ids.get("tenantry") == "true"]

    def ports(self) -> Iterable[str]:
        return self._by_name["Port"].keys()

    def possible(self, row: Row) -> Row | None:
        """What can be had of a row: this version may not have a column of it."""
        if not isinstance(row, InterfaceRow):
            return self.attached.possible(row)
        missing = {
            field: default
            for field, default in InterfaceRow._field_defaults.items()
            if _COLUMN_OF.get(field, field) not in self.replica.tables["Interface"].columns
        }
        return row._replace(**missing)

    def objection(self, row: Row) -> str:
        """What is wrong with a row that is to be written; "" if nothing is."""
        if not isinstance(row, InterfaceRow):
            return self.attached.objection(row)
        try:
            for column, value in interface_columns(row).items():
                takes(self.replica.tables["Interface"], column, value)
        except BadValue as error:
            return f"interface {row.name} is not written: {error}"
        return ""


def controller_columns(row: Mapping[str, Any]) -> Columns:
    """How a bridge is controlled, of the columns of Controller that are set."""
    return columns({name: str(row.get(name, "")) for name in CONTROLLER})


def _controller_columns(row: Any) -> Columns:
    values = ((name, getattr(row, name, [])) for name in CONTROLLER)
    several = ((name, value if isinstance(value, list) else [value]) for name, value in values)
    return controller_columns({name: value[0] for name, value in several if value})


def interface_columns(row: InterfaceRow) -> dict[str, Any]:
    """The columns of an interface of ours, but for its name, which nobody can change."""
    return {
        "type": row.type,
        "options": dict(row.options),
        "bfd": dict(row.bfd),
        "external_ids": {**OWNER, WANTED: row.bridge, **dict(row.external_ids)},
        "mac": row.mac or [],
        "mtu_request": row.mtu or [],
    }


def _is_closed(port: Any) -> bool:
    return (port.vlan_mode, port.trunks, port.tag) == (["trunk"], [CLOSED_VLAN], [])
