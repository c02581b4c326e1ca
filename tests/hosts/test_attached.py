# SPDX-License-Identifier: Apache-2.0

"""Rows of a host's OVSDB that hang on bridges and ports, and those that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.feature.ovsdb_rows import AttachedRow, Named, Part, Row, values
from tenantry.controller.switch.attached import AT, WANTED
from tests.lab import Lab, eventually, lab
from tests.openvswitch import OpenVSwitch

BRIDGE, TAP1 = Named("Bridge", "br-int"), Named("Port", "tap1")
Want = Callable[..., None]


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, ovsdb__service_port="") as net:
        for name in ("tap1", "tap2"):
            dummy = ("--", "set", "interface", name, "type=dummy")
            dummy_ovs.vsctl("add-port", "br-int", name, *dummy)
        yield net


@pytest.fixture
def want(net: Lab, monkeypatch: pytest.MonkeyPatch) -> Want:
    """Has rows wanted instead of those that features want."""
    database = net.controller.hosts.databases[net.ovs.remote]
    monkeypatch.setattr(net.controller.hosts, "set_rows", lambda *rows: None)
    return lambda *rows: database.set_rows(frozenset(rows))


def there(net: Lab, wanted: dict[str, Row]) -> dict[str, AttachedRow]:
    """What a look at the database tells."""
    tables = net.controller.hosts.databases[net.ovs.remote]._tables
    assert tables is not None
    return tables.attached.there(wanted)


def find(net: Lab, table: str, column: str = "_uuid") -> list[str]:
    found = net.ovs.vsctl("--bare", f"--columns={column}", "list", table)
    return [line for line in found.splitlines() if line]


def sflow(**more: Any) -> AttachedRow:
    said = values(targets=["127.0.0.1:6343"], **{"sampling": 64, "polling": 10, **more})
    return AttachedRow("sflow", "sFlow", said, BRIDGE, "sflow")


def collectors(target: str = "127.0.0.1:4739") -> AttachedRow:
    ipfix = Part("IPFIX", values(targets=[target], cache_active_timeout=5))
    said = values(id=1, bridge=BRIDGE, ipfix=ipfix)
    return AttachedRow("collectors", "Flow_Sample_Collector_Set", said)


def mirror(*sources: str) -> AttachedRow:
    ports = [Named("Port", name) for name in sources]
    said = values(name="m", select_src_port=ports, output_port=Named("Port", "tap2"))
    return AttachedRow("mirror m", "Mirror", said, BRIDGE, "mirrors")


def queues(rate: int) -> AttachedRow:
    several = {n: Part("Queue", values(other_config={"min-rate": str(rate * n)})) for n in (1, 2)}
    said = values(type="linux-htb", queues=several, other_config={"max-rate": "1000000"})
    return AttachedRow("qos tap1", "QoS", said, TAP1, "qos")


@pytest.mark.parametrize(
    ("first", "second", "column", "told"),
    [
        (sflow(), sflow(sampling=128, header=64), "sampling", "128"),
        (sflow(header=64), sflow(), "header", ""),
        (collectors(), collectors("127.0.0.1:9"), "id", "1"),
        (mirror("tap1"), mirror("tap1", "tap2"), "name", "m"),
        (queues(1000), queues(2000), "type", "linux-htb"),
    ],
)
def test_rows_come_change_and_go(
    net: Lab, want: Want, first: AttachedRow, second: AttachedRow, column: str, told: str
) -> None:
    """What is read is what was wanted; a change is one, not another row; what is no longer wanted
    is gone, with its parts."""
    for row in (first, second):
        want(row)
        assert eventually(lambda row=row: there(net, {}) == {row.name: row})  # type: ignore[misc]
    assert find(net, row.table, column) == [told] * bool(told)
    want()
    tables = ("sFlow", "IPFIX", "Flow_Sample_Collector_Set", "Mirror", "QoS", "Queue")
    assert eventually(lambda: not any(find(net, table) for table in tables))


def test_a_change_keeps_the_row(net: Lab, want: Want) -> None:
    want(sflow())
    assert eventually(lambda: len(find(net, "sFlow")) == 1)
    before = find(net, "sFlow")
    want(sflow(polling=20))
    assert eventually(lambda: find(net, "sFlow", "polling") == ["20"])
    assert find(net, "sFlow") == before


def test_what_is_named_is_waited_for_and_what_is_so_by_default_need_not_be_said(
    net: Lab, want: Want
) -> None:
    flows = values(targets=["127.0.0.1:2055"], active_timeout=0, add_id_to_interface=False)
    netflow = AttachedRow("netflow", "NetFlow", flows, BRIDGE, "netflow")
    want(mirror("later"), netflow)
    assert eventually(lambda: bool(find(net, "NetFlow")))
    (uuid,) = find(net, "NetFlow")
    assert find(net, "Mirror") == []
    net.ovs.vsctl("add-port", "br-int", "later", "--", "set", "interface", "later", "type=dummy")
    assert eventually(lambda: find(net, "Mirror", "name") == ["m"])
    assert find(net, "NetFlow") == [uuid]
    net.ovs.vsctl("del-port", "br-int", "later")
    assert eventually(lambda: find(net, "Mirror") == [])


def test_by_hand(net: Lab, want: Want, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody changes, takes down or deletes is mended, and named."""
    want(sflow(), queues(1000))
    right = {row.name: row for row in (sflow(), queues(1000))}
    assert eventually(lambda: there(net, {}) == right)
    for by_hand, words in (
        (("set", "sflow", find(net, "sFlow")[0], "sampling=1"), "sflow was changed (columns"),
        (("clear", "bridge", "br-int", "sflow"), "sflow was deleted"),
        (("clear", "port", "tap1", "qos"), "qos tap1 was changed (at was none"),
    ):
        net.ovs.vsctl("--no-wait", *by_hand)
        assert eventually(lambda: words in caplog.text), words  # noqa: B023
        assert eventually(lambda: there(net, {}) == right)


