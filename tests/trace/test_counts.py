# SPDX-License-Identifier: Apache-2.0

"""What a switch has counted is read by the flow, and nothing else of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tenantry.apps.counters import commands
from tenantry.controller.api.tenantry import counting
from tenantry.controller.cli.main import main
from tenantry.controller.feature.routes import Counts, UnitName
from tenantry.controller.model import Port
from tenantry.controller.openflow import codec, dropped
from tenantry.controller.openflow.dropped import Accounted
from tenantry.controller.openflow.drops import Whose
from tenantry.controller.openflow.pipeline import DROP_CAUSE, Table
from tenantry.controller.switch import reading
from tenantry.controller.switch.connection import Connection, Disconnected
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running
        running.verify()


@pytest.fixture
def port(net: Lab) -> str:
    """A port, plugged in as if1."""
    made = net.port(net.network("10.0.0.0/24"), mac_address="fa:16:3e:00:00:01")
    net.attach(made)
    net.settle()
    return str(made["id"])


def send(net: Lab, packets: int, destination: str = BROADCAST) -> None:
    """As the port, so many frames of 60 octets."""
    frame = f"in_port(1),eth(src=fa:16:3e:00:00:01,dst={destination}),eth_type(0x88b5)"
    for _ in range(packets):
        net.ovs.appctl("netdev-dummy/receive", "if1", frame, "--len", "60")
    net.ovs.appctl("revalidator/purge")  # it adds up what its datapath has counted


def of_port(net: Lab, port: str, *tables: Table) -> Counts:
    units = [UnitName("l2", "port", port), UnitName("punt", "port", port)]
    return net.controller.running.counts(units, tables or None)


def sent(counts: Counts) -> tuple[int, int]:
    flows = [flow for flow in counts.flows if flow.table == Table.CLASSIFY.id]
    return sum(flow.packets for flow in flows), sum(flow.octets for flow in flows)


def test_flows_of_a_port_are_read(net: Lab, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets and octets, and its meter; by questions about these flows alone."""
    asked: list[bytes] = []
    send_bytes = Connection.send
    monkeypatch.setattr(
        Connection, "send", lambda self, data: (asked.append(data), send_bytes(self, data))
    )
    before = sent(of_port(net, port))
    send(net, 3)
    send(net, 4, "fa:16:3e:00:00:99")
    asked.clear()
    counts = of_port(net, port)
    assert [after - then for after, then in zip(sent(counts), before, strict=True)] == [7, 420]
    assert not counts.silent
    (meter,) = (each for each in counts.meters if each.app == "punt")
    assert meter.meter == net.controller.model.all(Port)[port].key
    assert all(flow.seconds > 0 and flow.id == port for flow in counts.flows)
    (request,) = (data for data in asked if data[1] == codec.MULTIPART_REQUEST)
    assert len(request) < 64 * (
        len(counts.flows) + len(counts.meters) + 1
    )  # one question each, in one turn
    some = of_port(net, port, Table.OUTPUT)
    assert {flow.table for flow in some.flows} == {Table.OUTPUT.id}


