# SPDX-License-Identifier: Apache-2.0

"""What a switch holds is ours to the last byte. Whatever somebody does to flows, groups and meters
by hand, in place or not, seen or not, ``verify`` names it, and it is mended."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result

from tenantry.controller import serve
from tenantry.controller.api.tenantry import operations
from tenantry.controller.api.tenantry import running as asked
from tenantry.controller.cli.main import main
from tenantry.controller.client import Client
from tenantry.controller.feature.app import App, Units
from tenantry.controller.openflow.flow import Bucket, Failover, Flow, Group, Output, SetField
from tenantry.controller.openflow.pipeline import OUT_PORT, Table
from tenantry.controller.switch.reconcile import Reconciler
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch
from tests.property.system_switch import assert_untouched, installed

OUTPUT, TRAP = Table.OUTPUT.id, Table.TRAP.id
OWNED = App(
    199,
    "owned",
    (
        Units(
            "thing",
            ids=lambda view, switch: {"one"},
            compile=lambda view, switch, id: [
                Failover(7, (Bucket(1, (SetField(OUT_PORT, 1), Output(1))),)),
                Flow(Table.OUTPUT, 1, {OUT_PORT: 0x7777}, (Group(7),)),
            ],
        ),
    ),
)
"""What no feature wants of a single switch: a group."""

PLACE = f"table={OUTPUT},priority=1,reg15=0x7777"
MODIFIED, MISSING, FOREIGN = ("modified", "thing"), ("missing", "thing"), ("foreign", "")
LEARNED = f"table={Table.L2_LEARNED.id}"
METER = "meter=1,pktps,burst,band=type=drop,rate=9999,burst_size=1"
HANDS = {
    f"--strict mod-flows br-int {PLACE},actions=drop": MODIFIED,
    f"mod-flows br-int table={OUTPUT},actions=drop": MODIFIED,
    "mod-flows br-int actions=drop": ("modified", "port"),
    f"add-flow br-int cookie=COOKIE,{PLACE},hard_timeout=3000,actions=group:7": MODIFIED,
    f"add-flow br-int cookie=COOKIE,{PLACE},idle_timeout=3000,actions=group:7": MODIFIED,
    f"add-flow br-int cookie=COOKIE,{PLACE},send_flow_rem,actions=group:7": MODIFIED,
    f"add-flow br-int cookie=COOKIE,{PLACE},importance=3,actions=group:7": MODIFIED,
    f"add-flow br-int cookie=1,{PLACE},actions=group:7": MISSING,
    f"add-flow br-int {PLACE},actions=drop": MISSING,
    f"add-flow br-int cookie=COOKIE,table={OUTPUT},priority=9,actions=drop": FOREIGN,
    f"add-flow br-int cookie=COOKIE,table={TRAP},actions=drop": FOREIGN,
    f"add-flow br-int table={TRAP},priority=999,actions=drop": FOREIGN,
    "add-flow br-int table=200,actions=drop": FOREIGN,
    f"add-flow br-int {LEARNED},idle_timeout=300,actions=load:1->reg15": FOREIGN,
    f"add-flow br-int cookie=COOKIE,{LEARNED},idle_timeout=300,actions=load:1->reg15": FOREIGN,
    "del-flows br-int cookie=COOKIE/-1": MISSING,
    "del-flows br-int": ("missing", "misses"),
    "mod-group br-int group_id=7,type=ff,bucket=watch_port:1,actions=output:1": MODIFIED,
    "mod-group br-int group_id=7,type=all,bucket=actions=output:1": MODIFIED,
    "add-group br-int group_id=8,type=all,bucket=actions=output:1": FOREIGN,
    "del-groups br-int": MISSING,
    "mod-meter br-int meter=1,pktps,burst,band=type=drop,rate=9999,burst_size=1": (
        "modified",
        "port",
    ),
    "mod-meter br-int meter=1,kbps,band=type=drop,rate=1": ("modified", "port"),
    "add-meter br-int meter=77,kbps,band=type=drop,rate=1": FOREIGN,
    "add-meter br-int meter=controller,pktps,band=type=drop,rate=1": FOREIGN,
    "del-meters br-int": ("missing", "port"),
}
"""What somebody may do, and what ``verify`` then says, among other things."""

LEARNED = f"table={Table.L2_LEARNED.id}"
TOGETHER = [
    f"mod-flows br-int table={OUTPUT},actions=drop",
    f"add-flow br-int cookie=COOKIE,table={OUTPUT},priority=9,actions=drop",
    f"add-flow br-int table={TRAP},priority=999,actions=drop",
    "mod-group br-int group_id=7,type=ff,bucket=watch_port:1,actions=output:1",
    f"mod-meter br-int {METER}",
    "add-meter br-int meter=controller,pktps,band=type=drop,rate=1",
]
"""Done to one switch, one after the other."""


@contextmanager
def running(ovs: OpenVSwitch, directory: Path, **options: str) -> Iterator[Lab]:
    """With so rare audits that there are none, and no bridge that it would lead to itself."""
    apps = [*(app for app in serve.APPS if app is not OWNED), OWNED]
    options |= {"openflow__audit_interval": "3600", "ovsdb__integration_bridge": ""}
    with patch.object(serve, "APPS", apps), lab(ovs, directory, **options) as net:
        yield net


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with running(dummy_ovs, tmp_path) as net:
        net.add_bridge("br-int")
        net.attach(net.port(net.network("10.0.0.0/24")))
        yield net
        net.verify()


@contextmanager
def disconnected(net: Lab) -> Iterator[None]:
    """The switch is somewhere else meanwhile."""
    target = net.ovs.vsctl("get-controller", "br-int").strip()
    net.ovs.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
    net.until(lambda: not net.controller.progress.connections)
    yield
    net.ovs.vsctl("set-controller", "br-int", target)
    net.until(lambda: not net.controller.status.absent() and net.controller.status.settled())


def everything(ovs: OpenVSwitch) -> list[list[str]]:
    """All that the switch holds, but for what it counts."""
    commands = ("--no-stats", "dump-flows"), ("dump-groups",), ("dump-meters",)
    return [sorted(ovs.ofctl(*words, "br-int").splitlines()[1:]) for words in commands]


def do(ovs: OpenVSwitch, *hands: str) -> None:
    """Somebody does something by hand."""
    flows = ovs.ofctl("dump-flows", "br-int", f"table={OUTPUT},reg15=0x7777")
    (cookie,) = re.findall(r"cookie=(\S+),", flows)
    for hand in hands:
        ovs.ofctl(*hand.replace("COOKIE", cookie).split())


def reconciler(net: Lab) -> Reconciler:
    (found,) = net.controller.progress.reconcilers.values()
    return found


def test_it_is_mended_at_once(net: Lab) -> None:
    before = everything(net.ovs)

    def mended(hand: str) -> None:
        repaired = reconciler(net).repaired
        do(net.ovs, hand)
        net.until(lambda: reconciler(net).repaired > repaired and everything(net.ovs) == before)

    for hand in HANDS:
        mended(hand)


def test_what_nobody_told_of_is_named_and_mended(net: Lab) -> None:
    before = everything(net.ovs)
    reconciler(net).connection.on_foreign_changes = lambda tables: None
    for hand, (fault, object) in HANDS.items():
        do(net.ovs, hand)
        found = operations.verify(net.controller.running)
        assert not found["ok"] and everything(net.ovs) != before, (hand, found["switches"])
        named = found["differences"]
        told = [(one["fault"], (one["object"] or "").partition(" ")[0]) for one in named]
        assert (fault, object) in told, (hand, told, found["switches"])
        push = reconciler(net).audit()
        assert push.added or push.deleted
        assert everything(net.ovs) == before, hand
        net.verify()


def test_what_was_done_while_nobody_was_connected_is_mended(net: Lab) -> None:
    """And nothing else is touched."""
    before, ages = everything(net.ovs), installed(net.ovs, "br-int")
    with disconnected(net):
        do(net.ovs, *TOGETHER)
        changed = ages.keys() - installed(net.ovs, "br-int").keys()
    assert everything(net.ovs) == before
    after = installed(net.ovs, "br-int")
    assert_untouched(*({f: t for f, t in all.items() if f not in changed} for all in (ages, after)))
    assert reconciler(net).sent.added == len(changed) + 2  # the group and the meter


def test_what_was_done_while_the_controller_was_dead_is_mended(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    with running(dummy_ovs, tmp_path) as net:
        net.add_bridge("br-int")
        net.attach(net.port(net.network("10.0.0.0/24")))
        where = str(net.controller.openflow)
        net.settle()
        before, ages = everything(dummy_ovs), installed(dummy_ovs, "br-int")
    do(dummy_ovs, *TOGETHER)
    assert everything(dummy_ovs) != before
    changed = ages.keys() - installed(dummy_ovs, "br-int").keys()
    with running(dummy_ovs, tmp_path, openflow__listen=where) as net:
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        assert everything(dummy_ovs) == before
        after = installed(dummy_ovs, "br-int")
        assert_untouched(
            *({f: t for f, t in all.items() if f not in changed} for all in (ages, after))
        )
        net.verify()


def test_a_flow_that_is_mended_has_counted_all_along(net: Lab) -> None:
    def counted() -> int:
        flows = net.ovs.ofctl("dump-flows", "br-int", "table=0")
        return sum(map(int, re.findall(r"n_packets=(\d+)", flows)))

    frame = "in_port(2),eth(src=fa:16:3e:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x806),arp(op=1)"
    net.ovs.appctl("netdev-dummy/receive", "if1", frame)
    net.ovs.appctl("revalidator/purge")
    assert counted() == 1
    repaired = reconciler(net).repaired
    do(net.ovs, "mod-flows br-int table=0,actions=drop")
    net.until(lambda: reconciler(net).repaired > repaired)
    assert counted() == 1


def test_only_what_a_switch_has_learned_stays_learned(net: Lab) -> None:
    interface = net.attach(net.port(net.network("10.1.0.0/24"), port_security_enabled=False))
    flow = f"in_port={interface},dl_src=fa:16:3e:00:00:09,dl_dst=ff:ff:ff:ff:ff:ff"

    def learned() -> str:
        return net.ovs.ofctl("--no-stats", "dump-flows", "br-int", LEARNED)

    net.ovs.appctl("ofproto/trace", "br-int", flow, "-generate")
    before = learned()
    (cookie,) = re.findall(r"cookie=(\S+),", before)
    assert not reconciler(net).audit().deleted
    assert learned() == before
    net.verify()
    reconciler(net).connection.on_foreign_changes = lambda tables: None  # else it may be too fast
    mac = "dl_dst=fa:16:3e:00:00:01"
    right = f"cookie={cookie},{LEARNED},priority=100,idle_timeout=300,{mac},actions=load:2->reg15"
    wrong = (
        right.replace("load:2", "load:3"),
        right.replace("load:2->reg15", "load:2->reg15,output:1"),
        right.replace("load:2->reg15", "drop"),
        right.replace("idle_timeout=300,", ""),
        right.replace("idle_timeout=300", "idle_timeout=300,hard_timeout=300"),
        right.replace("priority=100", "priority=101"),
        right.replace(cookie, "0x2"),
    )
    for number, changed in enumerate(wrong):
        net.ovs.ofctl("add-flow", "br-int", changed)
        assert operations.verify(net.controller.running)["switches"][0]["foreign"] == 1, changed
        assert reconciler(net).audit().deleted == 1
        assert learned() == before, number
    net.ovs.ofctl("add-flow", "br-int", right)
    assert not reconciler(net).audit().deleted


def test_people_are_shown_what_differs(net: Lab) -> None:
    reconciler(net).connection.on_foreign_changes = lambda tables: None
    do(net.ovs, *TOGETHER)
    seen = shown(net, "verify")
    assert seen.exit_code == 1
    said = " ".join(seen.output.split())
    for words in (
        "modified OUTPUT 1 reg15=0x7777 group:7 thing one",
        "foreign OUTPUT 9 0x",
        "foreign TRAP 999 0x",
        "modified - - group 7 - thing one",
        "modified - - meter 1 - port",
        "foreign - - meter controller - -",
        "not as it should be",
    ):
        assert words in said, (words, seen.output)
    assert "None" not in seen.output
    reconciler(net).audit()
    assert shown(net, "verify").exit_code == 0


def shown(net: Lab, *words: str) -> Result:
    """What a command says of this controller."""

    def get(client: Client, path: str, seconds: float = 0, /, **query: object) -> Any:
        return net.api("GET", path + "?" + urlencode({n: q for n, q in query.items() if q}))

    with patch.object(Client, "get", get):
        return CliRunner().invoke(main, words)


def test_a_port_that_somebody_switched_off_is_on_again(net: Lab) -> None:
    """At once, and after a moment without a connection. Its link is the host's."""

    def configured() -> list[str]:
        return re.findall(r"if1\)[^(]*?config: +(.*)", net.ovs.ofctl("show", "br-int"))

    words = ("no-receive", "no-forward", "no-packet-in")
    assert configured() == ["0"]
    for word in words:
        net.ovs.ofctl("mod-port", "br-int", "if1", word)
        net.until(lambda: configured() == ["0"])
    with disconnected(net):
        for word in words:
            net.ovs.ofctl("mod-port", "br-int", "if1", word)
        assert configured() != ["0"]
    assert configured() == ["0"]
    net.ovs.ofctl("mod-port", "br-int", "if1", "down")
    net.settle()
    assert configured() == ["PORT_DOWN"]
    net.ovs.ofctl("mod-port", "br-int", "if1", "up")


