# SPDX-License-Identifier: Apache-2.0

"""``tenantry status`` and the other commands that show how a running controller stands, and its
switches: what it answers under ``/tenantry/v1``, for people.
"""

from __future__ import annotations

import click
from rich.markup import escape

from tenantry.controller.cli import hosts
from tenantry.controller.client import Context, Json, Output


@click.command()
@click.pass_obj
def status(context: Context) -> None:
    """Show switches, hosts and ports, and how far what was asked for has been realised."""
    answer = context.client.get("/tenantry/v1/status")
    output = context.output
    if output.json(answer):
        return
    state = "all realised" if answer["settled"] else "realising"
    output.console.print(f"revision {answer['revision']}, realised {answer['realised']}: {state}\n")
    _show_absent(output, answer)
    if "switches" in answer:  # an administrator is told
        _show_hosts(output, answer)
    columns = ["id", "name", "project_id", "status", "host", "interface"]
    columns = [column for column in columns if "switches" in answer or column in columns[:4]]
    rows = [[port[column] for column in columns] for port in answer["ports"]]
    output.table("Ports", [column.removesuffix("_id") for column in columns], rows)


def _show_hosts(output: Output, answer: Json) -> None:
    for why in answer["left_alone"]:
        output.console.print(f"[yellow]left alone[/]: {why}")
    for remote in answer["waiting_for"]:
        output.console.print(f"[yellow]waiting for OVSDB {remote}[/]; is Open vSwitch running?")
    for unit, error in answer["failed"].items():
        output.console.print(f"[red]{unit} does not compile[/]: {error}")
    if answer["service_port"] not in ("up", "off"):
        output.console.print(f"[yellow]service port[/]: {escape(answer['service_port'])}")
    if asked := answer["probes"]["asked"]:
        output.console.print(
            f"load balancers: {asked:,} members are asked whether they are alive, "
            f"{answer['probes']['dead']:,} are dead"
        )
    if answer["certificate_expires"]:
        until = answer["certificate_expires"].partition("T")[0]
        output.console.print(f"TLS: hosts need a certificate; the controller's runs out on {until}")
    for warning in answer["warnings"]:
        output.console.print(f"[yellow]{escape(warning)}[/]")
    output.table(
        "Switches",
        ["id", "name", "host", "connected", "realised", "flows", "repaired"],
        [
            [
                *(switch["id"], switch["name"], switch["host"], _yes(switch["connected"])),
                *(switch["realised"], switch["flows"], switch["repaired"]),
            ]
            for switch in answer["switches"]
        ],
    )
    for switch in answer["switches"]:
        for refusal in switch["refused"]:
            output.console.print(
                f"[red]{switch['name']} refuses {refusal['unit']}[/]: {refusal['error']}"
            )
    output.console.print()
    hosts.show(output, answer["hosts"])
    output.console.print()


@click.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.option("--app", help="Only flows of this app, e.g. l2.")
@click.option("--object", "object_", help="Only flows of this object: a port's name or id.")
@click.pass_obj
def flows(context: Context, switch: str | None, app: str | None, object_: str | None) -> None:
    """Show the flows that are wanted beside those installed, with where each comes from."""
    query = {"switch": switch, "app": app, "object": object_}
    _show_flows(context, context.client.get("/tenantry/v1/flows", **query))


@click.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.pass_obj
def diff(context: Context, switch: str | None) -> None:
    """Show only flows that are missing in a switch (-) or foreign to us (+). Exits 1 if any."""
    found = context.client.get("/tenantry/v1/diff", switch=switch)
    _show_flows(context, found)
    if found:
        raise SystemExit(1)


def _show_flows(context: Context, found: Json) -> None:
    if context.output.json(found):
        return
    marks = {(True, True): " ", (True, False): "[red]-[/]", (False, True): "[yellow]+[/]"}
    context.output.table(
        "Flows ( - wanted, but missing in the switch; + in the switch, but not ours)",
        ["", "switch", "table", "priority", "match", "actions", "packets", "from"],
        [
            [
                marks[flow["wanted"], flow["installed"]],
                flow.get("switch", "").lstrip("0"),
                flow["table"] or flow["table_id"],
                flow["priority"],
                flow["match"],
                flow["actions"],
                flow["packets"],
                f"{flow['app']}: {flow['object']}" if flow["app"] else flow["cookie"],
            ]
            for flow in found
        ],
    )


