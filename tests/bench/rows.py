# SPDX-License-Identifier: Apache-2.0

"""Thousands of interfaces in one OVSDB transaction (RFC 7047, 4.1.3).

``ovs-vsctl`` takes time that grows with the square of how many it is asked for.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.controller import runtime
from tests.openvswitch import OpenVSwitch

BRIDGE = "br-int"


def transact(path: str, operations: list[Any]) -> list[Any]:
    """One transaction over the Unix socket at ``path``. Errors: AssertionError."""
    request = {"id": 0, "method": "transact", "params": ["Open_vSwitch", *operations]}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        server.sendall(json.dumps(request).encode())
        reply = b""
        while True:
            received = server.recv(1 << 20)
            assert received, "ovsdb-server hung up"
            reply += received
            try:
                results: list[Any] = json.loads(reply)["result"]
                break
            except ValueError:  # not all of it yet
                continue
    assert not any(result and "error" in result for result in results), results
    return results


def add_bridge(path: str, host: str, dpid: int) -> None:
    """What an operator and ovs-vswitchd would have written into an empty database."""
    system = {
        "bridges": ["named-uuid", "bridge"],
        "external_ids": to_map({"hostname": host}),
        "datapath_types": ["set", ["netdev", "system"]],
        "cur_cfg": 1 << 30,  # whatever is asked of the switch, it has been done
    }
    bridge = {"name": BRIDGE, "datapath_id": f"{dpid:016x}"}
    transact(
        path,
        [
            {"op": "insert", "table": "Open_vSwitch", "row": system},
            {"op": "insert", "table": "Bridge", "uuid-name": "bridge", "row": bridge},
        ],
    )


def set_external_ids(path: str, values: Mapping[str, str]) -> None:
    """More of what a host says of itself."""
    where = {"op": "mutate", "table": "Open_vSwitch", "where": []}
    transact(path, [{**where, "mutations": [["external_ids", "insert", to_map(values)]]}])


def add_interfaces(path: str, interfaces: Mapping[str, Mapping[str, str]], **columns: Any) -> None:
    """Put interfaces (``external_ids`` by name) on the bridge, each with these columns."""
    names = list(interfaces)
    ports = [["named-uuid", f"port{number}"] for number in range(len(names))]
    operations = [
        operation
        for number, name in enumerate(names)
        for operation in _interface(number, name, interfaces[name], columns)
    ]
    mutation = {
        "op": "mutate",
        "table": "Bridge",
        "where": [["name", "==", BRIDGE]],
        "mutations": [["ports", "insert", ["set", ports]]],
    }
    transact(path, [*operations, mutation])


def _interface(
    number: int, name: str, ids: Mapping[str, str], columns: Mapping[str, Any]
) -> Iterator[Any]:
    row = {"name": name, "external_ids": to_map(ids), **columns}
    yield {"op": "insert", "table": "Interface", "uuid-name": f"interface{number}", "row": row}
    row = {"name": name, "interfaces": ["named-uuid", f"interface{number}"]}
    yield {"op": "insert", "table": "Port", "uuid-name": f"port{number}", "row": row}


def to_map(values: Mapping[str, str]) -> list[Any]:
    """A map as OVSDB writes it."""
    return ["map", [list(item) for item in values.items()]]


def add_patch_ports(ovs: OpenVSwitch, count: int) -> None:
    """Interfaces p0, p1 ... on a real switch, which polls patch ports for nothing; ready when
    this returns. Their peers need not exist."""
    names = {f"p{number}": dict[str, str]() for number in range(count)}
    options = to_map({"peer": "nobody"})
    add_interfaces(f"{ovs.directory}/db.sock", names, type="patch", options=options)
    while ovs.ofctl("dump-ports-desc", BRIDGE).count("(p") < count:
        runtime.sleep(0.05)
