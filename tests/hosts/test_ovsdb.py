# SPDX-License-Identifier: Apache-2.0

"""Databases that die, are of an older version, are written to by two, or do not take a value."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from eventlet import patcher

from tenantry.controller import runtime
from tenantry.controller.feature.ovsdb_rows import InterfaceRow, Plugged
from tenantry.controller.sockets.reader import Reader
from tenantry.controller.switch import ovsdb
from tenantry.controller.switch.ovsdb_replica import (
    DATABASE,
    BadValue,
    Change,
    OvsdbError,
    Replica,
    TryAgain,
)
from tenantry.controller.switch.ovsdb_tables import Tables
from tests.farm import farm, machines
from tests.lab import Lab, eventually, lab
from tests.namespace import run
from tests.openvswitch import SCHEMA, OpenVSwitch

select = patcher.original("select")
"""Waiting by it stops everybody, us included."""

NEWER = {
    "Open_vSwitch": ["datapaths"],
    "Bridge": ["flow_tables", "rstp_enable", "rstp_status", "mcast_snooping_enable"],
    "Controller": ["type", "controller_queue_size"],
    "Interface": ["mtu_request", "bfd_status", "lldp"],
}
"""Columns that the older version does not have; nor the tables that nothing leads to then."""


def interface(net: Lab, name: str, column: str) -> str:
    return net.ovs.vsctl("--if-exists", "--bare", "get", "interface", name, column).strip()


# --- of an older version --------------------------------------------------------------------------


@pytest.fixture
def older_schema(tmp_path: Path) -> str:
    schema = json.loads(Path(SCHEMA).read_text())
    for table, columns in NEWER.items():
        for column in columns:
            del schema["tables"][table]["columns"][column]
    for table in ("Flow_Table", "Datapath", "CT_Zone", "CT_Timeout_Policy"):
        del schema["tables"][table]
    del schema["cksum"]
    file = tmp_path / "older.ovsschema"
    file.write_text(json.dumps(schema))
    return str(file)


def test_an_older_schema(
    older_schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it does not have is not asked for, not written, and not missed."""
    with OpenVSwitch(dummy=True, schema=older_schema) as ovs, lab(ovs, tmp_path) as net:
        network = net.network("10.0.0.0/24")
        port = net.port(network)
        ids = f"external_ids:iface-id={port['id']}"
        ovs.vsctl("add-port", "br-int", "p1", "--", "set", "interface", "p1", "type=dummy", ids)
        net.until(lambda: net.controller.status.port(port["id"]) == "ACTIVE")
        ovs.vsctl("--no-wait", "del-controller", "br-int")
        assert eventually(lambda: "tcp:" in ovs.vsctl("get-controller", "br-int"))
        assert eventually(lambda: "br-int was changed" in caplog.text)
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        assert "not all is written" not in caplog.text
        assert ovs.vsctl("get", "port", "p1", "trunks").strip() == "[4095]"


# --- that dies ------------------------------------------------------------------------------------


def test_a_database_of_a_joined_host_is_killed(own_netns: None, tmp_path: Path) -> None:
    """What somebody did to it meanwhile is mended when it is back, and packets go on: without its
    database, ovs-vswitchd itself stands still."""
    with machines(2) as started, farm(tmp_path, started) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in started]
        guests = [net.plug(*at) for at in zip(started, ports, strict=True)]
        address = ports[1]["fixed_ips"][0]["ip_address"]
        assert guests[0].pings(address, 3)
        machine, database = started[0], net.controller.hosts.of("host1")
        assert database is not None
        flows = net.flows_on(machine)
        machine.crash_database()
        assert eventually(lambda: not database.alive)
        before = net._dpid(machine)
        clear = {"op": "update", "table": "Bridge", "where": [["name", "==", "br-int"]]}
        change = [DATABASE, {**clear, "row": {"fail_mode": ["set", []]}}]
        run("ovsdb-tool", "transact", str(machine.directory / "conf.db"), json.dumps(change))
        machine.start_database()
        assert eventually(lambda: database.alive)
        assert eventually(lambda: machine.vsctl("get-fail-mode", "br-int").strip() == "secure")
        assert eventually(lambda: guests[0].pings(address))
        assert net._dpid(machine) == before
        net.settle()
        assert net.flows_on(machine) == flows
        net.verify()


