# SPDX-License-Identifier: Apache-2.0

"""What is told of a database, and the rows of ours in it, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.feature.ovsdb_rows import BridgeRow, InterfaceRow
from tenantry.controller.switch.ovsdb_tables import (
    CLOSED,
    OPEN,
    STORE,
    WANTED,
    Tables,
    controller_columns,
)


class Row(SimpleNamespace):
    """A row, as ``ovs.db.idl`` has it."""

    def __init__(self, table: str, uuid: int, **columns: Any) -> None:
        super().__init__(_table=SimpleNamespace(name=table), uuid=UUID(int=uuid), **columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.uuid == other.uuid


class Copy:
    """In the place of a replica."""

    def __init__(self) -> None:
        self.there: dict[str, list[Row]] = {}
        self.tell: Callable[..., None] = lambda *told: None

    def start(self, columns: object, only_written: object, notify: Callable[..., None]) -> None:
        self.tell = notify

    def rows(self, table: str) -> list[Row]:
        return self.there.get(table, [])


def tables(datapath_ids: dict[UUID, list[str]] | None = None) -> tuple[Tables, Copy]:
    copy = Copy()
    return Tables(copy, {} if datapath_ids is None else datapath_ids), copy  # type: ignore[arg-type]


def interface(name: str, uuid: int, marked: bool = False) -> Row:
    ids = {"tenantry": "true", WANTED: "br-int", "a": "b"} if marked else {"iface-id": "p"}
    type, options = ("vxlan", {"key": "flow"}) if marked else ("", {})
    values: Mapping[str, Any] = {"bfd": {}, "mac": [], "mtu_request": []}
    return Row("Interface", uuid, name=name, type=type, options=options, external_ids=ids, **values)


def port(name: str, uuid: int, closed: bool) -> Row:
    columns: Mapping[str, Any] = CLOSED if closed else {**OPEN, "trunks": [1, 2], "tag": [7]}
    values = {k: v if isinstance(v, list) else [v] for k, v in columns.items()}
    return Row("Port", uuid, name=name, **values)


def bridge(uuid: int, *controllers: Row, **columns: Any) -> Row:
    values = {
        "name": "br-int",
        "datapath_id": ["00000000000000ff"],
        "datapath_type": "netdev",
        "fail_mode": [],
        "protocols": ["OpenFlow10", "OpenFlow14"],
        "external_ids": {STORE: "s", "other": "x"},
        "stp_enable": False,
        "rstp_enable": True,
    }
    return Row("Bridge", uuid, controller=[*controllers], **(values | columns))


def test_a_bridge_is_what_all_of_its_controllers_make_it() -> None:
    ours, copy = tables()
    assert ours.bridge("br-int") is None
    targets = ("tcp:192.0.2.1:6653", "ssl:192.0.2.2:6653")
    controllers = [Row("Controller", n, target=target) for n, target in enumerate(targets)]
    found = bridge(9, *controllers)
    copy.there["Bridge"] = [found]
    copy.tell("create", found)
    assert ours.datapaths() == {255: "br-int"}
    assert [*ours.controlled()] == ["br-int"]
    assert ours.bridge("br-int") == BridgeRow(
        "br-int",
        "netdev",
        "s",
        frozenset(controller_columns({"target": target}) for target in targets),
        "",
        frozenset({"OpenFlow10", "OpenFlow14"}),
        False,
        True,
    )
    assert ours.changes() == (set(), True)
    assert ours.changes() == (set(), False)


def test_a_bridge_keeps_its_datapath_id_while_its_switch_is_away() -> None:
    """A database server that starts again has none; a bridge that cannot be made loses it."""
    known: dict[UUID, list[str]] = {}
    for server in range(2):
        ours, copy = tables(known)
        found = bridge(9, datapath_id=[] if server else ["00000000000000ff"])
        copy.there["Bridge"] = [found]
        copy.tell("create", found)
        assert ours.datapaths() == {255: "br-int"}
    copy.tell("update", found, Row("Bridge", 9, fail_mode=["secure"]))
    assert ours.datapaths() == {255: "br-int"}
    copy.tell("update", found, Row("Bridge", 9, datapath_id=["00000000000000ff"]))
    assert ours.datapaths() == {}


def test_interfaces_of_ours_and_those_with_our_names() -> None:
    ours, copy = tables()
    names = (("tn-vxlan", True), ("tap1", False), ("tenantry0", False))
    for number, (name, marked) in enumerate(names):
        copy.tell("create", interface(name, number, marked))
    tunnel = InterfaceRow("tn-vxlan", "br-int", "vxlan", (("key", "flow"),), (("a", "b"),))
    assert ours.interfaces([]) == {"tn-vxlan": tunnel}
    found = ours.interfaces(["tenantry0", "elsewhere"])
    assert found.keys() == {"tn-vxlan", "tenantry0"}
    assert found["tenantry0"].bridge == ""
    assert ours.owned() == ["tn-vxlan"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4), st.booleans(), st.booleans()),
        max_size=40,
    )
)
def test_what_is_looked_up_is_what_a_look_at_all_would_find(
    steps: list[tuple[str, int, bool, bool]],
) -> None:
    """Rows come, change, and go; one of a name that is there comes in the update by which that one
    goes, which may be told of before or after."""
    ours, copy = tables()
    there: dict[int, tuple[Row, Row, bool]] = {}
    for name, uuid, marked, first in steps:
        gone = [n for n, (row, _, _) in there.items() if row.name == name and n != uuid]
        event = "update" if uuid in there else "create"
        coming = (interface(name, uuid, marked), port(name, uuid + 10, marked))
        told = [("delete", row) for n in gone for row in there.pop(n)[:2]]
        new = [(event, row) for row in coming]
        if event == "update" and there[uuid][0].name != name:  # names never change
            told += [("delete", row) for row in there.pop(uuid)[:2]]
            new = []
        for one, row in told + new if first else new + told:
            copy.tell(one, row)
        if new:
            there[uuid] = (*coming, marked)
        marks = {row.name: marked for row, _, marked in there.values()}
        assert ours.interfaces([]).keys() == {name for name in marks if marks[name]}
        assert ours.open_ports == {name for name in marks if not marks[name]}
        assert set(ours.ports()) == marks.keys()
    for one, other, _ in there.values():
        copy.tell("delete", one)
        copy.tell("delete", other)
    assert (ours.interfaces(["a"]), ours.open_ports, [*ours.ports()]) == ({}, set(), [])