@click.command()
@click.pass_obj
def verify(context: Context) -> None:
    """Prove that every switch holds exactly what a computation from nothing wants: each is asked
    for all that it holds, to the last byte. Exits 1 if not, or if one is not connected.

    missing: wanted and not there. modified: something else is in its place. foreign: there, and
    nobody wants it. The controller mends all three as soon as it sees them.

    stale: wanted now, but not by a computation from nothing, or the other way round. conflicts:
    flows that contradict each other. Both are mistakes of ours; please report them.
    """
    answer = context.client.get("/tenantry/v1/verify")
    if not context.output.json(answer):
        columns = ["id", "connected", "wanted", "installed"]
        columns += ["missing", "modified", "foreign", "stale", "conflicts"]
        rows = [
            [switch["id"], _yes(switch["connected"]), *(switch[column] for column in columns[2:])]
            for switch in answer["switches"]
        ]
        context.output.table("Switches", columns, rows)
        _show_differences(context.output, answer["differences"])
        _show_absent(context.output, answer)
        for switch in answer["switches"]:
            if switch["connected"] and switch["error"]:
                context.output.console.print(f"[red]{switch['error']}[/]")
        for unit, error in answer["failed"].items():
            context.output.console.print(f"[red]{unit} does not compile[/]: {error}")
        good, bad = "[green]wanted equals installed[/]", "[red]not as it should be[/]"
        context.output.console.print(good if answer["ok"] else bad)
    if not answer["ok"]:
        raise SystemExit(1)


def _show_differences(output: Output, differences: list[Json]) -> None:
    columns = ["switch", "fault", "table", "priority", "match", "actions", "object"]
    rows = [
        [
            *(told["switch"], told["fault"], told["table"] or told["table_id"], told["priority"]),
            *(told["match"] or told["cookie"], told["actions"], told["object"]),
        ]
        for told in differences
    ]
    if rows:
        output.table("Differences", columns, rows)


def _show_absent(output: Output, answer: Json) -> None:
    for switch in answer.get("absent", ()):
        output.console.print(f"[yellow]switch {switch} is not connected[/]")


@click.command()
@click.option("--port", help="Until this port (id or name) is ACTIVE.")
@click.option(
    "--revision", type=click.IntRange(0), help="Until this revision is realised; else the newest."
)
@click.option(
    "--timeout", type=click.IntRange(0, 3600), default=60, show_default=True, help="Seconds."
)
@click.pass_obj
def wait(context: Context, port: str | None, revision: int | None, timeout: int) -> None:
    """Wait until what was asked for is realised: every switch is connected and has confirmed it.

    Exits 1 if that takes longer than the timeout.
    """
    port_id = context.client.find("ports", port)["id"] if port else None
    answer = context.client.get(
        "/tenantry/v1/wait",
        timeout + 10,
        port=port_id,
        revision=revision,
        seconds=timeout,
    )
    if not context.output.json(answer):
        told = answer.get("status") or f"realised {answer['realised']} of {answer['revision']}"
        context.output.console.print(told)
        _show_absent(context.output, answer)
    if not answer["ok"]:
        raise SystemExit(1)


@click.command()
@click.pass_obj
def engine(context: Context) -> None:
    """Show what the engine keeps, what ran again and why, and how long it took."""
    answer = context.client.get("/tenantry/v1/engine")
    output = context.output
    if output.json(answer):
        return
    columns = ["app", "kind", "count", "reads"]
    rows = [[node[column] for column in columns] for node in answer["nodes"]]
    output.table("What there is", columns, rows)
    output.console.print()
    output.table(
        "What ran, and what had changed",
        ["app", "kind", "cause", "runs", "ms"],
        [
            [run["app"], run["kind"], run["cause"], run["count"], f"{run['seconds'] * 1000:.1f}"]
            for run in answer["runs"]
        ],
    )
    output.console.print()
    output.table(
        "The last passes",
        ["pass", "changes", "nodes run", "ms"],
        [
            [done["generation"], done["changes"], done["nodes"], f"{done['seconds'] * 1000:.1f}"]
            for done in answer["passes"]
        ],
    )
    output.console.print(
        f"\naudits of the engine: {answer['audits']}, "
        f"flows that it was wrong about: {answer['differences']}"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "[red]no[/]"


COMMANDS: tuple[click.Command, ...] = (
    status,
    flows,
    diff,
    verify,
    wait,
    engine,
)