# --- what cannot be asked ------------------------------------------------------------------------


def test_a_switch_that_is_not_connected_is_never_called_right(net: Lab) -> None:
    named = ["br-int on test-host"]
    with disconnected(net):
        net.ovs.ofctl("del-flows", "br-int")
        found = operations.verify(net.controller.running)
        (counts,) = found["switches"]
        assert (found["ok"], found["absent"], counts["connected"]) == (False, named, False)
        assert counts["missing"] == counts["wanted"] > 0 == counts["installed"]
        assert "br-int on test-host is not connected" in counts["error"]
        status = operations.status(net.controller.running)
        assert (status["settled"], status["absent"]) == (False, named)
        waited = operations.wait(net.controller.running, seconds="0.1")
        assert (waited["ok"], waited["absent"]) == (False, named)
        for words in (["status"], ["verify"], ["wait", "--timeout", "0"]):
            seen = shown(net, *words)
            assert "switch br-int on test-host is not connected" in seen.output
            assert seen.exit_code == (words != ["status"])
            assert "all realised" not in seen.output
    assert operations.wait(net.controller.running)["ok"]
    assert operations.status(net.controller.running)["settled"]


def test_a_switch_that_says_nothing_is_an_answer_in_words(net: Lab) -> None:
    pid = int((net.ovs.directory / "ovs-vswitchd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        with patch.object(asked, "ANSWER_SECONDS", 0.2):
            found = operations.verify(net.controller.running)
            with pytest.raises(Refused, match="br-int on test-host has not answered"):
                net.api("GET", "/tenantry/v1/flows")
    finally:
        os.kill(pid, signal.SIGCONT)
    (counts,) = found["switches"]
    assert not found["ok"] and "br-int on test-host has not answered" in counts["error"]
