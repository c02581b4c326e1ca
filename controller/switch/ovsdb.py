# SPDX-License-Identifier: Apache-2.0

"""What is written to a host's OVSDB: the integration bridge, and the few other rows that are ours.

Transactions over a :class:`~tenantry.controller.switch.ovsdb_replica.Replica`, by the greenlet that
owns it. Rows are found by name, ours are marked in ``external_ids``, and nothing that is not ours
is ever removed. Each of these may end by OvsdbError.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tenantry.controller.feature.ovsdb_rows import (
    AttachedRow,
    BridgeRow,
    InterfaceRow,
    Plugged,
    Row,
)
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.switch.attached import OWNER
from tenantry.controller.switch.ovsdb_replica import BadValue, Change, OvsdbError
from tenantry.controller.switch.ovsdb_tables import (
    CLOSED,
    OPEN,
    REMOVED,
    STORE,
    Tables,
    interface_columns,
)
from tenantry.controller.switch.own_rows import MAX_BACKOFF

LOG = logging.getLogger(__name__)

TX_STEERING = "tx-steering"


def lock_of(bridge: str) -> str:
    """The lock of whoever writes to a bridge: an id, as RFC 7047, 3.1, has them."""
    return "tenantry_" + re.sub(r"\W", "_", bridge)


def make_bridge(tables: Tables, wanted: BridgeRow) -> None:
    """Make a bridge that is missing, and wait until it is there."""

    def write(change: Change) -> None:
        interface = change.insert("Interface", name=wanted.name, type="internal")
        port = change.insert("Port", name=wanted.name, interfaces=[interface], **CLOSED)
        ids = {**OWNER, STORE: wanted.store}
        bridge = change.insert("Bridge", name=wanted.name, external_ids=ids, **_settings(wanted))
        change.set(bridge, controller=_controllers(change, wanted))
        change.add(bridge, "ports", port)
        change.add(tables.replica.system, "bridges", bridge)

    tables.replica.apply(write)


def claim_bridge(tables: Tables, name: str, store: str) -> None:
    """Say of a bridge that nobody owns that this store's controller does. Of two that do so at the
    same moment one succeeds."""

    def write(change: Change) -> None:
        bridge = _bridge(tables, name)
        bridge.verify("external_ids")
        change.set_key(bridge, "external_ids", STORE, store)

    tables.replica.transact(write)


def set_bridge(tables: Tables, there: BridgeRow, wanted: BridgeRow) -> None:
    """Make a bridge of ours from what is there to what is wanted."""

    def write(change: Change) -> None:
        bridge = _bridge(tables, wanted.name)
        for name, value in _settings(wanted).items():
            if getattr(there, name) != getattr(wanted, name):
                change.set(bridge, **{name: value})
        if there.controllers != wanted.controllers:
            change.set(bridge, controller=_controllers(change, wanted))

    tables.replica.transact(write)


def choose_datapath(tables: Tables, name: str) -> None:
    """Give a bridge that ovs-vswitchd could not make the datapath that every host has: its kernel
    has no openvswitch module. The database does not tell: it lists "system" in any case."""
    tables.replica.apply(lambda change: None)  # until ovs-vswitchd has tried
    row = tables.bridges().get(name)
    if row is not None and name not in tables.datapaths().values():
        tables.replica.apply(lambda change: change.set(row, datapath_type="netdev"))
        LOG.warning(
            "%s gets the userspace datapath, for the kernel there has none: virtual machines must "
            "compute their own checksums (docs/hosts.md; `tenantry doctor` there)",
            name,
        )


def adopt(tables: Tables, bridge: str, store: str) -> None:
    """Say of a host that it is this store's controller's, whatever was said before."""

    def write(change: Change) -> None:
        if (row := tables.bridges().get(bridge)) is not None:
            change.set_key(row, "external_ids", STORE, store)
        tables.replica.system.delkey("external_ids", REMOVED)

    tables.replica.transact(write)


def _bridge(tables: Tables, name: str) -> Any:
    row = tables.bridges().get(name)
    if row is None:
        raise OvsdbError(f"there is no bridge {name}")
    return row


def _settings(wanted: BridgeRow) -> dict[str, Any]:
    """The columns that are as the fields of the value."""
    return {
        "datapath_type": wanted.datapath_type,
        "fail_mode": wanted.fail_mode,
        "protocols": sorted(wanted.protocols),
        "stp_enable": wanted.stp_enable,
        "rstp_enable": wanted.rstp_enable,
    }


def _controllers(change: Change, wanted: BridgeRow) -> list[Any]:
    return [
        change.insert(
            "Controller",
            external_ids=OWNER,
            **{name: int(v) if v.isdecimal() else v for name, v in controller if v},
        )
        for controller in sorted(wanted.controllers)
    ]


def name_tables(tables: Tables, bridge: str) -> None:
    """Give the bridge's tables their names, so that ``ovs-ofctl --names`` reads well."""
    row, names = _bridge(tables, bridge), {table.id: table.name for table in Table}
    if getattr(row, "flow_tables", names).keys() == names.keys():
        return

    def write(change: Change) -> None:
        rows = {
            id: change.insert("Flow_Table", name=name, external_ids=OWNER)
            for id, name in names.items()
        }
        change.set(row, flow_tables=rows)

    tables.replica.transact(write)


def find_us_soon(tables: Tables, port: int) -> None:
    """Have the database server look for us every second when we are gone, not every eight. We
    listen at ``port``."""

    def write(change: Change) -> None:
        for manager in _managers(tables, port):
            change.set(manager, max_backoff=MAX_BACKOFF)

    tables.replica.transact(write)


