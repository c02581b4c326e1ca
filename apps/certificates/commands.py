# SPDX-License-Identifier: Apache-2.0

"""``tenantry certificate``: what load balancers show, and whom they trust."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from tenantry.apps.certificates.policies import PATH
from tenantry.controller.client import Context
from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.feature.secrets import SecretsError, add_key

KEY_FILE = "/var/lib/tenantry/secrets.key"
"""The keys that seal what is secret in the store."""

SOON_DAYS = 30
"""Before its end a certificate is warned of."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _file_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option("--certificate", type=_FILE, help="PEM: its own, or authorities'."),
            click.option("--private-key", type=_FILE, help="PEM; it is never shown again."),
            click.option("--intermediates", type=_FILE, help="PEM: what leads to its authority."),
            click.option("--crl", type=_FILE, help="PEM: which certificates are revoked."),
            click.option("--pkcs12", type=_FILE, help="All but the last in one file."),
            click.option(
                "--passphrase-file", type=_FILE, help="Of an encrypted key or a PKCS #12."
            ),
        )
    ):
        command = option(command)
    return command


def _given(files: dict[str, Path | None]) -> dict[str, str]:
    """Attributes, of the options. Errors: ClickException."""
    said = {}
    for name, path in files.items():
        if path is None:
            continue
        try:
            data = path.read_bytes()
            if name == "pkcs12":
                said[name] = base64.b64encode(data).decode()
            elif name == "passphrase_file":
                said["passphrase"] = data.decode().rstrip("\r\n")
            else:
                said[name] = data.decode()
        except OSError as error:
            raise click.ClickException(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise click.ClickException(
                f"{path} is not PEM; `openssl x509 -inform DER` makes that of DER, and --pkcs12 "
                "takes a PKCS #12 file"
            ) from None
    return said


def _found(context: Context, name: str) -> Any:
    """The certificate of this id or name. Errors: ClickException."""
    every = context.client.get(PATH)["certificates"]
    found = [one for one in every if name in (one["id"], one["name"])]
    if len(found) > 1:
        ids = ", ".join(one["id"] for one in found)
        raise click.ClickException(f"{name} is the name of several certificates: {ids}")
    if not found:
        names = {one["name"] for one in every}
        raise click.ClickException(
            f"no certificate has the id or name {name}{did_you_mean(name, names)}"
        )
    return found[0]


@click.group()
def certificate() -> None:
    """What load balancers show in TLS, and whom they trust."""


@certificate.command("add")
@click.argument("name")
@_file_options
@click.pass_obj
def add(context: Context, /, name: str, **files: Path | None) -> None:
    """Keep a certificate under a name, and say how listeners refer to it."""
    said = {"name": name, **_given(files)}
    _tell(context, _sent(context, "POST", PATH, said))


@certificate.command("renew")
@click.argument("name")
@_file_options
@click.pass_obj
def renew(context: Context, /, name: str, **files: Path | None) -> None:
    """Put another in a certificate's place: whoever shows it shows the new one from then on."""
    said = _given(files)
    if not said:
        raise click.UsageError("name the new one's files: --certificate, --private-key, ...")
    id = _found(context, name)["id"]
    _tell(context, _sent(context, "PUT", f"{PATH}/{id}", said))


def _sent(context: Context, method: str, path: str, said: dict[str, str]) -> Any:
    answer = context.client.request(method, path, 60.0, {"certificate": said}, {})
    return answer["certificate"]


def _tell(context: Context, shown: Any) -> None:
    if context.output.json(shown):
        return
    click.echo(f"{context.client.url}{PATH}/{shown['id']}")
    warning = _warning(shown)
    if warning:
        click.secho(f"It {warning}.", fg="yellow", err=True)


@certificate.command("list")
@click.pass_obj
def list_all(context: Context) -> None:
    """Show all certificates, and when they end."""
    every = context.client.get(PATH)["certificates"]
    if context.output.json(every):
        return
    rows = []
    for one in every:
        names, users = ", ".join(one["names"]) or one["subject"], len(one["used_by"])
        rows.append([one["name"], one["id"], _what(one), names, _until(one), users])
    columns = ["name", "id", "is", "names", "until", "used by"]
    context.output.table("Certificates", columns, rows)


@certificate.command("show")
@click.argument("name")
@click.pass_obj
def show(context: Context, name: str) -> None:
    """Show one certificate; its private key is shown to nobody."""
    one = _found(context, name)
    if context.output.json(one):
        return
    seen = ("id", "name", "project_id", "subject", "issuer", "names", "serial_number")
    rows = [[each, _words(one[each])] for each in (*seen, "fingerprint", "not_before")]
    rows.append(["not_after", _until(one)])
    rows.append(["private key", "kept, and not shown" if one["has_private_key"] else "none"])
    rows.append(["used by", _words(one["used_by"])])
    rows.append(["reference", f"{context.client.url}{PATH}/{one['id']}"])
    context.output.table("Certificate", ["", ""], rows)


@certificate.command("remove")
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Forget a certificate that nobody uses."""
    context.client.delete(f"{PATH}/{_found(context, name)['id']}")


@certificate.command("new-key")
@click.option(
    "--file",
    type=click.Path(dir_okay=False),
    default=KEY_FILE,
    show_default=True,
    help="Where the keys are ([certificates] key_file).",
)
def new_key(file: str) -> None:
    """Make a new key to seal private keys by, on the controller's machine. With the next start of
    the controller all are sealed by it; then the older lines of the file may go."""
    try:
        add_key(file)
    except SecretsError as error:
        raise click.ClickException(str(error)) from None


def _what(one: Any) -> str:
    if one["has_private_key"]:
        return "shown"
    return "trusted" if one["certificate"] else "revoked ones"


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _until(one: Any) -> str:
    warning = _warning(one)
    return f"{one['not_after']}, {warning}" if warning else str(one["not_after"] or "not said")


def _warning(one: Any) -> str:
    left = one["expires_in_days"]
    if left is None or left > SOON_DAYS:
        return ""
    return f"expires in {left} days" if left >= 0 else "has expired"