def test_a_database_hangs_up_behind_its_answer(
    own_netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets whom it is told to forget, at once: its answer and the end come together."""
    with machines(2) as started, farm(tmp_path, started) as net:
        database = net.controller.hosts.of("host2")
        assert database is not None and database.replica is not None
        replica, waited = database.replica, []
        step, peer = replica._step, replica._wire.reader.stream.fileno()

        def step_late(seconds: float | None) -> None:
            if replica._idl._outstanding_txns:
                poll = select.poll()
                poll.register(peer, select.POLLRDHUP)
                waited.append(poll.poll(30_000))
            step(seconds)

        monkeypatch.setattr(replica, "_step", step_late)
        assert net.api("DELETE", "/tenantry/v1/hosts/host2")["tidied"]
        assert len(waited) == 1 and waited[0]
        assert started[1].vsctl("get-manager") == ""


# --- that does not take a value -------------------------------------------------------------------


def test_a_bad_value(
    ovs: OpenVSwitch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is named, with what would be right; what else is to be written, is."""
    with lab(ovs, tmp_path) as net:
        bad, good = (InterfaceRow(name, "br-int", "internal", mtu=1400) for name in ("bad", "good"))
        database = net.controller.hosts.databases[ovs.remote]
        monkeypatch.setattr(net.controller.hosts, "set_rows", lambda *rows: None)  # features' own
        database.set_rows(frozenset({bad}))
        assert eventually(lambda: interface(net, "bad", "mtu_request") == "1400")
        database.set_rows(frozenset({bad._replace(mtu=-1), good}))
        assert eventually(lambda: interface(net, "good", "mtu_request") == "1400")
        (line,) = (m for m in caplog.messages if "interface bad is not written" in m)
        assert "mtu_request of Interface" in line
        assert interface(net, "bad", "mtu_request") == "1400"
        database.set_plugged({"good": Plugged(-1), "bad": Plugged(1300)})
        assert eventually(lambda: "interface good keeps its MTU" in caplog.text)
        database.set_rows(frozenset({bad._replace(mtu=1300), good}))
        assert eventually(lambda: interface(net, "bad", "mtu_request") == "1300")
        assert interface(net, "good", "mtu_request") == "1400"
        assert "not all is written" not in caplog.text


# --- that two write to ----------------------------------------------------------------------------


@contextmanager
def replicas(ovs: OpenVSwitch, count: int) -> Iterator[list[Tables]]:
    made = []
    for _ in range(count):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(ovs.remote.removeprefix("unix:"))
        made.append(Tables(Replica(Reader(stream)), {}))
    try:
        yield made
    finally:
        for tables in made:
            tables.replica.stop()


def test_two_writers(dummy_ovs: OpenVSwitch) -> None:
    """Of two one has the lock, until it goes; without it nothing is written."""

    def write(value: str) -> Any:
        return lambda change: change.set(tables.system, external_ids={"by": value})

    with replicas(dummy_ovs, 2) as (one, two):
        tables = one.replica
        assert one.replica.lock("tenantry_x") is None
        with runtime.Timeout(20):
            while one.replica.lock("tenantry_x") is None:
                one.replica.next()
            while two.replica.lock("tenantry_x") is None:
                two.replica.next()
        assert (one.replica.lock("tenantry_x"), two.replica.lock("tenantry_x")) == (True, False)
        one.replica.transact(write("one"))
        tables = two.replica
        with pytest.raises(OvsdbError, match="not locked"):
            two.replica.transact(write("two"))
        one.replica.stop()
        with runtime.Timeout(20):
            while not two.replica.lock("tenantry_x"):
                two.replica.next()
        assert two.said() == {"by": "one"}
        two.replica.transact(write("two"))
        assert two.said() == {"by": "two"}


def test_of_two_that_claim_a_bridge_one_succeeds(dummy_ovs: OpenVSwitch) -> None:
    dummy_ovs.add_bridge("br-int")
    with replicas(dummy_ovs, 2) as (one, two):
        ovsdb.claim_bridge(one, "br-int", "first")
        with pytest.raises(TryAgain):  # it has not seen that
            ovsdb.claim_bridge(two, "br-int", "second")
        two.replica.next()
        bridge = two.bridge("br-int")
        assert bridge is not None and bridge.store == "first"


def test_what_is_bad_is_raised_and_the_transaction_is_none(dummy_ovs: OpenVSwitch) -> None:
    dummy_ovs.add_bridge("br-int")
    with replicas(dummy_ovs, 1) as (tables,):
        before = tables.bridge("br-int")

        def write(change: Change) -> None:
            change.set(tables.bridges()["br-int"], stp_enable=True, fail_mode="open")

        with pytest.raises(BadValue, match=r"fail_mode of Bridge: .*open is not one of"):
            tables.replica.transact(write)
        ovsdb.find_us_soon(tables, 6640)  # nothing to be written is no error either
        assert tables.bridge("br-int") == before
        assert dummy_ovs.vsctl("get", "bridge", "br-int", "stp_enable").strip() == "false"


def test_others_hand_in_work_and_are_told_when_there_is_nobody(dummy_ovs: OpenVSwitch) -> None:
    with replicas(dummy_ovs, 1) as (tables,):
        replica = tables.replica
        asking = [runtime.spawn(replica.run, work) for work in (lambda: 1, lambda: 1 // 0)]
        runtime.pause()
        replica.next()
        assert asking[0].wait() == 1
        with pytest.raises(ZeroDivisionError):
            asking[1].wait()
        late = runtime.spawn(replica.run, lambda: 2)
        runtime.pause()
        replica.stop()
        with pytest.raises(OvsdbError, match="closed"):
            late.wait()
        with pytest.raises(OvsdbError, match="not connected"):
            replica.run(lambda: 3)


def test_a_silent_peer_does_not_answer(dummy_ovs: OpenVSwitch) -> None:
    with replicas(dummy_ovs, 1) as (tables,):

        def follow() -> None:
            with suppress(OvsdbError):
                while True:
                    tables.replica.next()

        following = runtime.spawn(follow)
        assert tables.replica.answers(10)
        pid = int((dummy_ovs.directory / "ovsdb-server.pid").read_text())
        subprocess.run(["kill", "-STOP", str(pid)], check=True)
        try:
            assert not tables.replica.answers(0.2)
        finally:
            subprocess.run(["kill", "-CONT", str(pid)], check=True)
        tables.replica.close()
        following.wait()


def test_texts_of_any_language_in_any_pieces(dummy_ovs: OpenVSwitch) -> None:
    """A character of several octets may come in two parts."""
    text = "Zürich 東京 🏔" * 5000
    with replicas(dummy_ovs, 2) as (one, two):
        write: Any = lambda change: change.set(one.replica.system, external_ids={"at": text})  # noqa: E731
        one.replica.transact(write)
        with runtime.Timeout(20):
            while two.said().get("at") != text:
                two.replica.next()
