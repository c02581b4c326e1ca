# SPDX-License-Identifier: Apache-2.0

"""What is written to a host's OVSDB: the integration bridge, and the few other rows that are ours.

Plain transactions (RFC 7047, 4.1.3) over a connection that somebody else holds. Rows are found by
name, ours are marked in ``external_ids``, and nothing that is not ours is ever removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tenantry.controller.feature.ovsdb_rows import BridgeRow, InterfaceRow
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.switch.jsonrpc import Peer, Refused, Unreachable
from tenantry.controller.switch.own_rows import MAX_BACKOFF
from tenantry.controller.switch.tables import CLOSED_VLAN, OWNER, REMOVED, STORE, WANTED

LOG = logging.getLogger(__name__)

DATABASE = "Open_vSwitch"

CLOSED = {"vlan_mode": "trunk", "trunks": CLOSED_VLAN, "tag": ["set", []]}
OPEN = {"vlan_mode": ["set", []], "trunks": ["set", []], "tag": ["set", []]}
"""Columns of a Port: it carries no VLAN but one that nobody has, or all. Flows do not care."""


class OvsdbError(Exception):
    """The database is out of reach, or refused a transaction; says which and why."""


# --- plain transactions ----------------------------------------------------------------------


def transact(peer: Peer, operations: list[Mapping[str, Any]]) -> list[Any]:
    """One transaction, all or nothing. Errors: OvsdbError."""
    try:
        results: list[Any] = peer.call("transact", [DATABASE, *operations])
    except (Unreachable, Refused) as error:
        raise OvsdbError(f"OVSDB: {error}") from error
    for result in results:
        if isinstance(result, Mapping) and "error" in result:
            raise OvsdbError(f"OVSDB: {result['error']}: {result.get('details', '')}")
    return results


def make_bridge(peer: Peer, wanted: BridgeRow) -> None:
    """Make a bridge that is missing."""
    port = {
        "name": wanted.name,
        "interfaces": ["set", [["named-uuid", "interface"]]],
        **CLOSED,
    }
    row = {
        "name": wanted.name,
        "external_ids": _map({**OWNER, STORE: wanted.store}),
        "ports": ["set", [["named-uuid", "port"]]],
        **_settings(wanted),
        **_controllers(wanted),
    }
    operations = [
        *_insert_controllers(wanted),
        _insert("Interface", "interface", {"name": wanted.name, "type": "internal"}),
        _insert("Port", "port", port),
        _insert("Bridge", "bridge", row),
        _mutate("Open_vSwitch", ["bridges", "insert", ["set", [["named-uuid", "bridge"]]]]),
    ]
    _apply(peer, operations)


def claim_bridge(peer: Peer, name: str, store: str) -> None:
    """Say of a bridge that nobody owns that this store's controller does. Of two that do so at the
    same moment one succeeds: inserting changes no key that is there (RFC 7047, 5.1)."""
    claim = _mutate("Bridge", ["external_ids", "insert", _map({STORE: store})])
    transact(peer, [{**claim, "where": [["name", "==", name]]}])


def set_bridge(peer: Peer, there: BridgeRow, wanted: BridgeRow) -> None:
    """Make a bridge of ours from what is there to what is wanted."""
    row = {
        name: value
        for name, value in _settings(wanted).items()
        if getattr(there, name) != getattr(wanted, name)
    }
    operations: list[Mapping[str, Any]] = []
    if there.controllers != wanted.controllers:
        operations += _insert_controllers(wanted)
        row |= _controllers(wanted)
    transact(peer, [*operations, _update("Bridge", [["name", "==", wanted.name]], row)])


def choose_datapath(peer: Peer, name: str) -> None:
    """Give a bridge that ovs-vswitchd could not make the datapath that every host has: its kernel
    has no openvswitch module. The database does not tell: it lists "system" in any case."""
    same_name = [["name", "==", name]]
    _apply(peer, [])  # until ovs-vswitchd has tried
    (made,) = transact(peer, [_select("Bridge", same_name, ["datapath_id"])])
    if made["rows"] and not made["rows"][0]["datapath_id"][1]:
        _apply(peer, [_update("Bridge", same_name, {"datapath_type": "netdev"})])
        LOG.warning(
            "%s gets the userspace datapath, for the kernel there has none: virtual machines must "
            "compute their own checksums (docs/hosts.md; `tenantry doctor` there)",
            name,
        )


def lock(peer: Peer, bridge: str) -> bool:
    """Ask to be the one that writes to a bridge; whether we are, by now. If not, the peer tells
    when we are. Whoever hangs up unlocks. Errors: OvsdbError."""
    try:
        return bool(peer.call("lock", [_lock_of(bridge)])["locked"])
    except (Unreachable, Refused) as error:
        raise OvsdbError(f"OVSDB: {error}") from error


def unlock(peer: Peer, bridge: str) -> None:
    """Let others write to a bridge. Errors: OvsdbError."""
    try:
        peer.call("unlock", [_lock_of(bridge)])
    except (Unreachable, Refused) as error:
        raise OvsdbError(f"OVSDB: {error}") from error


def _lock_of(bridge: str) -> str:
    """An id, as RFC 7047, 3.1, has them."""
    return "tenantry_" + re.sub(r"\W", "_", bridge)


def adopt(peer: Peer, bridge: str, store: str) -> None:
    """Say of a host that it is this store's controller's, whatever was said before."""
    key = ["set", [STORE]]
    changes = [["external_ids", "delete", key], ["external_ids", "insert", _map({STORE: store})]]
    owned = {**_mutate("Bridge", *changes), "where": [["name", "==", bridge]]}
    stay = _mutate("Open_vSwitch", ["external_ids", "delete", ["set", [REMOVED]]])
    transact(peer, [owned, stay])


def _settings(wanted: BridgeRow) -> dict[str, Any]:
    """The columns that are as the fields of the value."""
    return {
        "datapath_type": wanted.datapath_type,
        "fail_mode": wanted.fail_mode,
        "protocols": ["set", sorted(wanted.protocols)],
        "stp_enable": wanted.stp_enable,
        "rstp_enable": wanted.rstp_enable,
    }


def _controllers(wanted: BridgeRow) -> dict[str, Any]:
    names = [f"controller{number}" for number in range(len(wanted.controllers))]
    return {"controller": ["set", [["named-uuid", name] for name in names]]}


def _insert_controllers(wanted: BridgeRow) -> list[Mapping[str, Any]]:
    return [
        _insert(
            "Controller",
            f"controller{number}",
            {
                "external_ids": _map(OWNER),
                **{name: int(v) if v.isdecimal() else v for name, v in controller if v},
            },
        )
        for number, controller in enumerate(sorted(wanted.controllers))
    ]


def _apply(peer: Peer, operations: list[Mapping[str, Any]]) -> None:
    """Commit, and wait until ovs-vswitchd has done it, as ``ovs-vsctl`` does."""
    system = _select("Open_vSwitch", [], ["next_cfg"])
    *_, after = transact(
        peer, [*operations, _mutate("Open_vSwitch", ["next_cfg", "+=", 1]), system]
    )
    if not after["rows"]:
        raise OvsdbError("the OVSDB is empty; run `ovs-vsctl init` on its host")
    number = after["rows"][0]["next_cfg"]
    reached = {
        "op": "wait",
        "timeout": 10_000,
        "table": "Open_vSwitch",
        "where": [["cur_cfg", "<", number]],
        "columns": ["cur_cfg"],
        "until": "==",
        "rows": [],
    }
    transact(peer, [reached])


def name_tables(peer: Peer, bridge: str) -> None:
    """Give the bridge's tables their names, so that ``ovs-ofctl --names`` reads well."""
    inserts = [
        _insert("Flow_Table", f"t{table.id}", {"name": table.name, "external_ids": _map(OWNER)})
        for table in Table
    ]
    names = ["map", [[table.id, ["named-uuid", f"t{table.id}"]] for table in Table]]
    transact(peer, [*inserts, _update("Bridge", [["name", "==", bridge]], {"flow_tables": names})])


