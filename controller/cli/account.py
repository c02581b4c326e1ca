# SPDX-License-Identifier: Apache-2.0

"""``tenantry account``: who may enter, with ``[api] auth_type = basic``.

It writes the file that the controller reads, on the controller's machine; what it changes holds
from the next request on. Passwords are asked for, or read from standard input: what stands in a
command line is seen by everybody on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tenantry.controller import config
from tenantry.controller.cli import features
from tenantry.controller.client import Context
from tenantry.controller.config import accounts
from tenantry.controller.config.accounts import Account


@click.group()
def account() -> None:
    """Who may enter with [api] auth_type = basic, on the controller's machine.

    Passwords are asked for, or are the first line of standard input.
    """


@account.command("add")
@click.argument("name")
@click.option("--project", required=True, help="Whose networks the account works on.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=("member",),
    show_default=True,
    help="admin, manager, member or reader (each is the following ones, too), service, or what "
    "your policies name; may be repeated.",
)
@click.pass_obj
def add(context: Context, name: str, project: str, roles: tuple[str, ...]) -> None:
    """Make an account."""
    with _changed(context) as found:
        for what, text in (("NAME", name), ("--project", project), *(("--role", r) for r in roles)):
            accounts.check_name(what, text)
        if name in found:
            raise ValueError(f"{name} has an account; `tenantry account passwd {name}` changes it")
        found[name] = Account(name, accounts.crypt(_password()), project, roles)
    _tell(context, {"name": name, "project": project, "roles": list(roles)})


@account.command("list")
@click.pass_obj
def list_accounts(context: Context) -> None:
    """The accounts, with their projects and roles."""
    try:
        found = accounts.read(_path(context)).values()
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None
    shown = [{"name": a.name, "project": a.project, "roles": [*a.roles]} for a in found]
    if not context.output.json(shown):
        rows = [[a.name, a.project, ", ".join(a.roles)] for a in found]
        context.output.table("Accounts", ["name", "project", "roles"], rows)


@account.command("passwd")
@click.argument("name")
@click.pass_obj
def passwd(context: Context, name: str) -> None:
    """Give an account another password. The former one is good for nothing from then on."""
    with _changed(context) as found:
        found[name] = _of(found, name)._replace(crypted=accounts.crypt(_password()))
    _tell(context, {"name": name})


@account.command("remove")
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Let an account in no more. Its project, and what is there, stay."""
    with _changed(context) as found:
        del found[_of(found, name).name]
    _tell(context, {"name": name})


def _of(found: dict[str, Account], name: str) -> Account:
    if name not in found:
        hint = config.did_you_mean(name, found)
        raise ValueError(f"there is no account {name}{hint}")
    return found[name]


def _path(context: Context) -> Path:
    try:
        api = features.load(context.files).api
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None
    if api.auth_type != "basic":
        click.echo(
            f"[api] auth_type is {api.auth_type}: accounts count once it is basic, in the "
            "configuration file (--config-file, TENANTRY_CONFIG)",
            err=True,
        )
    return Path(api.accounts)


@contextmanager
def _changed(context: Context) -> Iterator[dict[str, Account]]:
    try:
        with accounts.changed(_path(context)) as found:
            yield found
    except (config.ConfigError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _password() -> str:
    if sys.stdin.isatty():
        text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return text
    return sys.stdin.readline().rstrip("\r\n")


def _tell(context: Context, answer: dict[str, object]) -> None:
    context.output.json(answer)