def test_another_s_row_stays(net: Lab, want: Want, caplog: pytest.LogCaptureFixture) -> None:
    new = ("--id=@x", "create", "sflow", 'targets="127.0.0.1:1"')
    net.ovs.vsctl("set", "bridge", "br-int", "sflow=@x", "--", *new)
    want(sflow(), collectors())
    assert eventually(lambda: "Bridge br-int sflow leads to a row that is not ours" in caplog.text)
    assert eventually(lambda: bool(find(net, "IPFIX")))
    assert find(net, "sFlow", "targets") == ["127.0.0.1:1"]
    net.ovs.vsctl("clear", "bridge", "br-int", "sflow")
    assert eventually(lambda: find(net, "sFlow", "targets") == ["127.0.0.1:6343"])


def test_a_bad_value_is_named(net: Lab, want: Want, caplog: pytest.LogCaptureFixture) -> None:
    bad = Part("IPFIX", values(targets=["127.0.0.1:1"], cache_active_timeout=9999))
    said = values(id=1, bridge=BRIDGE, ipfix=bad)
    want(sflow(), AttachedRow("collectors", "Flow_Sample_Collector_Set", said))
    assert eventually(lambda: bool(find(net, "sFlow")))
    (line,) = (m for m in caplog.messages if "collectors is not written" in m)
    assert "cache_active_timeout of IPFIX" in line
    assert find(net, "Flow_Sample_Collector_Set") == []


def test_a_host_that_is_removed_has_none_left(net: Lab, want: Want) -> None:
    """A set of collectors would keep its bridge alive."""
    want(sflow(), collectors(), queues(1000))
    assert eventually(lambda: len(there(net, {})) == 3)
    (ids,) = find(net, "sFlow", "external_ids")
    assert f"{WANTED}=sflow" in ids and f"{AT}=Bridge sflow br-int" in ids.replace('"', "")
    assert net.controller.hosts.databases[net.ovs.remote].remove(0)
    for table in ("sFlow", "Flow_Sample_Collector_Set", "IPFIX", "QoS", "Queue"):
        assert eventually(lambda: not find(net, table)), table  # noqa: B023
