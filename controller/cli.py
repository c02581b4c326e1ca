"""The ``tenantry`` command. ``serve`` is the controller; everything else talks to one over HTTP.

Tables for people, colour only on a terminal; ``--json`` for programs. Errors say what to do next
and exit with 1 (2 for wrong usage).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from controller import config, doctor, drill, host_commands, plug

Json = Any


class Client:
    """The API of a running controller, for the commands below."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, seconds: float = 60.0, /, **query: object) -> Json:
        """The answer, if it comes within ``seconds``. Errors: ClickException, with what to do."""
        return self._ask("GET", path, seconds, query)

    def delete(self, path: str, /, **query: object) -> None:
        """Errors: ClickException, with what to do."""
        self._ask("DELETE", path, 60.0, query)

    def _ask(self, method: str, path: str, seconds: float, query: dict[str, object]) -> Json:
        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{path}?{urllib.parse.urlencode(given)}"
        request = urllib.request.Request(url, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as reply:
                return None if reply.status == 204 else json.load(reply)
        except urllib.error.HTTPError as error:
            raise click.ClickException(_message(error)) from None
        except OSError as error:
            raise click.ClickException(
                f"no controller answers at {self.url} ({error}); start one with `tenantry serve`, "
                "or name it with --url or TENANTRY_URL"
            ) from None

    def find(self, collection: str, name: str) -> Json:
        """The one resource of this id or name. Errors: ClickException."""
        for field in ("id", "name"):
            found = self.get(f"/v2.0/{collection}", **{field: name})[collection]
            if len(found) > 1:
                ids = ", ".join(resource["id"] for resource in found)
                raise click.ClickException(f"{name} is the name of several {collection}: {ids}")
            if found:
                return found[0]
        raise click.ClickException(f"none of the {collection} has the id or name {name}")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        body = json.load(error)
        return str(body["NeutronError"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


class Output:
    """Prints an answer: as JSON if asked for, else as the command shows it."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, soft_wrap=True, width=1000)

    def json(self, answer: Json) -> bool:
        """True if that was all."""
        if self.as_json:
            click.echo(json.dumps(answer, indent=2))
        return self.as_json

    def table(self, title: str, columns: list[str], rows: list[list[Any]]) -> None:
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*("-" if cell is None else str(cell) for cell in row))
        self.console.print(table if rows else f"[italic]{title}[/]: none")


class Context:
    """What the options before the command said."""

    def __init__(self, files: tuple[str, ...], url: str, as_json: bool) -> None:
        self.files = list(files)
        self.client = Client(url)
        self.output = Output(as_json)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config-file",
    "files",
    multiple=True,
    envvar="TENANTRY_CONFIG",
    type=click.Path(exists=True, dir_okay=False),
    help="Options for `serve`; see `tenantry sample-config`.",
)
@click.option(
    "--url",
    envvar="TENANTRY_URL",
    default="http://127.0.0.1:9696",
    show_default=True,
    help="The API of the controller to talk to.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
@click.version_option(package_name="tenantry")
@click.pass_context
def main(context: click.Context, files: tuple[str, ...], url: str, as_json: bool) -> None:
    """Tenant networks on Open vSwitch, with the Neutron API and nothing else of OpenStack.

    Start a controller with `tenantry serve`, then use the `openstack` client: `tenantry
    cloud-config` prints what it needs to know. `tenantry doctor` tells what this machine lacks.
    """
    context.obj = Context(files, url, as_json)


main.add_command(host_commands.ca)
main.add_command(host_commands.host)


@main.command()
@click.option("--verbose", is_flag=True, help="Log what is done, not only what goes wrong.")
@click.pass_obj
def serve(context: Context, verbose: bool) -> None:
    """Run the controller in the foreground, until Ctrl-C. Switches keep their flows."""
    from controller import serve as server  # loads os-ken, which no other command needs

    try:
        server.serve(config.load(context.files), verbose=verbose)
    except (config.ConfigError, server.CannotServe) as error:
        raise click.ClickException(str(error)) from None


@main.command("sample-config")
def sample_config() -> None:
    """Print a configuration file with every option, its default and its meaning."""
    click.echo(config.sample(), nl=False)


@main.command()
@click.pass_obj
def status(context: Context) -> None:
    """Show switches, hosts and ports, and how far what was asked for has been realised."""
    answer = context.client.get("/tenantry/v1/status")
    output = context.output
    if output.json(answer):
        return
    state = "all realised" if answer["settled"] else "realising"
    output.console.print(f"revision {answer['revision']}, realised {answer['realised']}: {state}\n")
    for remote in answer["waiting_for"]:
        output.console.print(f"[yellow]waiting for OVSDB {remote}[/]; is Open vSwitch running?")
    for unit, error in answer["failed"].items():
        output.console.print(f"[red]{unit} does not compile[/]: {error}")
    if answer["service_port"] not in ("up", "off"):
        output.console.print(f"[yellow]service port[/]: {answer['service_port']}")
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
    host_commands.show(output, answer["hosts"])
    output.console.print()
    columns = ["id", "name", "project_id", "status", "host", "interface"]
    rows = [[port[column] for column in columns] for port in answer["ports"]]
    output.table("Ports", ["id", "name", "project", "status", "host", "interface"], rows)


@main.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.option("--app", help="Only flows of this app, e.g. l2.")
@click.option("--object", "object_", help="Only flows of this object: a port's id, say.")
@click.pass_obj
def flows(context: Context, switch: str | None, app: str | None, object_: str | None) -> None:
    """Show the flows that are wanted beside those installed, with where each comes from."""
    query = {"switch": switch, "app": app, "object": object_}
    _show_flows(context, context.client.get("/tenantry/v1/flows", **query))


@main.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.pass_obj
def diff(context: Context, switch: str | None) -> None:
    """Show only flows that are missing in a switch (-) or foreign to us (+). Exits 1 if any."""
    found = context.client.get("/tenantry/v1/diff", switch=switch)
    _show_flows(context, found)
    if found:
        raise SystemExit(1)


@main.command()
@click.pass_obj
def routers(context: Context) -> None:
    """Show where routers are: their home, their address outside, neighbours that answered.

    A router is on every switch that reaches its networks. Its home is the one by which what shares
    an address leaves, and which answers for it on physical networks.
    """
    found = context.client.get("/tenantry/v1/routers")
    if context.output.json(found):
        return
    columns = ["id", "name", "project", "home", "switches", "outside", "address", "neighbours"]
    rows = [
        [
            *(router["id"], router["name"], router["project_id"], router["home"] or "-"),
            *(" ".join(router["switches"]), router["outside"] or "-"),
            router["shared_address"] or "-",
            " ".join(f"{n['address']}={n['mac']}" for n in router["neighbours"]) or "-",
        ]
        for router in found
    ]
    context.output.table("Routers", columns, rows)


@main.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.pass_obj
def counters(context: Context, switch: str | None) -> None:
    """Show how many packets each port has sent: to one, to everybody, to the controller.

    Broadcasts and multicasts come first: a storm is seen at the top.
    """
    found = context.client.get("/tenantry/v1/counters", switch=switch)
    if context.output.json(found):
        return
    columns = ["id", "name", "project_id", "host", "interface", "packets", "broadcasts", "punted"]
    rows = [[port[column] for column in columns] for port in found]
    context.output.table("Ports", ["id", "name", "project", *columns[3:]], rows)


@main.command()
@click.option("--unused", is_flag=True, help="Only rules that no packet has ever matched.")
@click.pass_obj
def rules(context: Context, unused: bool) -> None:
    """Show how many packets each rule of security groups and firewalls has decided about."""
    found = context.client.get("/tenantry/v1/rules", unused="1" if unused else None)
    if context.output.json(found):
        return
    columns = ["id", "kind", "of", "packets"]
    context.output.table("Rules", columns, [[rule[c] for c in columns] for rule in found])


@main.command("network-log")
@click.pass_obj
def network_log(context: Context) -> None:
    """Show what the network log (openstack network log create) has said of late.

    Every line is in the file that [network_log] file names; curl -N .../network-log?follow=1 on
    the API shows them as they come.
    """
    found = context.client.get("/tenantry/v1/network-log")
    if context.output.json(found):
        return
    columns = ["time", "event", "direction", "port_id", "protocol", "source", "destination"]
    rows = [[line[column] for column in columns] for line in found]
    context.output.table("Network log", columns, rows)


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
                flow["switch"].lstrip("0"),
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


@main.command()
@click.pass_obj
def verify(context: Context) -> None:
    """Prove that every switch holds exactly what a computation from nothing wants. Exits 1 if not.

    stale: wanted now, but not by a computation from nothing, or the other way round. conflicts:
    flows that contradict each other. Both are mistakes of ours; please report them.
    """
    answer = context.client.get("/tenantry/v1/verify")
    if not context.output.json(answer):
        columns = ["id", "connected", "wanted", "installed"]
        columns += ["missing", "foreign", "stale", "conflicts"]
        rows = [[switch[column] for column in columns] for switch in answer["switches"]]
        context.output.table("Switches", columns, rows)
        for unit, error in answer["failed"].items():
            context.output.console.print(f"[red]{unit} does not compile[/]: {error}")
        good, bad = "[green]wanted equals installed[/]", "[red]not as it should be[/]"
        context.output.console.print(good if answer["ok"] else bad)
    if not answer["ok"]:
        raise SystemExit(1)


@main.command()
@click.option("--port", help="Until this port (id or name) is ACTIVE.")
@click.option("--revision", type=int, help="Until this revision is realised; else the newest.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds.")
@click.pass_obj
def wait(context: Context, port: str | None, revision: int | None, timeout: float) -> None:
    """Wait until what was asked for is realised: confirmed by every connected switch.

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
    if not answer["ok"]:
        raise SystemExit(1)


@main.command()
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


@main.command("drill")
@click.argument("event", type=click.Choice(list(drill.EVENTS)))
@click.option("--packets", default=10_000, show_default=True, help="1,000 are sent a second.")
@click.pass_obj
def drill_command(context: Context, event: str, packets: int) -> None:
    """Measure what EVENT costs: packets lost, at 1,000 a second, while it happens.

    restart kills the controller, reconnect cuts its connection, tamper changes flows by hand,
    ovs-restart kills Open vSwitch. In a namespace, with a controller and an Open vSwitch of its
    own: nothing else on this machine is touched. Exits 1 if the event costs more than it may.
    """
    try:
        result = drill.drill(event, packets)
    except drill.DrillError as error:
        raise click.ClickException(str(error)) from None
    if not context.output.json(result.as_dict()):
        click.echo(result.describe())
    if not result.passed:
        raise SystemExit(1)


@main.command("cloud-config")
@click.option("--name", default="tenantry", show_default=True, help="The name of the cloud.")
@click.pass_obj
def cloud_config(context: Context, name: str) -> None:
    """Print a clouds.yaml entry; put it into ~/.config/openstack/clouds.yaml.

    Then `openstack --os-cloud tenantry network list` works, and so do the SDK, Terraform and
    Ansible.
    """
    cloud = {"auth_type": "none", "auth": {"endpoint": context.client.url}}
    if context.output.json({"clouds": {name: cloud}}):
        return
    click.echo(f"clouds:\n  {name}:\n    auth_type: none")
    click.echo(f"    auth:\n      endpoint: {context.client.url}")


@main.command("plug")
@click.argument("port")
@click.option("--netns", help="The network namespace; made if it is missing.")
@click.option("--bridge", default="br-int", show_default=True, help="The integration bridge.")
@click.pass_obj
def plug_command(context: Context, port: str, netns: str | None, bridge: str) -> None:
    """Plug PORT (id or name) into a network namespace of this machine, with its addresses."""
    body = context.client.find("ports", port)
    network = context.client.get(f"/v2.0/networks/{body['network_id']}")["network"]
    subnets = context.client.get("/v2.0/subnets", network_id=network["id"])["subnets"]
    try:
        plugged = plug.plug(body, network, subnets, bridge=bridge, netns=netns)
    except plug.PlugError as error:
        raise click.ClickException(str(error)) from None
    if not context.output.json(plugged.as_dict()):
        click.echo(plugged.describe())


@main.command("unplug")
@click.argument("port")
@click.option("--netns", help="The network namespace, if it was named when plugging.")
@click.option("--bridge", default="br-int", show_default=True, help="The integration bridge.")
@click.pass_obj
def unplug_command(context: Context, port: str, netns: str | None, bridge: str) -> None:
    """Undo `plug`: remove the interface, and the namespace if plug had made it.

    A port that is deleted already is named by its id.
    """
    try:
        body = context.client.find("ports", port)
    except click.ClickException:
        if not _is_uuid(port):
            raise
        body = {"id": port}
    try:
        plug.unplug(body, bridge=bridge, netns=netns)
    except plug.PlugError as error:
        raise click.ClickException(str(error)) from None


@main.command("doctor")
@click.pass_obj
def doctor_command(context: Context) -> None:
    """Name what is missing on this machine, and the command that mends it. Exits 1 if anything."""
    findings = doctor.diagnose(context.client.url)
    if not context.output.json([finding.as_dict() for finding in findings]):
        rows = [
            ["[green]ok[/]" if f.ok else "[red]no[/]", f.what, f.detail, "" if f.ok else f.remedy]
            for f in findings
        ]
        context.output.table("This machine", ["", "what", "found", "to mend it"], rows)
    if not all(finding.ok for finding in findings if finding.needed):
        raise SystemExit(1)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _yes(value: bool) -> str:
    return "yes" if value else "[red]no[/]"
