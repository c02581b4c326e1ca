"""What is written to a host's OVSDB: the integration bridge, and the few other rows that are ours.

Plain transactions (RFC 7047, 4.1.3) over a connection that somebody else holds. Rows are found by
name, ours are marked in ``external_ids``, and nothing that is not ours is ever removed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.flow import value_text
from controller.model.addresses import SERVICE_PORT_MAC, SERVICE_PORT_MTU
from controller.pipeline import Table
from controller.rows import InterfaceRow
from controller.switch.inventory import SERVICE
from controller.switch.jsonrpc import Peer, Refused, Unreachable

LOG = logging.getLogger(__name__)

DATABASE = "Open_vSwitch"
OWNER = {"tenantry": "true"}  # external_ids of rows that we made
WANTED = "tenantry-row"
"""The key in ``external_ids`` of interfaces that are compared with what is wanted."""

MAX_BACKOFF = 1000
"""Milliseconds between two tries of Open vSwitch to reach us: we are found within a second."""


class OvsdbError(Exception):
    """The database is out of reach, or refused a transaction; says which and why."""


@dataclass(frozen=True)
class IntegrationBridge:
    """The bridge to make where it is missing, and to keep as it must be."""

    name: str
    datapath_type: str  # "system" or "netdev"; "" is what the host can do
    service_port: str = ""  # an interface to make there, if the host is ours; "" makes none


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


def ensure_bridge(peer: Peer, bridge: IntegrationBridge, controller: str) -> None:
    """Make the integration bridge if it is missing, and set what must hold for it:
    ``fail_mode=secure`` (a switch without us stays closed, and keeps its flows), OpenFlow 1.4, and
    us as its ``controller``, e.g. tcp:127.0.0.1:6653."""
    same_name = [["name", "==", bridge.name]]
    (found,) = transact(peer, [_select("Bridge", same_name, ["_uuid"])])
    settings: dict[str, Any] = {
        "fail_mode": "secure",
        "protocols": ["set", ["OpenFlow14"]],
        "controller": ["set", [["named-uuid", "controller"]]],
    }
    row = {
        "target": controller,
        # Our OpenFlow never goes through the bridge that it programs.
        "connection_mode": "out-of-band",
        "max_backoff": MAX_BACKOFF,
        "external_ids": _map(OWNER),
    }
    operations = [_insert("Controller", "controller", row)]
    if found["rows"]:
        transact(peer, [*operations, _update("Bridge", same_name, settings)])
    else:
        port = {"name": bridge.name, "interfaces": ["set", [["named-uuid", "interface"]]]}
        row = {
            "name": bridge.name,
            "datapath_type": bridge.datapath_type or "system",
            "external_ids": _map(OWNER),
            "ports": ["set", [["named-uuid", "port"]]],
            **settings,
        }
        operations += [
            _insert("Interface", "interface", {"name": bridge.name, "type": "internal"}),
            _insert("Port", "port", port),
            _insert("Bridge", "bridge", row),
            _mutate("Open_vSwitch", ["bridges", "insert", ["set", [["named-uuid", "bridge"]]]]),
        ]
        _apply(peer, operations)
    if not found["rows"] and not bridge.datapath_type:
        (made,) = transact(peer, [_select("Bridge", same_name, ["datapath_id"])])
        if not made["rows"][0]["datapath_id"][1]:
            # The kernel has no openvswitch module. The database does not tell: it lists the
            # "system" datapath in any case.
            _apply(peer, [_update("Bridge", same_name, {"datapath_type": "netdev"})])


def ensure_service_port(peer: Peer, bridge: str, name: str) -> None:
    """Make the service port, an internal interface, on the integration bridge if it is missing."""
    same_name = [["name", "==", name]]
    mtu = {"mtu_request": SERVICE_PORT_MTU}
    (updated,) = transact(peer, [_update("Interface", same_name, mtu)])
    if updated["count"]:
        return
    interface = {
        **mtu,
        "name": name,
        "type": "internal",
        "mac": value_text("eth_src", SERVICE_PORT_MAC),
        "external_ids": _map({**OWNER, SERVICE: "true"}),
    }
    port = {"name": name, "interfaces": ["set", [["named-uuid", "interface"]]]}
    joined = {
        **_mutate("Bridge", ["ports", "insert", ["set", [["named-uuid", "port"]]]]),
        "where": [["name", "==", bridge]],
    }
    made = [_insert("Interface", "interface", interface), _insert("Port", "port", port), joined]
    _apply(peer, made)


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
    same_name = [["name", "==", bridge]]
    (found,) = transact(peer, [_select("Bridge", same_name, ["flow_tables"])])
    ids = {table.id for table in Table}
    if not found["rows"] or {id for id, _ in found["rows"][0]["flow_tables"][1]} == ids:
        return
    inserts = [
        _insert("Flow_Table", f"t{table.id}", {"name": table.name, "external_ids": _map(OWNER)})
        for table in Table
    ]
    names = ["map", [[table.id, ["named-uuid", f"t{table.id}"]] for table in Table]]
    transact(peer, [*inserts, _update("Bridge", same_name, {"flow_tables": names})])


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


def set_mtus(peer: Peer, mtus: Mapping[str, int]) -> None:
    """Give interfaces, by name, these MTUs."""
    transact(
        peer,
        [
            _update("Interface", [["name", "==", name]], {"mtu_request": mtu})
            for name, mtu in mtus.items()
        ],
    )


def set_rows(
    peer: Peer, there: Mapping[str, InterfaceRow], wanted: Mapping[str, InterfaceRow]
) -> None:
    """Make interfaces of ours from what is ``there`` to what is ``wanted``, by name."""
    gone = [
        row
        for name, row in there.items()
        if name not in wanted or wanted[name].bridge != row.bridge
    ]
    operations: list[Mapping[str, Any]] = []
    if gone:
        ports = transact(peer, [_select("Port", [["name", "==", r.name]], ["_uuid"]) for r in gone])
        uuids = [found["_uuid"] for answer in ports for found in answer["rows"]]
        operations.append(_mutate("Bridge", ["ports", "delete", ["set", uuids]]))
    left = {name: row for name, row in there.items() if row not in gone}
    for number, (name, row) in enumerate(sorted(wanted.items())):
        columns = {
            "type": row.type,
            "options": _map(dict(row.options)),
            "bfd": _map(dict(row.bfd)),
            "external_ids": _map({**OWNER, WANTED: row.bridge, **dict(row.external_ids)}),
        }
        if name in left and left[name] != row:
            operations.append(_update("Interface", [["name", "==", name]], columns))
        elif name not in left:
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
    if operations:
        transact(peer, operations)


def tidy(peer: Peer, bridge: str, port: int) -> None:
    """Take everything of ours out of a database, and let its server forget us, who listen at
    ``port``: the bridge too, if it was we who made it."""
    (bridges,) = transact(peer, [_select("Bridge", [["name", "==", bridge]], _OURS)])
    operations: list[Mapping[str, Any]] = []
    for row in bridges["rows"]:
        if dict(row["external_ids"][1]).get("tenantry"):
            gone = ["set", [row["_uuid"]]]
            operations.append(_mutate("Open_vSwitch", ["bridges", "delete", gone]))
        else:
            same = [["name", "==", bridge]]
            operations.append(_update("Bridge", same, {"controller": ["set", []]}))
    managed = ["set", [*_managers(peer, port).values()]]
    operations.append(_mutate("Open_vSwitch", ["manager_options", "delete", managed]))
    transact(peer, operations)


_OURS = ["_uuid", "external_ids"]


def _map(values: Mapping[str, str]) -> list[Any]:
    return ["map", [list(item) for item in values.items()]]


def _select(table: str, where: list[Any], columns: list[str]) -> Mapping[str, Any]:
    return {"op": "select", "table": table, "where": where, "columns": columns}


def _insert(table: str, name: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def _update(table: str, where: list[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"op": "update", "table": table, "where": where, "row": row}


def _mutate(table: str, mutation: list[Any]) -> Mapping[str, Any]:
    return {"op": "mutate", "table": table, "where": [], "mutations": [mutation]}