def tables_named(names: Mapping[int, str]) -> bool:
    return names.keys() == {table.id for table in Table}


def find_us_soon(peer: Peer, port: int) -> None:
    """Have the database server look for us every second when we are gone, not every eight. We
    listen at ``port``."""
    for target in _managers(peer, port):
        same = [["target", "==", target]]
        transact(peer, [_update("Manager", same, {"max_backoff": MAX_BACKOFF})])


def _managers(peer: Peer, port: int) -> dict[str, Any]:
    """The managers that lead to us, by target: the UUID of each."""
    (found,) = transact(peer, [_select("Manager", [], ["target", "_uuid"])])
    return {
        row["target"]: row["_uuid"]
        for row in found["rows"]
        if row["target"].startswith(("tcp:", "ssl:")) and row["target"].endswith(f":{port}")
    }


def set_mtus(mtus: Mapping[str, int]) -> list[Mapping[str, Any]]:
    """Operations that give interfaces, by name, these MTUs."""
    return [
        _update("Interface", [["name", "==", name]], {"mtu_request": mtu})
        for name, mtu in mtus.items()
    ]


def close_ports(ports: Iterable[str], closed: bool = True) -> list[Mapping[str, Any]]:
    """Operations that keep ports apart where a bridge forwards by itself (``NORMAL``), as it does
    without a controller if somebody has set another fail_mode; or that no longer do."""
    row = CLOSED if closed else OPEN
    return [_update("Port", [["name", "==", name]], row) for name in sorted(ports)]


