# SPDX-License-Identifier: Apache-2.0

"""``tenantry counters`` and ``tenantry top``: who sends and receives what, and how fast."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tenantry.controller.client import Context, Json

KINDS = {
    "port": "ports",
    "network": "networks",
    "router": "routers",
    "floatingip": "floatingips",
    "security-group-rule": "security-group-rules",
    "firewall-rule": "firewall-rules",
}

_BY = {
    "ports": "name",
    "networks": "name",
    "routers": "name",
    "floatingips": "floating_ip_address",
}
"""How each may be told, besides by its id."""

APART_SECONDS = 2.0
"""Between the two readings of a rate: Open vSwitch adds up twice a second."""


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("id")
@click.option("--once", is_flag=True, help="At once, with rates only if it was read just before.")
@click.pass_obj
def counters(context: Context, kind: str, id: str, once: bool) -> None:
    """Show what a port, network, router, floating IP or rule has sent and received, at what rate,
    and what was dropped, why. Ports, networks and routers may be named, a floating IP
    may be told by its address, rules have their ID.

    It is read twice, two seconds apart, for the rates.
    """
    path = KINDS[kind]
    if by := _BY.get(path):
        id = context.client.find(path, id, by)["id"]
    url = f"/tenantry/v1/{path}/{id}/counters"
    answer = context.client.get(url)
    if not once:
        time.sleep(APART_SECONDS)
        answer = context.client.get(url)
    if context.output.json(answer):
        return
    rows = [[name, *_cells(answer[name])] for name in _TALLIES if name in answer]
    for leg in answer.get("interfaces", ()):
        name = "the gateway" if leg["gateway"] else f"port {leg['port_id']}"
        rows.append([f"sent by {name}", *_cells(leg["sent"])])
    columns = ["", "packets", "octets", "packets/s", "bit/s"]
    context.output.table(f"{kind} {id}", columns, rows)
    drops = answer.get("drops", ())
    if drops:
        columns = ["packets", "octets", "way", "cause", "words"]
        told = [[drop.get(column) for column in columns] for drop in drops]
        context.output.table("Dropped", [*columns[:4], "because"], told)
    if answer["since"]:
        context.output.console.print(f"since {answer['since']}")
    for switch in answer.get("silent", ()):
        context.output.console.print(f"[yellow]not counted: {switch['why']}[/]")
    if not answer["complete"] and "silent" not in answer:
        context.output.console.print("[yellow]some switches did not answer: this is not all[/]")


_TALLIES = ("sent", "received", "broadcasts", "routed", "decided")


def _cells(tally: Json) -> list[Any]:
    rates = tally["packets_per_second"], tally["octets_per_second"]
    return [tally["packets"], tally["octets"], rate(rates[0]), rate(rates[1], 8)]


def rate(value: float | None, times: int = 1) -> str | None:
    """A rate for people: 1.2 k, 34 M; None if there is none yet."""
    if value is None:
        return None
    value *= times
    for unit in ("", " k", " M", " G"):
        if value < 1000 or unit == " G":
            return f"{value:.0f}{unit}" if value >= 100 or not unit else f"{value:.1f}{unit}"
        value /= 1000
    raise AssertionError


@click.command()
@click.argument("what", type=click.Choice(["ports", "networks", "drops"]), default="ports")
@click.option("--switch", help="Only ports on this switch: name or datapath id.")
@click.option("--lines", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(1.0), default=APART_SECONDS, show_default=True, help="Apart."
)
@click.option("--readings", type=click.IntRange(1), help="So many, and then no more.")
@click.pass_obj
def top(
    context: Context,
    what: str,
    switch: str | None,
    lines: int,
    seconds: float,
    readings: int | None,
) -> None:
    """Show the busiest ports or networks, or who loses most packets, and why; again every few
    seconds, until Ctrl-C. With --json, one reading.

    Each reading asks the switches for these counters, and for nothing else that they hold.
    """

    def read() -> list[Json]:
        path = "counters/networks" if what == "networks" else "counters"
        return list(context.client.get(f"/tenantry/v1/{path}", switch=switch))

    found = read()
    if context.output.as_json:
        context.output.json(_drops(found) if what == "drops" else found)
        return
    show, console = _drops_table if what == "drops" else _traffic_table, context.output.console
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or nullcontext():
        left = readings
        try:
            while True:
                table = show(found[:lines])
                if live:
                    live.update(table, refresh=True)
                else:  # into a file, say: one below the other
                    console.print(table)
                if left == 1:
                    return
                time.sleep(seconds)
                found, left = read(), left and left - 1
        except KeyboardInterrupt:
            return


def _traffic_table(rows: list[Json]) -> RenderableType:
    ways = ("sent bit/s", "packets/s", "to all/s", "received bit/s", "packets/s")
    table = _table("id", "name", *ways, "dropped")
    for row in rows:
        sent, received = (_cells(row[way])[3:1:-1] for way in ("sent", "received"))
        to_all = rate(row["broadcasts"]["packets_per_second"])
        dropped = sum(drop["packets"] for drop in row["drops"])
        cells = (row["id"], row["name"], *sent, to_all, *received, dropped)
        table.add_row(*map(_text, cells))
    impostors = [
        f"[yellow]{escape(row.get('interface') or row['id'])} has never sent as its port "
        f"{escape(row['name'] or row['id'])}[/]: with other MAC or IP addresses than the port's, "
        "all of it is dropped (port security)"
        for row in rows
        if row.get("impostor")
    ]
    return Group(table, *impostors)


def _drops(rows: list[Json]) -> list[Json]:
    """A row for each port and cause, most packets first."""
    found = [
        {"port_id": row["id"], "name": row["name"], **drop} for row in rows for drop in row["drops"]
    ]
    return sorted(found, key=lambda drop: -int(drop["packets"]))


def _drops_table(rows: list[Json]) -> RenderableType:
    table = _table("port", "name", "packets", "octets", "because")
    for drop in _drops(rows):
        cells = (drop["port_id"], drop["name"], drop["packets"], drop["octets"], drop["words"])
        table.add_row(*map(_text, cells))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _text(cell: object) -> str:
    return "-" if cell is None else escape(str(cell))


@click.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.option("--lines", type=click.IntRange(1, 20), default=10, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 30.0),
    default=APART_SECONDS,
    show_default=True,
    help="Between the two readings.",
)
@click.pass_obj
def hot(context: Context, switch: str | None, lines: int, seconds: float) -> None:
    """Show the ports and flows that carry most just now, how many passes through the datapath their
    packets cost, and what would make it fewer. For administrators.

    Reads all that the switches hold, twice.
    """
    answer = context.client.get("/tenantry/v1/hot", 60 + seconds, switch=switch, seconds=seconds)
    output = context.output
    if output.json(answer):
        return
    if not answer["switches"]:
        output.console.print(f"no packet came in within {answer['seconds']:g} seconds")
        return
    for each in answer["switches"]:
        passes = "-" if each["passes"] is None else f"{each['passes']:.2f}"
        came = rate(each["packets_per_second"])
        output.console.print(f"{escape(each['name'])}: {came} packets/s, {passes} passes each")
        for one in each["tracked"]:
            again = rate(one["packets_per_second"])
            output.console.print(f"  {again} packets/s tracked in {one['table']}: {one['for']}")
    columns = ["id", "name", "sent bit/s", "received bit/s", "passes", "because", "shorter"]
    ports = [
        [
            *(port["id"], port["name"]),
            *(rate(port[way]["octets_per_second"], 8) for way in ("sent", "received")),
            *(port["passes"], port["because"], port["shorter"]),
        ]
        for port in answer["ports"][:lines]
    ]
    output.table("Ports", columns, ports)
    columns = ["switch", "table", "packets/s", "bit/s", "more passes", "from", "match"]
    flows = [
        [
            *(flow["switch"], flow["table"], rate(flow["packets_per_second"])),
            *(rate(flow["octets_per_second"], 8), flow["more_passes"]),
            *(f"{flow['app']}: {flow['object']}", flow["match"]),
        ]
        for flow in answer["flows"][:lines]
    ]
    output.table("Flows", columns, flows)


COMMANDS: tuple[click.Command, ...] = (counters, top, hot)
