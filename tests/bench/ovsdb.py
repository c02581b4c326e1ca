# SPDX-License-Identifier: Apache-2.0

"""How long it takes to read a host with 10,000 interfaces, and what they take to be kept.

From the moment that its database is connected until what matters is read of every row: the copy by
``ovs.db.idl``, and the values that the controller takes from it. Beside that, the standard
library's reading of the same rows as text, and nothing else; both in seconds of the processor.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import gc
import json
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from tenantry.controller import runtime
from tenantry.controller.cli.openvswitch import OpenVSwitch
from tenantry.controller.sockets.reader import Reader
from tenantry.controller.switch.ovsdb_replica import Replica
from tenantry.controller.switch.ovsdb_tables import Tables
from tests.bench import ROUNDS, Figure
from tests.bench.rows import BRIDGE, add_bridge, add_interfaces, transact

INTERFACES = 10_000
AT_ONCE = 2000

RATIO = 35
"""10,000 interfaces and their ports in 1 s, where the standard library takes 29 ms for the text."""

KILOBYTES = 5
"""An interface and its port: two rows, and what finds them by name."""


class Reading:
    """A connection to a database, and what is read over it."""

    def __init__(self, path: str) -> None:
        self._stream = socket.socket(socket.AF_UNIX)
        self._stream.connect(path)
        self._replica = Replica(Reader(self._stream))

    def read(self) -> None:
        tables = Tables(self._replica, {})
        changed, _ = tables.changes()
        for name in changed:
            row = tables.interface(name)
            assert row.external_ids and not row.bfd_status
        assert tables.bridge(BRIDGE) is not None
        assert len(changed) == len(tables.open_ports) == INTERFACES

    def close(self) -> None:
        self._replica.stop()
        self._stream.close()


def _worked(work: Callable[[], object]) -> float:
    with runtime.collections_paused():
        before = time.process_time()
        work()
        return time.process_time() - before


def bench() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        ovs = OpenVSwitch(Path(directory))
        try:
            ovs.start_database()
            yield from _figures(f"{directory}/db.sock")
        finally:
            ovs.stop()


def _figures(path: str) -> Iterator[Figure]:
    add_bridge(path, "host", 1)
    for start in range(0, INTERFACES, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        add_interfaces(path, {f"t{n}": {"iface-id": f"{n:036}"} for n in numbers})
    columns = {
        "Interface": ["name", "type", "options", "external_ids", "bfd", "bfd_status", "mac"],
        "Port": ["name", "interfaces", "vlan_mode", "trunks", "tag"],
    }
    select = [{"op": "select", "table": t, "where": [], "columns": c} for t, c in columns.items()]
    text = json.dumps(transact(path, select))
    ours, peers = [], []
    for _ in range(ROUNDS):
        reading = Reading(path)
        ours.append(_worked(reading.read))
        peers.append(_worked(lambda: json.loads(text)))
        reading.close()
    ratio = median(one / peer for one, peer in zip(ours, peers, strict=True))
    yield Figure("ovsdb.rows.time", median(ours), f"s for {INTERFACES:,} interfaces")
    yield Figure("ovsdb.rows", ratio, "x json.loads of their text", RATIO)
    gc.collect()
    tracemalloc.start()
    try:
        reading = Reading(path)
        reading.read()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reading.close()
    yield Figure("ovsdb.rows.memory", kept / 1000 / INTERFACES, "KB an interface", KILOBYTES)