def test_a_switch_in_many_turns(net: Lab, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = of_port(net, port)
    monkeypatch.setattr(reading, "A_TURN", 2)
    parts = of_port(net, port)
    assert [flow.cookie for flow in parts.flows] == [flow.cookie for flow in whole.flows]
    assert [meter.meter for meter in parts.meters] == [meter.meter for meter in whole.meters]


def test_who_asks_twice_is_told_a_rate(
    net: Lab, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(counting, "monotonic", lambda: now[0])
    assert {flow.rate for flow in of_port(net, port).flows} == {None}
    send(net, 20)
    now[0] += 0.2
    assert {flow.rate for flow in of_port(net, port).flows} == {None}, "it would say little"
    now[0] += 1.8
    rates = [flow.rate for flow in of_port(net, port, Table.CLASSIFY).flows if flow.rate]
    assert sum(rate.packets for rate in rates) == 10
    assert sum(rate.octets for rate in rates) == 600
    now[0] += 1
    rates = [flow.rate for flow in of_port(net, port, Table.CLASSIFY).flows if flow.rate]
    assert sum(rate.packets for rate in rates) == 0
    now[0] += counting.LONGEST_SECONDS + 1
    assert {flow.rate for flow in of_port(net, port).flows} == {None}, "it would be of long ago"


def test_what_is_not_there_is_nothing(net: Lab, port: str) -> None:
    counts = net.controller.running.counts([UnitName("l2", "port", "x"), UnitName("x", "y", "z")])
    assert counts == Counts([], [], {})


def test_a_meter_that_is_not_there_is_nobodys_fault(net: Lab, port: str) -> None:
    """An error that a reader causes is not taken for that of flows that are sent meanwhile."""
    (connection,) = net.controller.progress.connections.values()
    unknown = [8_000_001, 8_000_002]
    errors = connection.errors_of(lambda: reading.read(connection, (), unknown))
    assert errors == []
    assert reading.read(connection, (), unknown) == ({}, {})


def test_who_does_not_answer_is_named(net: Lab, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "ANSWER_SECONDS", 0.2)
    with monkeypatch.context() as deaf:
        deaf.setattr(Connection, "send", lambda self, data: None)
        counts = of_port(net, port)
    assert not counts.flows
    (why,) = counts.silent.values()
    assert why.startswith("switch br-int") and "has not answered for" in why
    assert of_port(net, port).flows
    monkeypatch.setattr(net.controller.progress, "connections", {})
    assert "is not connected" in "".join(of_port(net, port).silent.values())


def test_all_accounts_are_read_in_parts(
    net: Lab, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whomever they are, each once, and few at a time."""
    for whose in Whose:
        for number in range(1, 9) if whose.fields else ():
            cause = whose.number << 16 | 0x100 | number
            net.drop_account({DROP_CAUSE: cause, **dict.fromkeys(whose.fields, number)})
    (connection,) = net.controller.progress.connections.values()

    def read() -> list[str]:
        return sorted(str(each.account) for each in reading.read_accounts(connection, [{}]))

    whole = read()
    assert len(whole) == 40
    asked: list[bytes] = []
    counted_of = dropped.read_accounts
    monkeypatch.setattr(
        dropped, "read_accounts", lambda data: (asked.append(data), counted_of(data))[1]
    )
    monkeypatch.setattr(reading, "DUMPED_AT_ONCE", 10)
    assert read() == whole
    assert len(asked) == 20
    assert {len([*counted_of(data)]) for data in asked} == {2}


@pytest.mark.parametrize("kind", ["port", "network", "router"])
def test_who_tells_all_but_what_it_drops_is_named(
    net: Lab, port: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without it is not complete."""
    network = net.api("GET", f"/v2.0/ports/{port}")["port"]["network_id"]
    router = net.router({"id": network})
    net.settle()
    id = {"port": port, "network": network, "router": router["id"]}[kind]

    def answer() -> Any:
        return net.api("GET", f"/tenantry/v1/{kind}s/{id}/counters")

    assert answer()["complete"]

    def gone(connection: Connection, asked: object) -> list[Accounted]:
        raise Disconnected("in between")

    monkeypatch.setattr(counting, "read_accounts", gone)
    told = answer()
    assert not told["complete"]
    assert [each["why"].endswith("is gone") for each in told["silent"]] == [True]


def run(net: Lab, *words: str) -> Result:
    return CliRunner().invoke(main, ["--url", net.controller.api_url, *words])


def test_commands_show_them(net: Lab, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "APART_SECONDS", 0.0)
    net.update("port", port, name="[web]")
    send(net, 3, "fa:16:3e:00:00:99")
    send(net, 2)
    shown = run(net, "counters", "port", "[web]").output
    assert re.search(r"sent +5 +300", shown) and re.search(r"broadcasts +2 +120", shown), shown
    answer = json.loads(run(net, "counters", "port", port, "--json").output)
    assert answer["sent"]["packets"] == 5
    assert answer["received"]["packets"] == 2, "copies of its own broadcasts: docs/counters.md"
    shown = run(net, "top", "--readings", "1").output
    assert port in shown and "[web]" in shown, shown
    assert "has never sent as its port" not in shown and shown.endswith("\n")
    shown = run(net, "top", "--readings", "2", "--seconds", "1").output
    assert shown.count(port) == 2, "one below the other, where there is no terminal"
    (row,) = json.loads(run(net, "top", "--json").output)
    assert (row["id"], row["sent"]["octets"]) == (port, 300)
    (row,) = json.loads(run(net, "top", "networks", "--json").output)
    assert (row["ports"], row["broadcasts"]["packets"]) == (1, 2)
    (drop,) = json.loads(run(net, "top", "drops", "--json").output)
    assert (drop["port_id"], drop["cause"], drop["packets"]) == (port, "unknown_destination", 3)
    refused = run(net, "counters", "router", "nowhere")
    assert refused.exit_code == 1 and "nowhere" in refused.output


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (0.0, "0"),
        (9.4, "9"),
        (1234.0, "1.2 k"),
        (123_456.0, "123 k"),
        (2e12, "2000 G"),
    ],
)
def test_rates_for_people(value: float | None, text: str | None) -> None:
    assert commands.rate(value) == text


def test_what_was_dropped_is_told_with_its_cause(net: Lab, port: str) -> None:
    """Of the port alone, by the accounts of the switch: the first packet, too."""
    other = net.port(net.network("10.0.0.0/24"), mac_address="fa:16:3e:00:00:02")
    net.attach(other)
    strange = "in_port(1),eth(src=52:54:00:00:00:99,dst=ff:ff:ff:ff:ff:ff),eth_type(0x88b5)"
    to_bridges = "eth(src=fa:16:3e:00:00:02,dst=01:80:c2:00:00:00),eth_type(0x88cc)"
    for interface, frame, times in (
        ("if1", strange, 4),
        ("if2", strange, 2),
        ("if2", to_bridges, 3),
    ):
        for _ in range(times):
            net.ovs.appctl("netdev-dummy/receive", interface, frame)
    net.ovs.appctl("revalidator/purge")

    def drops(path: str) -> dict[tuple[str, str], int]:
        answer = net.api("GET", f"/tenantry/v1/{path}/counters")
        assert all(drop["words"] and drop["octets"] for drop in answer["drops"])
        return {(drop["cause"], drop["way"]): drop["packets"] for drop in answer["drops"]}

    mine, others = (
        {("not_its_address", "sent"): 4},
        {
            ("not_its_address", "sent"): 2,
            ("bridge_protocol", "sent"): 3,
        },
    )
    assert drops(f"ports/{port}") == mine
    assert drops(f"ports/{other['id']}") == others
    assert drops(f"networks/{other['network_id']}") == others
    rows = {row["id"]: row["drops"] for row in net.api("GET", "/tenantry/v1/counters")}
    assert {drop["packets"] for drop in rows[port]} == {4} and len(rows[other["id"]]) == 2
    told = json.loads(run(net, "top", "drops", "--json").output)
    assert [drop["packets"] for drop in told] == [4, 3, 2]
    assert "bridge's protocol" in run(net, "top", "drops", "--readings", "1").output
    assert "not_its_address" in run(net, "counters", "port", port, "--once").output
