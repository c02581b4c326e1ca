# SPDX-License-Identifier: Apache-2.0

"""``tenantry ca`` and ``tenantry host``: how hosts join, which there are, how they leave.

Owns the shell lines that make an Open vSwitch one of ours. They are printed, not run: whoever runs
the command knows how to reach the new host, and sees what will happen to it.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import Any

import click

from tenantry.controller import config
from tenantry.controller.cli import features
from tenantry.controller.client import Context, Output
from tenantry.controller.sockets import certificates

OPENFLOW_PORT, OVSDB_PORT = 6653, 6640

directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=certificates.DIRECTORY,
    show_default=True,
    help="Where the certificate authority is.",
)
days_option = click.option(
    "--days",
    type=click.IntRange(1, certificates.AUTHORITY_DAYS),
    default=certificates.DAYS,
    show_default=True,
    help="For how long the certificate is valid.",
)


def _absolute(
    context: click.Context, parameter: click.Parameter, value: PurePosixPath
) -> PurePosixPath:
    if not value.is_absolute():
        raise click.BadParameter("must be absolute: Open vSwitch reads from there at any time")
    return value


install_to_option = click.option(
    "--install-to",
    type=click.Path(path_type=PurePosixPath),
    default="/etc/openvswitch/tenantry",
    show_default=True,
    callback=_absolute,
    help="Where key and certificates go on the host.",
)


@click.group()
def ca() -> None:
    """The certificate authority that says which hosts may join, on the controller's machine.

    Begin with `tenantry ca init`, put what it prints into the configuration file, restart the
    controller, then `tenantry host invite` each host.
    """


@ca.command("init")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    required=True,
    help="An IP address or name by which hosts reach the controller; may be repeated.",
)
@install_to_option
@directory_option
@days_option
@click.pass_obj
def init(
    context: Context,
    addresses: tuple[str, ...],
    install_to: PurePosixPath,
    directory: Path,
    days: int,
) -> None:
    """Make a certificate authority, and keys and certificates for the controller and for the Open
    vSwitch of this machine.

    Prints the lines for the controller's configuration file. The authority itself is valid for ten
    years. Whoever reads ca.key in its directory can let any host in: keep that on this machine, and
    in a backup. An authority that is there already is not overwritten.
    """
    try:
        certificates.create(directory, addresses, days)
    except certificates.CertificateError as error:
        raise click.ClickException(str(error)) from None
    everywhere = "[::]" if all(":" in address for address in addresses) else "0.0.0.0"
    options = {
        "openflow": {
            "listen": f"{everywhere}:{OPENFLOW_PORT}",
            "tls_private_key": str(directory / certificates.CONTROLLER_KEY),
            "tls_certificate": str(directory / certificates.CONTROLLER),
            "tls_ca_certificates": str(directory / certificates.AUTHORITY),
        },
        "ovsdb": {"listen": f"{everywhere}:{OVSDB_PORT}"},
    }
    own = _enrol(context, directory, install_to, days)
    if context.output.json({"directory": str(directory), "own_host": own, **options}):
        return
    click.echo(f"# For the controller's configuration file; then restart the controller. {own}")
    for group, values in options.items():
        click.echo(f"\n[{group}]")
        for option, value in values.items():
            click.echo(f"{option} = {value}")


@ca.command("renew")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    help="An IP address or name of the controller, instead of the former ones; may be repeated.",
)
@install_to_option
@directory_option
@days_option
@click.pass_obj
def renew(
    context: Context,
    addresses: tuple[str, ...],
    install_to: PurePosixPath,
    directory: Path,
    days: int,
) -> None:
    """Make new certificates for the controller and for the Open vSwitch of this machine, before the
    former ones run out.

    The controller's key and the authority stay, so other hosts need nothing. Restart the controller
    afterwards, which costs no packet. Their certificates are renewed by `tenantry host invite`.
    """
    try:
        names = certificates.renew(directory, addresses, days)
    except certificates.CertificateError as error:
        raise click.ClickException(str(error)) from None
    path = str(directory / certificates.CONTROLLER)
    own = _enrol(context, directory, install_to, days)
    answer = {"certificate": path, "addresses": names, "days": days, "own_host": own}
    if not context.output.json(answer):
        click.echo(f"{path} is for {', '.join(names)}, {days} days; restart the controller. {own}")


def _enrol(context: Context, authority: Path, directory: PurePosixPath, days: int) -> str:
    """Give the Open vSwitch of this machine a certificate, if one runs here: it joins by its Unix
    socket, so nobody invites it. What has become of it, in a sentence."""
    try:
        remotes = features.load(context.files).ovsdb.connections
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None
    own = next((remote for remote in remotes if remote.startswith("unix:")), None)
    if own is None:
        return "No Open vSwitch of this machine is among [ovsdb] connections."
    vsctl = f"ovs-vsctl --db={shlex.quote(own)} --timeout=10"
    says = f"{vsctl} --if-exists get Open_vSwitch . external_ids:hostname external_ids:system-id"
    found, _ = _shell(f"{says} && {vsctl} get-ssl")
    if found is None:
        return (
            f"No Open vSwitch answers at {own}; once one does, `tenantry ca renew` gives it a "
            "certificate."
        )
    hostname, system_id, *rest = [line.strip('"') for line in found.split("\n")]
    name = hostname or system_id or socket.gethostname()
    others = [line for line in rest if line.startswith("Private key: ")]
    if others and str(directory) not in others[0]:
        return f"The Open vSwitch of {name} keeps the certificate that it has ({others[0]})."
    try:
        issued = certificates.issue(authority, name, days)
    except certificates.CertificateError as error:
        raise click.ClickException(str(error)) from None
    done, why = _shell("\n".join(["set -eu", *_installing(issued, directory, vsctl)]))
    if done is None:
        raise click.ClickException(
            f"the Open vSwitch of {name} gets no certificate, and would not be let in: {why}; mend "
            "that, then `tenantry ca renew`"
        )
    return f"The Open vSwitch of {name} has its certificate."


def _shell(script: str) -> tuple[str | None, str]:
    """What it printed, None if it failed; and its last complaint."""
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False)
    return (None if done.returncode else done.stdout), done.stderr.strip().rpartition("\n")[2]


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
        *(_installing(issued, install_to) if issued else ()),
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


def _installing(
    issued: certificates.Issued, directory: PurePosixPath, vsctl: str = "ovs-vsctl"
) -> list[str]:
    files = {
        "host.key": issued.private_key,
        "host.pem": issued.certificate,
        "ca.pem": issued.ca_certificates,
    }
    quoted, parent = shlex.quote(str(directory)), shlex.quote(str(directory.parent))
    paths = [shlex.quote(str(directory / name)) for name in files]
    return [
        "umask 077",
        f"mkdir -p {quoted}",
        *(
            f"cat > {path} <<'END'\n{pem}END"
            for path, pem in zip(paths, files.values(), strict=True)
        ),
        # Some distributions run Open vSwitch as a user of its own, whose /etc/openvswitch is.
        f'chown -R "$(stat -c %u:%g {parent})" {quoted}',
        f"{vsctl} set-ssl {' '.join(paths)}",
    ]


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