def set_rows(
    peer: Peer, there: Mapping[str, InterfaceRow], wanted: Mapping[str, InterfaceRow]
) -> set[str]:
    """Make interfaces of ours from what is ``there`` to what is ``wanted``, by name. One that is
    there without a bridge is made again, if it is on the bridge where it is wanted; if not, it is
    somebody else's, and stays: the names of these."""
    moved = {
        name: row
        for name, row in there.items()
        if name not in wanted or wanted[name].bridge != row.bridge
    }
    uuids = _ports(peer, moved)
    theirs = {
        name
        for name, row in moved.items()
        if not row.bridge and not _on_bridge(peer, wanted[name].bridge, uuids[name])
    }
    gone = ["set", [uuid for name, uuid in uuids.items() if name not in theirs]]
    operations: list[Mapping[str, Any]] = [_mutate("Bridge", ["ports", "delete", gone])]
    if any(not row.bridge for row in moved.values()):
        _apply(peer, operations)  # ovs-vswitchd must see that it is gone, to make it again
        operations = []
    for number, (name, row) in enumerate(sorted(wanted.items())):
        if name in theirs or there.get(name) == row:
            continue
        columns = {
            "type": row.type,
            "options": _map(dict(row.options)),
            "bfd": _map(dict(row.bfd)),
            "external_ids": _map({**OWNER, WANTED: row.bridge, **dict(row.external_ids)}),
            "mac": row.mac or ["set", []],
            "mtu_request": row.mtu or ["set", []],
        }
        if name in there and name not in moved:
            operations.append(_update("Interface", [["name", "==", name]], columns))
            continue
        interface, port = f"interface{number}", f"port{number}"
        named = {"name": name, "interfaces": ["set", [["named-uuid", interface]]]}
        operations += [
            _insert("Interface", interface, {"name": name, **columns}),
            _insert("Port", port, named),
            {
                **_mutate("Bridge", ["ports", "insert", ["set", [["named-uuid", port]]]]),
                "where": [["name", "==", row.bridge]],
            },
        ]
    transact(peer, operations)
    return theirs


def _ports(peer: Peer, names: Iterable[str]) -> dict[str, Any]:
    """The UUIDs of ports, by name."""
    wanted = [*names]
    if not wanted:
        return {}
    answers = transact(peer, [_select("Port", [["name", "==", n]], ["_uuid"]) for n in wanted])
    found = zip(wanted, answers, strict=True)
    return {name: row["_uuid"] for name, answer in found for row in answer["rows"]}


def _on_bridge(peer: Peer, bridge: str, port: Any) -> bool:
    where = [["name", "==", bridge], ["ports", "includes", ["set", [port]]]]
    (found,) = transact(peer, [_select("Bridge", where, ["_uuid"])])
    return bool(found["rows"])


def tidy(peer: Peer, bridge: str, port: int, ports: Iterable[str], *, stay_away: bool) -> None:
    """Take everything of ours out of a database, and let its server forget us, who listen at
    ``port``: the bridge too, if it was we who made it; else its ``ports`` are as they were.
    ``stay_away``: say there that we are to keep away."""
    found, interfaces = transact(
        peer,
        [
            _select("Bridge", [["name", "==", bridge]], ["_uuid", "external_ids"]),
            _select("Interface", [["external_ids", "includes", _map(OWNER)]], ["name"]),
        ],
    )
    names = [row["name"] for row in interfaces["rows"]]
    ours = ["set", [*_ports(peer, names).values()]]
    operations: list[Mapping[str, Any]] = [*close_ports(ports, False)]
    operations.append(_mutate("Bridge", ["ports", "delete", ours]))
    for row in found["rows"]:
        if dict(row["external_ids"][1]).get("tenantry"):
            gone = ["set", [row["_uuid"]]]
            operations.append(_mutate("Open_vSwitch", ["bridges", "delete", gone]))
        else:
            same = [["name", "==", bridge]]
            operations.append(_update("Bridge", same, {"controller": ["set", []]}))
            forgotten = _mutate("Bridge", ["external_ids", "delete", ["set", [STORE]]])
            operations.append({**forgotten, "where": same})
    managed = ["set", [*_managers(peer, port).values()]]
    operations.append(_mutate("Open_vSwitch", ["manager_options", "delete", managed]))
    if stay_away:
        marked = ["external_ids", "insert", _map({REMOVED: "true"})]
        operations.append(_mutate("Open_vSwitch", marked))
    transact(peer, operations)


def _map(values: Mapping[str, str]) -> list[Any]:
    return ["map", [list(item) for item in values.items()]]


def _select(table: str, where: list[Any], columns: list[str]) -> Mapping[str, Any]:
    return {"op": "select", "table": table, "where": where, "columns": columns}


def _insert(table: str, name: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def _update(table: str, where: list[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"op": "update", "table": table, "where": where, "row": row}


def _mutate(table: str, *mutations: list[Any]) -> Mapping[str, Any]:
    return {"op": "mutate", "table": table, "where": [], "mutations": [*mutations]}
