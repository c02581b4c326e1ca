# SPDX-License-Identifier: Apache-2.0

"""What the ``tenantry`` commands share: the API of a running controller, and how answers are shown.

Tables for people, colour only on a terminal; ``--json`` for programs. Errors say what to do next.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tenantry.controller.config.nearest import did_you_mean

Json = Any


def unreadable() -> tuple[type[Exception], ...]:
    """What is raised by an answer that is no HTTP, no JSON, or says something else. eventlet gives
    urllib, sooner or later, another http.client than us."""
    green = vars(urllib.request)["http"].client
    return (http.client.HTTPException, green.HTTPException, ValueError, LookupError, TypeError)


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

    def post(self, path: str, /, **query: object) -> Json:
        """Errors: ClickException, with what to do."""
        return self._ask("POST", path, 60.0, query)

    def _ask(self, method: str, path: str, seconds: float, query: dict[str, object]) -> Json:
        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{path}?{urllib.parse.urlencode(given)}"
        try:
            request = urllib.request.Request(url, method=method)
            with urllib.request.urlopen(request, timeout=seconds) as reply:
                return None if reply.status == 204 else json.load(reply)
        except urllib.error.HTTPError as error:
            raise click.ClickException(self._message(error)) from None
        except OSError as error:
            raise click.ClickException(
                f"no controller answers at {self.url} ({why(error, seconds)}); start one with "
                "`tenantry serve`, or name it with --url or TENANTRY_URL"
            ) from None
        except unreadable():
            raise click.ClickException(self._no_controller()) from None

    def _message(self, error: urllib.error.HTTPError) -> str:
        """What a controller says is wrong; somebody else's words mean nothing here."""
        try:
            return str(json.load(error)["NeutronError"]["message"])
        except unreadable():
            return self._no_controller()

    def _no_controller(self) -> str:
        return (
            f"what answers at {self.url} is no Tenantry controller; name one with --url or "
            "TENANTRY_URL, like http://127.0.0.1:9696"
        )

    def find(self, collection: str, name: str) -> Json:
        """The one resource of this id or name. Errors: ClickException."""
        for field in ("id", "name"):
            found = self.get(f"/v2.0/{collection}", **{field: name})[collection]
            if len(found) > 1:
                ids = ", ".join(resource["id"] for resource in found)
                raise click.ClickException(f"{name} is the name of several {collection}: {ids}")
            if found:
                return found[0]
        names = {
            each["name"] for each in self.get(f"/v2.0/{collection}", fields="name")[collection]
        }
        raise click.ClickException(
            f"none of the {collection} has the id or name {name}{did_you_mean(name, names)}"
        )


def why(error: OSError, seconds: float) -> str:
    """Why nobody could be reached within so many seconds, in the system's words."""
    reason = getattr(error, "reason", error)  # of urllib, which wraps what it got
    if isinstance(reason, TimeoutError):
        return f"not within {seconds:g} s"
    if isinstance(reason, OSError) and reason.errno and not isinstance(reason, socket.gaierror):
        return os.strerror(reason.errno)  # eventlet has the name of the error only
    return str(getattr(reason, "strerror", None) or reason)


def api_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """An address of the API. Errors: BadParameter."""
    try:
        parts = urllib.parse.urlsplit(value)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        right = right and not (parts.query or parts.fragment) and value.isascii()
        right = right and value.isprintable() and " " not in value
    except ValueError:  # no port, or brackets that do not match
        right = False
    if not right:
        raise click.BadParameter(f"{value} is not of the form http://ADDRESS:PORT")
    return value


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
