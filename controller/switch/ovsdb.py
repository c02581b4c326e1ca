"""OVSDB connections: what a host's Open vSwitch says of its bridges and interfaces, and the few
rows that are ours.

Reading follows the database through ``ovs.db.idl``, only the columns that matter. Writing is rare
and goes as plain transactions over a connection of its own (RFC 7047, 4.1.3), so that the reader
never waits. Rows are found by name and nothing that is not ours is ever removed.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ovs.db.idl
import ovs.json
import ovs.jsonrpc
import ovs.poller
import ovs.stream

from controller import runtime
from controller.flow import value_text
from controller.model.addresses import SERVICE_PORT_MAC
from controller.pipeline import Table
from controller.switch.inventory import SERVICE, Inventory

LOG = logging.getLogger(__name__)

DATABASE = "Open_vSwitch"
RETRY_SECONDS = 2.0
OWNER = {"tenantry": "true"}  # external_ids of rows that we made

_COLUMNS = {
    "Open_vSwitch": ["external_ids"],
    "Bridge": ["name", "datapath_id", "controller"],
    "Controller": ["target"],
    "Interface": ["name", "external_ids"],
}


class OvsdbError(Exception):
    """The database is out of reach, or refused a transaction; says which and why."""


@dataclass(frozen=True)
class IntegrationBridge:
    """The bridge to make where it is missing, and to keep as it must be."""

    name: str
    controller: str  # e.g. "tcp:127.0.0.1:6653"
    datapath_type: str  # "system" or "netdev"; "" is what the host can do
    service_port: str = ""  # an interface to make there, if the host is ours; "" makes none


class Ovsdb:
    """Follows one OVSDB for as long as the process runs."""

    def __init__(self, remote: str, inventory: Inventory, bridge: IntegrationBridge | None) -> None:
        """``remote`` as in ovsdb(7): ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``."""
        self.remote = remote
        self.connected = False
        self._inventory = inventory
        self._bridge = bridge
        self._mtus: dict[str, int] = {}  # still to be set, by interface

    def run(self) -> None:
        """Connect, follow, and start again when that fails."""
        told = ""
        while True:
            try:
                schema = get_schema(self.remote)
                if self._bridge is not None:
                    ensure_bridge(self.remote, self._bridge)
                    if self._bridge.service_port and self.remote.startswith("unix:"):
                        name = self._bridge.service_port
                        ensure_service_port(self.remote, self._bridge.name, name)
                self._follow(schema)
            except OvsdbError as error:
                if str(error) != told:
                    LOG.warning("%s; trying again every %g s", error, RETRY_SECONDS)
                told = str(error)
            except Exception:
                LOG.exception("following OVSDB %s failed; starting again", self.remote)
            runtime.sleep(RETRY_SECONDS)

    def set_mtus(self, mtus: Mapping[str, int]) -> None:
        """Give interfaces, by name, these MTUs, in the background; as soon as that is possible."""
        self._mtus |= mtus
        runtime.spawn(self._set_mtus)

    def _set_mtus(self) -> None:
        mtus, self._mtus = self._mtus, {}
        updates = [
            _update("Interface", [["name", "==", name]], {"mtu_request": mtu})
            for name, mtu in mtus.items()
        ]
        try:
            if updates:
                transact(self.remote, updates)
        except OvsdbError as error:
            self._mtus = mtus | self._mtus  # until it is heard of again
            LOG.info("interfaces wait for their MTU: %s", error)

    def _follow(self, schema: Mapping[str, Any]) -> None:
        columns = ovs.db.idl.SchemaHelper(schema_json=schema)
        for table, names in _COLUMNS.items():
            columns.register_columns(table, names)
        idl = _Idl(self.remote, columns)
        sequence = idl.change_seqno
        synced = False
        try:
            while True:
                idl.run()
                self.connected = bool(idl._session.is_connected())
                if not self.connected:
                    synced = False  # the database comes whole again: compare it whole
                if idl.has_ever_connected() and idl.change_seqno != sequence:
                    sequence = idl.change_seqno
                    changed, idl.changed = idl.changed, {}
                    if self.connected and not synced:
                        synced = self._tell_all(idl)
                    elif synced:
                        self._tell(idl, changed)
                poller = ovs.poller.Poller()
                idl.wait(poller)
                poller.block()
        finally:
            self.connected = False
            idl.close()

    def _tell_all(self, idl: _Idl) -> bool:
        system = next(iter(idl.tables["Open_vSwitch"].rows.values()), None)
        if system is None:
            return False
        ids = system.external_ids
        host = ids.get("hostname") or ids.get("system-id") or _host_of(self.remote)
        bridges = _bridges(idl)
        interfaces = {row.name: row.external_ids for row in idl.tables["Interface"].rows.values()}
        self._inventory.synced(self.remote, host, bridges, interfaces, _controlled(idl))
        runtime.spawn(self._set_mtus)
        self._name_tables(bridges)
        return True

    def _tell(self, idl: _Idl, changed: Mapping[Any, Any]) -> None:
        rows = [row for (table, _), row in changed.items() if table == "Interface"]
        # A name that was taken out and put in again in one transaction is two rows: first what
        # went, then what came.
        for row in sorted(rows, key=lambda row: row.ids is not None):
            self._inventory.interface(self.remote, row.name, row.ids)
        if any(table == "Bridge" for table, _ in changed):
            bridges = _bridges(idl)
            self._inventory.bridges(self.remote, bridges)
            self._name_tables(bridges)

    def _name_tables(self, bridges: Mapping[int, str]) -> None:
        """Names for tables are a comfort: they must not get in the way of packets."""
        for name in bridges.values():
            runtime.spawn(_try_name_tables, self.remote, name)


class _Parser:
    """Does what ``ovs.json.Parser`` does, with the standard library's: a database of thousands of
    interfaces is in within a tenth of the time.

    A message can only be at its end where a ``}`` is the last that was received, so that is when
    it is worth trying.
    """

    _decoder = json.JSONDecoder()

    def __init__(self) -> None:
        self._text = ""
        self._value: Any = None
        self._done = False

    def feed(self, text: str) -> int:
        """How many of these characters belong to the message."""
        self._text += text
        if not text.endswith("}"):
            return len(text)
        try:
            self._value, end = self._decoder.raw_decode(self._text.lstrip())
        except ValueError:
            return len(text)
        self._done = True
        end += len(self._text) - len(self._text.lstrip())
        return len(text) - (len(self._text) - end)

    def is_done(self) -> bool:
        return self._done

    def finish(self) -> Any:
        """The message; a string that says what is wrong if there is none."""
        return self._value if self._done else "the message is not whole"


ovs.json.Parser = _Parser


@dataclass(frozen=True)
class _InterfaceRow:
    name: str
    ids: Mapping[str, str] | None  # None: the row is gone


def _host_of(remote: str) -> str:
    return socket.gethostname() if remote.startswith("unix:") else remote


class _Idl(ovs.db.idl.Idl):  # type: ignore[misc]
    """Remembers which rows changed since somebody last looked."""

    def __init__(self, remote: str, schema: Any) -> None:
        self.changed: dict[tuple[str, Any], _InterfaceRow] = {}
        super().__init__(remote, schema)

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        table = row._table.name
        if table == "Interface":
            gone = event == ovs.db.idl.ROW_DELETE
            ids = None if gone else dict(row.external_ids)
            self.changed[table, row.uuid] = _InterfaceRow(row.name, ids)
        else:
            self.changed[table, row.uuid] = _InterfaceRow("", None)


def _bridges(idl: _Idl) -> dict[int, str]:
    rows = idl.tables["Bridge"].rows.values()
    return {int(row.datapath_id[0], 16): row.name for row in rows if row.datapath_id}


def _controlled(idl: _Idl) -> set[int]:
    """The bridges that have a controller, which should be us."""
    rows = idl.tables["Bridge"].rows.values()
    return {int(row.datapath_id[0], 16) for row in rows if row.datapath_id and row.controller}


# --- plain transactions ----------------------------------------------------------------------


def call(remote: str, method: str, params: list[Any]) -> Any:
    """One JSON-RPC request over a connection of its own (RFC 7047, 4). Errors: OvsdbError."""
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(remote), timeout=5000)
    if error:
        raise OvsdbError(f"OVSDB {remote} is out of reach: is Open vSwitch running there?")
    connection = ovs.jsonrpc.Connection(stream)
    try:
        request = ovs.jsonrpc.Message.create_request(method, params)
        error, reply = connection.transact_block(request)
    finally:
        connection.close()
    if error or reply is None:
        raise OvsdbError(f"OVSDB {remote} hung up during {method}")
    if reply.error:
        raise OvsdbError(f"OVSDB {remote} refused {method}: {reply.error}")
    return reply.result


def transact(remote: str, operations: list[Mapping[str, Any]]) -> list[Any]:
    """One transaction (RFC 7047, 4.1.3), all or nothing. Errors: OvsdbError."""
    results: list[Any] = call(remote, "transact", [DATABASE, *operations])
    for result in results:
        if isinstance(result, Mapping) and "error" in result:
            raise OvsdbError(f"OVSDB {remote}: {result['error']}: {result.get('details', '')}")
    return results


def get_schema(remote: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = call(remote, "get_schema", [DATABASE])
    return schema


def ensure_bridge(remote: str, bridge: IntegrationBridge) -> None:
    """Make the integration bridge if it is missing, and set what must hold for it:
    ``fail_mode=secure`` (a switch without us stays closed, and keeps its flows), OpenFlow 1.4, and
    us as its controller."""
    same_name = [["name", "==", bridge.name]]
    (found,) = transact(remote, [_select("Bridge", same_name, ["_uuid"])])
    settings: dict[str, Any] = {
        "fail_mode": "secure",
        "protocols": ["set", ["OpenFlow14"]],
        "controller": ["set", [["named-uuid", "controller"]]],
    }
    controller = {
        "target": bridge.controller,
        # Our OpenFlow never goes through the bridge that it programs.
        "connection_mode": "out-of-band",
        "max_backoff": 1000,  # ms: a controller that comes back is found within a second
        "external_ids": _map(OWNER),
    }
    operations = [_insert("Controller", "controller", controller)]
    if found["rows"]:
        operations.append(_update("Bridge", same_name, settings))
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
    _apply(remote, operations)
    if not found["rows"] and not bridge.datapath_type:
        (made,) = transact(remote, [_select("Bridge", same_name, ["datapath_id"])])
        if not made["rows"][0]["datapath_id"][1]:
            # The kernel has no openvswitch module. The database does not tell: it lists the
            # "system" datapath in any case.
            _apply(remote, [_update("Bridge", same_name, {"datapath_type": "netdev"})])


def ensure_service_port(remote: str, bridge: str, name: str) -> None:
    """Make the service port, an internal interface, on the integration bridge if it is missing."""
    same_name = [["name", "==", name]]
    (found,) = transact(remote, [_select("Interface", same_name, ["_uuid"])])
    if found["rows"]:
        return
    interface = {
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
    _apply(remote, made)


def _apply(remote: str, operations: list[Mapping[str, Any]]) -> None:
    """Commit, and wait until ovs-vswitchd has done it, as ``ovs-vsctl`` does."""
    system = _select("Open_vSwitch", [], ["next_cfg"])
    *_, after = transact(
        remote, [*operations, _mutate("Open_vSwitch", ["next_cfg", "+=", 1]), system]
    )
    if not after["rows"]:
        raise OvsdbError(f"OVSDB {remote} is empty; run `ovs-vsctl init` on its host")
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
    transact(remote, [reached])


def name_tables(remote: str, bridge: str) -> None:
    """Give the bridge's tables their names, so that ``ovs-ofctl --names`` reads well."""
    same_name = [["name", "==", bridge]]
    (found,) = transact(remote, [_select("Bridge", same_name, ["flow_tables"])])
    ids = {table.id for table in Table}
    if not found["rows"] or {id for id, _ in found["rows"][0]["flow_tables"][1]} == ids:
        return
    inserts = [
        _insert("Flow_Table", f"t{table.id}", {"name": table.name, "external_ids": _map(OWNER)})
        for table in Table
    ]
    names = ["map", [[table.id, ["named-uuid", f"t{table.id}"]] for table in Table]]
    transact(remote, [*inserts, _update("Bridge", same_name, {"flow_tables": names})])


def _try_name_tables(remote: str, bridge: str) -> None:
    try:
        name_tables(remote, bridge)
    except OvsdbError as error:
        LOG.warning("tables of %s stay without names: %s", bridge, error)


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
