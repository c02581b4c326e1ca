# SPDX-License-Identifier: Apache-2.0

"""What somebody does by hand to what is ours in OVSDB and in the kernel is mended, and said; and
meanwhile nothing passes that must not, nor with the controller dead."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eventlet.green import subprocess

from tenantry.controller import runtime
from tenantry.controller.cli import features
from tenantry.controller.serve import Controller
from tenantry.controller.service import start_gate
from tenantry.controller.switch.host import MEND_SECONDS
from tests.lab import Lab, Refused, eventually, lab, written
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch

HOST = "test-host"


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as net:
        assert net.controller.service_port.up.wait(10)
        yield net
        net.settle()
        net.verify()


def ports_of(ovs: OpenVSwitch, bridge: str) -> list[str]:
    found = ovs.vsctl("--if-exists", "--columns=name", "--format=json", "list", "port")
    names = [name for row in json.loads(found)["data"] for name in row]
    return names if bridge in names else []


def state(net: Lab) -> Any:
    """All that is ours in the database and in the kernel, without what is new each time."""
    ovs, found = net.ovs, []
    for table, columns in {
        "bridge": "name,fail_mode,protocols,datapath_type,external_ids,stp_enable,rstp_enable",
        "controller": "target,connection_mode,max_backoff,inactivity_probe,enable_async_messages,"
        "controller_rate_limit",
        "interface": "name,type,options,external_ids,mac,mtu_request",
        "port": "name,vlan_mode,trunks,tag",
    }.items():
        rows = json.loads(ovs.vsctl("--format=json", f"--columns={columns}", "list", table))
        found.append(sorted(rows["data"], key=str))
    links = json.loads(run("ip", "-json", "address"))
    for link in links:
        if link["ifname"] == "tenantry0":
            addresses = sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"])
            found.append([sorted(link["flags"]), link["address"], link["mtu"], addresses])
    return found


BRIDGE = {
    "another controller": ("set-controller", "br-int", "tcp:127.0.0.1:1"),
    "one more controller": ("set-controller", "br-int", "{controller}", "tcp:127.0.0.1:1"),
    "no controller": ("del-controller", "br-int"),
    "in band": ("set", "controller", "br-int", "connection_mode=in-band"),
    "patience": ("set", "controller", "br-int", "max_backoff=60000", "inactivity_probe=0"),
    "a silent controller": ("set", "controller", "br-int", "enable_async_messages=false"),
    "standalone": ("set-fail-mode", "br-int", "standalone"),
    "no fail mode": ("del-fail-mode", "br-int"),
    "protocols": ("set", "bridge", "br-int", "protocols=OpenFlow10"),
    "no protocols": ("clear", "bridge", "br-int", "protocols"),
    "datapath": ("set", "bridge", "br-int", "datapath_type=system"),
    "STP": ("set", "bridge", "br-int", "stp_enable=true"),
    "RSTP": ("set", "bridge", "br-int", "rstp_enable=true"),
    "all at once": ("emer-reset",),
    "nobody's": ("remove", "bridge", "br-int", "external_ids", "tenantry-store"),
    "no service port": ("del-port", "br-int", "tenantry0"),
    "no mark": ("clear", "interface", "tenantry0", "external_ids"),
    "another type": ("set", "interface", "tenantry0", "type=vxlan", "options:remote_ip=192.0.2.1"),
    "another MAC address": ("set", "interface", "tenantry0", 'mac="0a:00:00:00:00:01"'),
    "an open port": ("clear", "port", "tenantry0", "trunks", "vlan_mode"),
}


@pytest.mark.parametrize("hand", BRIDGE)
def test_the_database_is_mended_and_it_is_said(
    net: Lab, hand: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert eventually(lambda: not net.controller.hosts.databases[net.ovs.remote]._open_ports())
    before = state(net)
    words = [word.format(controller=f"tcp:{net.controller.openflow}") for word in BRIDGE[hand]]
    with caplog.at_level(logging.WARNING):
        net.ovs.vsctl("--no-wait", *words)
        assert eventually(lambda: state(net) == before), state(net)
    if hand not in ("nobody's", "an open port"):
        said = [line for line in caplog.messages if line.startswith(f"host {HOST}")]
        assert len([line for line in said if "mended" in line]) == 1
    net.until(lambda: bool(net.controller.progress.reconcilers))


def test_a_deleted_bridge_is_made_again_with_all_of_ours(
    net: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """What was plugged in must be again, by whoever did it: only he knows how."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(2)]
    guests = [net.guest(port) for port in ports]
    address = ports[1]["fixed_ips"][0]["ip_address"]
    assert guests[0].pings(address)
    (dpid,) = net.controller.progress.reconcilers
    for _ in range(2):
        net.ovs.vsctl("--no-wait", "del-br", "br-int")
        assert eventually(lambda: "tenantry0" in ports_of(net.ovs, "br-int"))
        before = {dpid}
        net.until(lambda before=before: bool(net.controller.progress.reconcilers.keys() - before))
        net.settle()
        (dpid,) = net.controller.progress.reconcilers
        assert [s.id for s in net.controller.status.switches()] == [dpid]  # and no ghost
        assert [net.status(port) for port in ports] == ["DOWN", "DOWN"]
        for tap, port in zip(("tap1", "tap2"), ports, strict=True):
            net.attach(port, interface=tap)
        assert guests[0].pings(address)
    assert any("br-int was deleted; mended" in line for line in caplog.messages)


