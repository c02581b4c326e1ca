# SPDX-License-Identifier: Apache-2.0

"""``tenantry host``: how hosts join, which there are, how they leave.

Owns the shell lines that make an Open vSwitch one of ours. They are printed, not run: whoever runs
the command knows how to reach the new host, and sees what will happen to it.
"""

from __future__ import annotations

import shlex
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import Any

import click

from tenantry.controller import config
from tenantry.controller.cli.authority import (
    OVSDB_PORT,
    days_option,
    directory_option,
    install_to_option,
    installing,
)
from tenantry.controller.client import Context, Output
from tenantry.controller.sockets import certificates


@click.group()
def host() -> None:
    """The hosts whose Open vSwitch is the controller's: invite, list and remove them.

    On the controller's machine, once there is an authority (`tenantry ca init`):

    tenantry host invite NAME --controller ADDRESS | ssh root@NAME sh
    """


def _controller(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """``2001:db8::1`` or ``[2001:db8::1]``, an IPv4 address, or a name."""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not certificates.HOST_NAME.fullmatch(bare) and not config.is_address(bare):
        raise click.BadParameter(f"{value} is neither an IP address nor a name")
    return bare


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not config.is_address(value):
        raise click.BadParameter(f"{value} is not an IP address")
    return value


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not certificates.HOST_NAME.fullmatch(value):
        raise click.BadParameter("letters, digits, hyphens and dots, at most 64")
    return value


@host.command("invite")
@click.argument("name", callback=_name)
@click.option(
    "--controller",
    required=True,
    callback=_controller,
    help="The controller's IP address or name, as the host reaches it.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=OVSDB_PORT,
    show_default=True,
    help="Where the controller listens for hosts: [ovsdb] listen.",
)
@click.option(
    "--tunnel-address",
    callback=_address,
    help="The host's IP address for tunnels to other hosts, if it has several.",
)
@click.option("--plain", is_flag=True, help="Without TLS: only where nobody else is on the wire.")
@install_to_option
@directory_option
@days_option
@click.pass_obj
def invite(
    context: Context,
    name: str,
    controller: str,
    port: int,
    tunnel_address: str | None,
    plain: bool,
    install_to: PurePosixPath,
    directory: Path,
    days: int,
) -> None:
    """Print the shell commands by which the host NAME joins; they are for root on that host.

    It needs a running Open vSwitch and nothing else; the controller makes the bridge. NAME is what
    ports are bound by (binding:host_id): the host's name as Nova or libvirt know it. One command
    does it all:

    tenantry host invite NAME --controller ADDRESS | ssh root@NAME sh

    The commands hold a new private key, which is kept nowhere else. Run it again before the
    certificate runs out. Managers that the host's Open vSwitch had before are replaced.
    """
    manager = f"{'tcp' if plain else 'ssl'}:{config.Address(controller, port)}"
    try:
        issued = None if plain else certificates.issue(directory, name, days)
    except certificates.CertificateError as error:
        raise click.ClickException(str(error)) from None
    commands = [
        "set -eu",
        *(installing(issued, install_to) if issued else ()),
        *_joining(name, manager, tunnel_address),
    ]
    answer = {
        "name": name,
        "manager": manager,
        "tunnel_address": tunnel_address,
        "commands": commands,
    }
    if context.output.json(answer):
        return
    secret = "" if plain else "; this holds its private key"
    click.echo(f"# As root on {name}, or through: ssh root@{name} sh{secret}.")
    click.echo("\n".join(commands))


def _joining(name: str, manager: str, tunnel_address: str | None) -> list[str]:
    """The manager comes last: when the host connects, it has its name and address already."""
    identity = {"hostname": name}
    if tunnel_address:
        identity["tenantry-encap-ip"] = tunnel_address
    return [
        *(
            f"ovs-vsctl set Open_vSwitch . external_ids:{key}={shlex.quote(value)}"
            for key, value in identity.items()
        ),
        f"ovs-vsctl set-manager {shlex.quote(manager)}",
    ]


@host.command("list")
@click.pass_obj
def list_hosts(context: Context) -> None:
    """Show every host that has joined: whether it is alive, its ports, its tunnels to others."""
    answer = context.client.get("/tenantry/v1/hosts")
    if not context.output.json(answer):
        show(context.output, answer)


def show(output: Output, hosts: list[dict[str, Any]]) -> None:
    """A table of hosts, as ``/tenantry/v1/hosts`` tells of them."""
    output.table(
        "Hosts",
        ["name", "alive", "gateway", "tunnel address", "zone", "switches", "ports", "tunnels"],
        [
            [
                each["name"],
                "yes" if each["alive"] else "[red]no[/]",
                "yes" if each["gateway"] else "no",
                each["tunnel_address"],
                each["availability_zone"],
                _listed(each["switches"]),
                _listed(each["ports"]),
                _tunnels(each["tunnels"]),
            ]
            for each in hosts
        ],
    )


def _listed(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _tunnels(tunnels: list[dict[str, str]]) -> str:
    """How many are up, of those whose health is watched, and by name those that are not."""
    others = [f"{each['peer']} {each['state']}" for each in tunnels if each["state"] != "up"]
    return ", ".join(
        [f"{len(tunnels) - len(others)} up", *(f"[red]{other}[/]" for other in others)]
    )


@host.command("remove")
@click.argument("name")
@click.option("--force", is_flag=True, help="Even if it is in use.")
@click.pass_obj
def remove(context: Context, name: str, force: bool) -> None:
    """Take the host NAME out: its bridge, tunnels and manager go, and no other host tunnels to it.

    Refused while ports are plugged in there, unless --force. A host that cannot be reached is
    forgotten, and joins again if it comes back: run `ovs-vsctl del-manager` there. One that the
    controller connects to by itself ([ovsdb] connections) is left alone until `tenantry host
    adopt`. Its certificate stays valid until it runs out; to shut out a host that is no longer
    trusted, make a new authority (`tenantry ca init`) and invite all others again.
    """
    path = f"/tenantry/v1/hosts/{urllib.parse.quote(name, safe='')}"
    context.client.delete(path, force=1 if force else None)
    if not context.output.json({"name": name, "removed": True}):
        click.echo(f"{name} is removed")


@host.command("adopt")
@click.argument("name")
@click.pass_obj
def adopt(context: Context, name: str) -> None:
    """Take over the host NAME, which is left alone: it was removed, or is another controller's.

    `tenantry status` says so of a host. Every bridge says to which database its controller belongs,
    and nothing is written to one that says another, for then that database or this one is not the
    right one. If this one is, adopt the host: its switch then holds what this database wants.
    """
    path = f"/tenantry/v1/hosts/{urllib.parse.quote(name, safe='')}/adopt"
    answer = context.client.post(path)
    if not context.output.json(answer):
        click.echo(f"{name} is {'adopted' if answer['adopted'] else 'ours already'}")