def _managers(tables: Tables, port: int) -> list[Any]:
    """The managers that lead to us."""
    return [
        row
        for row in tables.replica.rows("Manager")
        if row.target.startswith(("tcp:", "ssl:")) and row.target.endswith(f":{port}")
    ]


def close_ports(change: Change, tables: Tables, ports: Iterable[str], closed: bool = True) -> None:
    """Keep ports apart where a bridge forwards by itself (``NORMAL``), as it does without a
    controller if somebody has set another fail_mode; or no longer do."""
    for name in sorted(ports):
        if (row := tables.port(name)) is not None:
            change.set(row, **(CLOSED if closed else OPEN))


def set_plugged(change: Change, tables: Tables, wanted: Mapping[str, Plugged]) -> Iterator[str]:
    """What is ours of others' interfaces, by name; yields what these do not take, in words."""
    for name, plugged in wanted.items():
        if (row := tables.interface(name)) is None:
            continue
        try:
            change.set(row, mtu_request=plugged.mtu)
        except BadValue as error:
            yield f"interface {name} keeps its MTU: {error}"
        if plugged.tx_steering:
            change.set_key(row, "other_config", TX_STEERING, plugged.tx_steering)
        elif TX_STEERING in row.other_config:
            row.delkey("other_config", TX_STEERING)


def set_rows(tables: Tables, there: Mapping[str, Row], wanted: Mapping[str, Row]) -> set[str]:
    """Make rows of ours from what is ``there`` to what is ``wanted``, by name; the names of those
    in whose way somebody else's row is: that stays."""
    theirs: set[str] = set()
    if (before := _of(InterfaceRow, there)) != (after := _of(InterfaceRow, wanted)):
        theirs |= _set_interfaces(tables, before, after)
    if (found := _of(AttachedRow, there)) != (right := _of(AttachedRow, wanted)):
        theirs |= tables.attached.others(found)
        tables.replica.transact(lambda change: tables.attached.write(change, found, right))
    return theirs


def in_the_way(row: Row) -> str:
    """What is said of a row that is wanted where somebody else's is."""
    if isinstance(row, InterfaceRow):
        return f"an interface {row.name} is there that is not ours; rename it or remove it"
    at = f"{row.at.table} {row.at.name} {row.column}" if row.at else row.name
    return f"{at} leads to a row that is not ours; `ovs-vsctl clear {at}` makes room"


R = TypeVar("R", InterfaceRow, AttachedRow)


def _of(type: type[R], rows: Mapping[str, Row]) -> dict[str, R]:
    return {name: row for name, row in rows.items() if isinstance(row, type)}


def _set_interfaces(
    tables: Tables, there: Mapping[str, InterfaceRow], wanted: Mapping[str, InterfaceRow]
) -> set[str]:
    """The same for interfaces. One that is there without a bridge is made again, if it is on the
    bridge where it is wanted; if not, it is somebody else's."""
    moved = {
        name: row
        for name, row in there.items()
        if name not in wanted or wanted[name].bridge != row.bridge
    }
    theirs = {
        name
        for name, row in moved.items()
        if not row.bridge and not _is_on(tables, wanted[name].bridge, name)
    }

    def take(change: Change) -> None:
        _take(change, tables, moved.keys() - theirs)

    def put(change: Change) -> None:
        for name, row in sorted(wanted.items()):
            if name in theirs or there.get(name) == row:
                continue
            if name in there and name not in moved:
                change.set(tables.interface(name), **interface_columns(row))
                continue
            interface = change.insert("Interface", name=name, **interface_columns(row))
            port = change.insert("Port", name=name, interfaces=[interface])
            change.add(_bridge(tables, row.bridge), "ports", port)

    def both(change: Change) -> None:
        take(change)
        put(change)

    if any(not row.bridge for row in moved.values()):
        tables.replica.apply(take)  # ovs-vswitchd must see that it is gone, to make it again
        tables.replica.transact(put)
    else:
        tables.replica.transact(both)
    return theirs


def _is_on(tables: Tables, bridge: str, name: str) -> bool:
    port = tables.port(name)
    if port is None:
        return False
    there = ["ports", "includes", ["uuid", str(port.uuid)]]
    return tables.replica.holds("Bridge", [["name", "==", bridge], there])


def _take(change: Change, tables: Tables, names: Iterable[str]) -> None:
    """Take ports off whatever bridge they are on: nobody has their interfaces then."""
    gone = [port for name in names if (port := tables.port(name)) is not None]
    for bridge in tables.bridges().values():
        change.remove(bridge, "ports", gone)


def tidy(tables: Tables, bridge: str, port: int, ports: Iterable[str], *, stay_away: bool) -> None:
    """Take everything of ours out of a database, and let its server forget us, who listen at
    ``port``: the bridge too, if it was we who made it; else its ``ports`` are as they were.
    ``stay_away``: say there that we are to keep away."""

    def write(change: Change) -> None:
        system, row = tables.replica.system, tables.bridges().get(bridge)
        close_ports(change, tables, ports, False)
        _take(change, tables, tables.owned())
        tables.attached.take_all(change)
        if row is not None and row.external_ids.get("tenantry"):
            change.remove(system, "bridges", [row])
        elif row is not None:
            change.set(row, controller=[])
            row.delkey("external_ids", STORE)
        change.remove(system, "manager_options", _managers(tables, port))
        if stay_away:
            change.set_key(system, "external_ids", REMOVED, "true")

    tables.replica.transact(write)
