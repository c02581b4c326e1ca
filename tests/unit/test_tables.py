# SPDX-License-Identifier: Apache-2.0

"""What a monitor tells of a database, and the rows of ours in it, as values."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.feature.ovsdb_rows import BridgeRow, InterfaceRow
from tenantry.controller.switch.tables import CLOSED_VLAN, STORE, WANTED, Tables, controller_columns

NONE = ["set", []]


def interface(name: str, marked: bool = False) -> dict[str, Any]:
    ids = [["tenantry", "true"], [WANTED, "br-int"], ["a", "b"]] if marked else [["iface-id", "p"]]
    return {
        "name": name,
        "type": "vxlan" if marked else "",
        "options": ["map", [["key", "flow"]] if marked else []],
        "external_ids": ["map", ids],
        "bfd": ["map", []],
        "bfd_status": ["map", []],
        "mac": NONE,
        "mtu_request": NONE,
    }


def port(name: str, closed: bool) -> dict[str, Any]:
    if closed:
        return {"name": name, "vlan_mode": "trunk", "trunks": CLOSED_VLAN, "tag": NONE}
    return {"name": name, "vlan_mode": NONE, "trunks": ["set", [1, 2]], "tag": 7}


def test_a_bridge_is_what_all_of_its_controllers_make_it() -> None:
    tables = Tables()
    assert tables.bridge("br-int") is None
    bridge = {
        "name": "br-int",
        "datapath_id": "00000000000000ff",
        "datapath_type": "netdev",
        "controller": ["set", [["uuid", "c1"], ["uuid", "c2"]]],
        "fail_mode": NONE,
        "protocols": ["set", ["OpenFlow10", "OpenFlow14"]],
        "external_ids": ["map", [[STORE, "s"], ["other", "x"]]],
        "stp_enable": False,
        "rstp_enable": True,
        "flow_tables": ["map", [[0, ["uuid", "t0"]]]],
    }
    targets = {"c1": "tcp:192.0.2.1:6653", "c2": "ssl:192.0.2.2:6653"}
    controllers = {id: {"new": {"target": target}} for id, target in targets.items()}
    tables.apply({"Bridge": {"b": {"new": bridge}}, "Controller": controllers})
    assert tables.datapaths() == {255: "br-int"}
    assert set(tables.controlled()["br-int"]) == {0}
    assert tables.bridge("br-int") == BridgeRow(
        "br-int",
        "netdev",
        "s",
        frozenset(controller_columns({"target": target}) for target in targets.values()),
        "",
        frozenset({"OpenFlow10", "OpenFlow14"}),
        False,
        True,
    )
    tables.apply({"Bridge": {"b": {"new": bridge | {"controller": ["uuid", "c1"]}}}})
    found = tables.bridge("br-int")
    assert found is not None and len(found.controllers) == 1


def test_interfaces_of_ours_and_those_with_our_names() -> None:
    tables = Tables()
    rows = [interface("tn-vxlan", True), interface("tap1"), interface("tenantry0")]
    tables.apply({"Interface": {row["name"]: {"new": row} for row in rows}})
    ours = InterfaceRow("tn-vxlan", "br-int", "vxlan", (("key", "flow"),), (("a", "b"),))
    assert tables.interfaces([]) == {"tn-vxlan": ours}
    found = tables.interfaces(["tenantry0", "elsewhere"])
    assert found.keys() == {"tn-vxlan", "tenantry0"}
    assert found["tenantry0"].bridge == ""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]), st.sampled_from("1234"), st.booleans(), st.booleans()
        ),
        max_size=40,
    )
)
def test_what_is_looked_up_is_what_a_look_at_all_would_find(
    steps: list[tuple[str, str, bool, bool]],
) -> None:
    """Rows come, change, and go; one of a name that is there comes in the update by which that one
    goes, which may be told of before or after."""
    tables = Tables()
    there: dict[str, tuple[str, bool]] = {}  # UUID: name, marked
    for name, uuid, marked, first in steps:
        gone = [other for other, (known, _) in there.items() if known == name and other != uuid]
        going: dict[str, Any] = {other: {"old": {}} for other in gone}
        coming: dict[str, Any] = {uuid: {"new": interface(name, marked)}}
        ports: dict[str, Any] = {uuid: {"new": port(name, marked)}}
        order = (lambda a, b: a | b) if first else (lambda a, b: b | a)
        tables.apply({"Interface": order(going, coming), "Port": order(going, ports)})
        there = {other: row for other, row in there.items() if other not in gone}
        there[uuid] = (name, marked)
        assert tables.interfaces([]).keys() == {n for n, marked in there.values() if marked}
        assert tables.open_ports == {n for n, marked in there.values() if not marked}
        assert set(tables.ports()) == {n for n, _ in there.values()}
    tables.apply({"Interface": {u: {"old": {}} for u in there}, "Port": {u: {} for u in there}})
    assert (tables.interfaces(["a"]), tables.open_ports, [*tables.ports()]) == ({}, set(), [])