KERNEL = {
    "deleted": "link delete tenantry0",
    "down": "link set tenantry0 down",
    "renamed": "link set tenantry0 down name elsewhere",
    "asks": "link set tenantry0 arp on",
    "without IPv4": "-4 address flush dev tenantry0",
    "without IPv6": "-6 address flush dev tenantry0",
}


@pytest.mark.parametrize("hand", KERNEL)
def test_the_service_port_is_mended_in_the_kernel(
    net: Lab, hand: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert eventually(lambda: "LOWER_UP" in run("ip", "link", "show", "tenantry0"))
    before = state(net)
    with caplog.at_level(logging.WARNING):
        run("ip", *KERNEL[hand].split())
        assert eventually(lambda: state(net) == before), state(net)
    assert [line for line in caplog.messages if "tenantry0" in line and "mended" in line]


def test_ovs_vswitchd_may_be_away_for_long(net: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Interfaces that are gone meanwhile come back with it."""
    before = state(net)
    net.ovs.crash_switch()
    run("ip", "link", "delete", "tenantry0")
    runtime.sleep(2)  # several times as long as an interface may be missing
    assert not [line for line in caplog.messages if "mended" in line]
    net.ovs.start_switch()
    assert eventually(lambda: state(net) == before), state(net)
    net.until(lambda: bool(net.controller.progress.reconcilers))


def test_whoever_fights_is_answered_now_and_then(net: Lab) -> None:
    """Not as fast as he can."""
    seen: list[str] = []

    def fight() -> None:
        while True:
            mode = net.ovs.vsctl("get-fail-mode", "br-int").strip()
            if mode == "secure":
                seen.append(mode)
                net.ovs.vsctl("--no-wait", "set-fail-mode", "br-int", "standalone")
            runtime.sleep(0.01)

    began = time.monotonic()
    fighting = runtime.spawn(fight)
    assert eventually(lambda: len(seen) >= 5)
    fighting.kill()
    assert len(seen) <= 2 + (time.monotonic() - began) / MEND_SECONDS
    assert eventually(lambda: net.ovs.vsctl("get-fail-mode", "br-int").strip() == "secure")


@contextmanager
def started(ovs: OpenVSwitch, directory: Path, listen: str = "127.0.0.1:0") -> Iterator[Lab]:
    """A controller that need not come to do anything; its guests outlive it."""
    directory.mkdir(exist_ok=True)
    file = written(
        directory,
        {
            "openflow__listen": listen,
            "ovsdb__connections": ovs.remote,
            "ovsdb__datapath_type": "netdev",
        },
    )
    net = Lab(Controller(features.load([str(file)])), ovs)
    try:
        yield net
    finally:
        net.controller.stop()


API, OPENFLOW = 969, 665  # and a digit


@contextmanager
def serving(ovs: OpenVSwitch, directory: Path, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """`tenantry serve` in a process of its own, at ports that end in ``number``."""
    directory.mkdir(exist_ok=True)
    values = {
        "api__listen": f"127.0.0.1:{API}{number}",
        "openflow__listen": f"127.0.0.1:{OPENFLOW}{number}",
        "ovsdb__connections": ovs.remote,
        "ovsdb__datapath_type": "netdev",
    }
    file = written(directory, values)
    words = [sys.executable, "-m", "tenantry.controller", "--config-file", str(file), "serve"]
    process = subprocess.Popen(
        words, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def asked(number: int) -> Any:
    """What its status is."""
    try:
        url = f"http://127.0.0.1:{API}{number}/tenantry/v1/status"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return json.load(reply)
    except OSError:
        return {"left_alone": [], "switches": []}


def left_alone(net: Lab) -> list[str]:
    found: list[str] = net.api("GET", "/tenantry/v1/status")["left_alone"]
    return found


# --- nothing passes between networks ---------------------------------------------------------


def strangers(net: Lab) -> tuple[Guest, Guest]:
    """Two tenants' guests on networks with the same prefixes, with different addresses."""
    guests = []
    for project, host in (("red", 11), ("blue", 12)):
        network = net.network("10.0.0.0/24", "fd00::/64", project=project)
        fixed = [
            {"subnet_id": subnet["id"], "ip_address": f"{prefix}{host}"}
            for subnet, prefix in zip(net.subnets(network), ("10.0.0.", "fd00::"), strict=True)
        ]
        guests.append(net.guest(net.port(network, fixed_ips=fixed)))
    return guests[0], guests[1]


def reach(one: Guest, other: Guest) -> bool:
    """Whether anything passes, either way."""
    return any(
        sender.pings(address, 2)
        for sender, addresses in ((one, ("10.0.0.12", "fd00::12")), (other, ("10.0.0.11",)))
        for address in addresses
    )


def forwards_by_itself(ovs: OpenVSwitch) -> bool:
    return "NORMAL" in ovs.appctl("bridge/dump-flows", "br-int")


def test_nothing_passes_when_the_bridge_forwards_by_itself(
    ovs: OpenVSwitch, tmp_path: Path
) -> None:
    """With the controller dead somebody has it do so: the ports themselves are closed to that."""
    with started(ovs, tmp_path) as net:
        one, other = strangers(net)
        assert not reach(one, other)
        net.settle()
        assert eventually(lambda: not net.controller.hosts.databases[ovs.remote]._open_ports())
    ovs.vsctl("set-fail-mode", "br-int", "standalone", "--", "del-controller", "br-int")
    assert eventually(lambda: forwards_by_itself(ovs))
    assert not reach(one, other)
    for tap in ("tap1", "tap2"):  # that is what holds
        ovs.vsctl("clear", "port", tap, "trunks", "vlan_mode")
    assert reach(one, other)
    with started(ovs, tmp_path) as net:
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        assert not forwards_by_itself(ovs)
        assert not reach(one, other)
        net.verify()
    one.close()
    other.close()


@pytest.mark.parametrize(
    "hand",
    [
        ("set-fail-mode", "br-int", "standalone"),
        ("set-fail-mode", "br-int", "standalone", "--", "del-controller", "br-int"),
        ("del-controller", "br-int"),
    ],
    ids=" ".join,
)
def test_nothing_passes_while_it_is_mended(net: Lab, hand: tuple[str, ...]) -> None:
    one, other = strangers(net)
    leaked: list[bool] = []

    def watch() -> None:
        while True:
            leaked.append(one.pings("10.0.0.12"))

    watching = runtime.spawn(watch)
    for _ in range(3):
        net.ovs.vsctl("--no-wait", *hand)
        assert eventually(
            lambda: (
                net.ovs.vsctl("get-fail-mode", "br-int").strip() == "secure"
                and bool(net.controller.progress.reconcilers)
            )
        )
        net.settle()
    watching.kill()
    assert not any(leaked)
    assert not reach(one, other)


# --- whose bridge it is ----------------------------------------------------------------------


def test_another_stores_bridge_is_left_alone_until_it_is_adopted(
    ovs: OpenVSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database by mistake wipes nothing; that it is one is said, and what to do."""
    monkeypatch.setattr(start_gate, "START_SECONDS", 0.5)
    with started(ovs, tmp_path) as right:
        network = right.network("10.0.0.0/24")
        ports = [right.port(network, port_security_enabled=False) for _ in range(2)]
        one, other = (right.guest(port) for port in ports)
        address = ports[1]["fixed_ips"][0]["ip_address"]
        assert one.pings(address)
        right.settle()
        flows, rows, where = right.flows("br-int"), state(right), str(right.controller.openflow)
    with started(ovs, tmp_path / "wrong", where) as wrong:
        assert eventually(
            lambda: bool(wrong.controller.progress.connections)
        )  # the switch knows no better
        assert eventually(lambda: bool(left_alone(wrong)))
        runtime.sleep(1)  # longer than anything is waited for
        wrong.settle()
        assert not wrong.controller.progress.reconcilers
        assert wrong.flows("br-int") == flows
        assert state(wrong) == rows
        (why,) = left_alone(wrong)
        assert f"tenantry host adopt {HOST}" in why
        assert "[store] url" in why
        assert one.pings(address)
        answer = wrong.api("POST", f"/tenantry/v1/hosts/{HOST}/adopt")
        assert answer == {"host": HOST, "adopted": True}
        wrong.until(lambda: bool(wrong.controller.progress.reconcilers))
        wrong.settle()
        wrong.verify()
        assert left_alone(wrong) == []
        assert not one.pings(address)
    with started(ovs, tmp_path) as right:
        assert eventually(lambda: bool(left_alone(right)))
    one.close()
    other.close()


def test_of_two_stores_controllers_that_start_together_one_has_the_bridge(
    ovs: OpenVSwitch, tmp_path: Path
) -> None:
    """The other says so, and writes nothing."""
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(serving(ovs, tmp_path / f"{number}", number))

        def alone() -> list[int]:
            return [number for number in (1, 2) if asked(number)["left_alone"]]

        assert eventually(lambda: len(alone()) == 1, 60)
        (has,) = {1, 2} - set(alone())
        assert eventually(lambda: any(s["connected"] for s in asked(has)["switches"]))
        before = state(SimpleNamespace(ovs=ovs))
        assert f"tcp:127.0.0.1:{OPENFLOW}{has}" in str(before)
        runtime.sleep(2)
        assert state(SimpleNamespace(ovs=ovs)) == before
        assert len(alone()) == 1


def test_a_copy_of_the_database_does_not_make_two_controllers(
    ovs: OpenVSwitch, tmp_path: Path
) -> None:
    """The first has the host, until it ends, however it does."""
    with ExitStack() as stack:
        first = stack.enter_context(serving(ovs, tmp_path / "first", 1))
        assert eventually(lambda: any(s["connected"] for s in asked(1)["switches"]), 60)
        assert eventually(lambda: asked(1)["service_port"] == "up", 60)
        (tmp_path / "copy").mkdir()
        with (
            sqlite3.connect(tmp_path / "first" / "tenantry.db") as database,
            sqlite3.connect(tmp_path / "copy" / "tenantry.db") as copy,
        ):
            database.backup(copy)
        before = state(SimpleNamespace(ovs=ovs))
        stack.enter_context(serving(ovs, tmp_path / "copy", 2))
        assert eventually(lambda: bool(asked(2)["left_alone"]), 60)
        assert "another controller writes to br-int" in asked(2)["left_alone"][0]
        runtime.sleep(1)
        assert state(SimpleNamespace(ovs=ovs)) == before
        first.kill()
        assert eventually(lambda: any(s["connected"] for s in asked(2)["switches"]))
        assert asked(2)["left_alone"] == []
        assert f"tcp:127.0.0.1:{OPENFLOW}2" in str(state(SimpleNamespace(ovs=ovs)))


def test_a_controller_whose_host_another_adopts_leaves_it_alone(net: Lab) -> None:
    """It does not fight."""
    own = net.controller.store.id
    mark = "external_ids:tenantry-store"
    net.ovs.vsctl("--no-wait", "set", "bridge", "br-int", f"{mark}=another")
    assert eventually(lambda: bool(left_alone(net)))
    net.ovs.vsctl("--no-wait", "set-fail-mode", "br-int", "standalone")
    runtime.sleep(1)
    assert net.ovs.vsctl("get-fail-mode", "br-int").strip() == "standalone"
    net.ovs.vsctl("--no-wait", "set", "bridge", "br-int", f"{mark}={own}")
    assert eventually(lambda: net.ovs.vsctl("get-fail-mode", "br-int").strip() == "secure")
    assert left_alone(net) == []


def test_a_removed_host_stays_away_until_it_is_adopted(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """Also the controller's own, to which it connects by itself; and after a restart."""
    ovs.add_bridge("br-theirs")
    ovs.vsctl("add-port", "br-theirs", "p", "--", "set", "interface", "p", "type=internal")
    with started(ovs, tmp_path) as net:
        net.until(lambda: bool(net.controller.progress.reconcilers))
        port = net.port(net.network("10.0.0.0/24"))
        net.attach(port)
        with pytest.raises(Refused, match="unplug them or move them"):
            net.api("DELETE", f"/tenantry/v1/hosts/{HOST}")
        net.detach("if1")
        net.api("DELETE", f"/tenantry/v1/hosts/{HOST}")
        assert eventually(lambda: bool(left_alone(net)))
        runtime.sleep(1)
        assert ovs.vsctl("list-br").split() == ["br-theirs"]
        assert ovs.vsctl("list-ports", "br-theirs").split() == ["p"]
        assert net.api("GET", "/tenantry/v1/hosts") == []
        assert net.controller.status.switches() == []
    with started(ovs, tmp_path) as net:
        assert eventually(lambda: bool(left_alone(net)))
        assert net.api("GET", "/tenantry/v1/status")["waiting_for"] == []
        assert ovs.vsctl("list-br").split() == ["br-theirs"]
        net.api("POST", f"/tenantry/v1/hosts/{HOST}/adopt")
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        net.verify()
        assert eventually(
            lambda: [h["alive"] for h in net.api("GET", "/tenantry/v1/hosts")] == [True]
        )
        assert eventually(lambda: "tenantry0" in ports_of(ovs, "br-int"))
