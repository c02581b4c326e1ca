# SPDX-License-Identifier: Apache-2.0

"""``tenantry ca``: the certificate authority by which hosts and controller know each other."""

from __future__ import annotations

import shlex
import socket
import subprocess
from pathlib import Path, PurePosixPath

import click

from tenantry.controller import config
from tenantry.controller.cli import features
from tenantry.controller.client import Context
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
    done, why = _shell("\n".join(["set -eu", *installing(issued, directory, vsctl)]))
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


def installing(
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
