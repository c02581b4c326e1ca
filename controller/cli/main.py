# SPDX-License-Identifier: Apache-2.0

"""The ``tenantry`` command. ``serve`` is the controller; nearly everything else talks to one over
HTTP. What goes wrong exits with 1 (2 for wrong usage) and says what to do next.
"""

from __future__ import annotations

import uuid

import click

from tenantry.controller import config
from tenantry.controller.cli import (
    account,
    authority,
    doctor,
    drill,
    features,
    hosts,
    keystone,
    monitoring,
    plug,
    policy,
    show,
    worker,
)
from tenantry.controller.client import URL, Context, api_url


class Commands(click.Group):
    """Commands that take ``--json`` after their names, too: those of the core, and, once somebody
    asks for one that is none of them, or for all, those of features."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(cmd, name)
        _take_json(cmd)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            self._add_those_of_features()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_those_of_features()
        return super().list_commands(ctx)

    def _add_those_of_features(self) -> None:
        for command in features.commands():
            if command.name not in self.commands:
                self.add_command(command)


def _take_json(command: click.Command) -> None:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _take_json(each)
        return

    def said(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Context).output.as_json = True

    words = "The same as before the command."
    command.params.append(
        click.Option(["--json"], is_flag=True, expose_value=False, callback=said, help=words)
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    callback=api_url,
    help=f"The API of the controller to talk to; by default that of the cloud, else {URL}.",
)
@click.option(
    "--os-cloud",
    "cloud",
    envvar="OS_CLOUD",
    help="Whose credentials in clouds.yaml to use; by default those in the environment (OS_*), as "
    "the `openstack` client does.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
@click.version_option(package_name="tenantry")
@click.pass_context
def main(
    context: click.Context,
    files: tuple[str, ...],
    url: str | None,
    cloud: str | None,
    as_json: bool,
) -> None:
    """Tenant networks on Open vSwitch, with the Neutron API and nothing else of OpenStack.

    Start a controller with `tenantry serve`, then use the `openstack` client: `tenantry
    cloud-config` prints what it needs to know. `tenantry doctor` tells what this machine lacks.
    """
    context.obj = Context(files, url, as_json, cloud)


_GROUPS = (
    *(account.account, authority.ca, hosts.host, keystone.keystone),
    *(monitoring.monitoring, policy.policy, worker.worker),
)
for command in (*_GROUPS, *show.COMMANDS):
    main.add_command(command)


@main.command()
@click.option("--verbose", is_flag=True, help="Log what libraries do, too.")
@click.pass_obj
def serve(context: Context, verbose: bool) -> None:
    """Run the controller in the foreground, until Ctrl-C. Switches keep their flows."""
    from tenantry.controller import opening  # these load os-ken, which no other command needs
    from tenantry.controller import serve as server

    try:
        server.serve(features.load(context.files), verbose=verbose)
    except (config.ConfigError, opening.CannotServe) as error:
        raise click.ClickException(str(error)) from None


@main.command("check-config")
@click.pass_obj
def check_config(context: Context) -> None:
    """Say what is wrong with the configuration file, if anything is. Starts nothing."""
    from tenantry.controller import preflight

    try:
        preflight.check(features.load(context.files), features.apps())
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None
    if not context.output.json({"ok": True, "files": context.files}):
        click.echo(f"{', '.join(context.files) or 'the defaults'}: nothing is wrong")


@main.command("sample-config")
def sample_config() -> None:
    """Print a configuration file with every option, its default and its meaning."""
    click.echo(config.sample(features.options()), nl=False)


@main.command("drill")
@click.argument("event", type=click.Choice(list(drill.EVENTS)))
@click.option(
    "--packets",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="1,000 are sent a second.",
)
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
@click.option("--username", help="The account, where [api] auth_type is basic.")
@click.pass_obj
def cloud_config(context: Context, name: str, username: str | None) -> None:
    """Print a clouds.yaml entry; put it into ~/.config/openstack/clouds.yaml.

    Then `openstack --os-cloud tenantry network list` works, and so do the SDK, Terraform and
    Ansible. The password of an account is not in it: put it into secure.yaml beside it, or into
    OS_PASSWORD.
    """
    try:
        url = context.client.url
    except click.ClickException as error:  # OS_CLOUD may name the very entry that is to be made
        url = context.client.asked_url
        click.echo(f"{error.message}; so the entry is for a controller at {url}", err=True)
    auth = {"endpoint": url} | ({"username": username} if username else {})
    cloud = {"auth_type": "http_basic" if username else "none", "auth": auth}
    if context.output.json({"clouds": {name: cloud}}):
        return
    click.echo(f"clouds:\n  {name}:\n    auth_type: {cloud['auth_type']}\n    auth:")
    for key, value in auth.items():
        click.echo(f"      {key}: {value}")


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
    findings = doctor.diagnose(context.client)
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
