# SPDX-License-Identifier: Apache-2.0

"""What the ``tenantry`` commands share: the API of a running controller, and how answers are shown.

Tables for people, colour only on a terminal; ``--json`` for programs. Errors say what to do next.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from tenantry.controller.config.nearest import did_you_mean

if TYPE_CHECKING:
    from keystoneauth1.session import Session
    from requests import Response

Json = Any

URL = "http://127.0.0.1:9696"
"""Where a controller listens that was told nothing else."""

_CREDENTIALS = ("OS_AUTH_TYPE", "OS_AUTH_URL", "OS_USERNAME", "OS_TOKEN", "OS_ENDPOINT")
"""Variables any of which says how to prove who one is, as for the ``openstack`` client."""

_BAD = (ValueError, LookupError, TypeError)
"""What is raised by an answer that is no JSON, or says something else."""


class NoController(click.ClickException):
    """Nobody answers, or somebody else does; ``reason`` is why, in a few words."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Access(NamedTuple):
    """How a controller is reached, and where; by what credentials, for errors."""

    session: Session
    url: str
    by: str


class Client:
    """The API of a running controller, for the commands below."""

    def __init__(
        self, url: str | None = None, cloud: str | None = None, *, verify: bool = True
    ) -> None:
        """``url`` is the controller's; else the one that goes with the credentials: those of a
        ``cloud`` in clouds.yaml, else those in the environment (``OS_*``), else none. Without
        ``verify``, there are none, and any certificate will do: whoever is at the ``url`` is known
        otherwise."""
        self._url = url and url.rstrip("/")
        self.cloud = cloud
        self._verify = verify

    @cached_property
    def access(self) -> Access:
        """Errors: ClickException, with what to do."""
        given = self.cloud or any(os.environ.get(name) for name in _CREDENTIALS)
        if given and self._verify:
            return _by_credentials(self.cloud, self._url)
        from keystoneauth1 import noauth, session

        certificate, key = os.environ.get("OS_CERT"), os.environ.get("OS_KEY")
        return Access(
            session.Session(
                noauth.NoAuth(),
                verify=self._verify and (os.environ.get("OS_CACERT") or True),
                cert=(certificate, key) if certificate and key else None,
            ),
            self._url or URL,
            "",
        )

    @property
    def asked_url(self) -> str:
        """The one that was asked for, whatever the credentials say; else where one listens that was
        told nothing else."""
        return self._url or URL

    @property
    def has_url(self) -> bool:
        """Whether one was asked for."""
        return self._url is not None

    @property
    def url(self) -> str:
        return self.access.url

    def get(self, path: str, seconds: float = 60.0, /, **query: object) -> Json:
        """The answer, if it comes within ``seconds``. Errors: ClickException, with what to do."""
        return self._ask("GET", path, seconds, query)

    def delete(self, path: str, /, **query: object) -> None:
        """Errors: ClickException, with what to do."""
        self._ask("DELETE", path, 60.0, query)

    def post(self, path: str, /, **query: object) -> Json:
        """Errors: ClickException, with what to do."""
        return self._ask("POST", path, 60.0, query)

    def request(
        self, method: str, path: str, seconds: float, body: Json, headers: Mapping[str, str]
    ) -> Json:
        """The answer to a request with a body. Errors: ClickException, with what to do."""
        return self._ask(method, path, seconds, {}, json=body, headers=dict(headers))

    def stream(self, path: str, seconds: float, /, **query: object) -> Iterator[bytes]:
        """The bytes of an answer as they come, for as long as none lets wait for ``seconds``.
        Errors: ClickException, with what to do."""
        with closing(self._answered("GET", path, seconds, query, stream=True)) as answer:
            yield from answer.iter_content(None)

    def _ask(
        self, method: str, path: str, seconds: float, query: dict[str, object], **more: Any
    ) -> Json:
        answer = self._answered(method, path, seconds, query, **more)
        try:
            return None if answer.status_code == 204 else answer.json()
        except _BAD:
            raise self._no_controller() from None

    def _answered(
        self,
        method: str,
        path: str,
        seconds: float,
        query: dict[str, object],
        **more: Any,
    ) -> Response:
        from keystoneauth1 import exceptions

        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{path}{'?' if given else ''}{urllib.parse.urlencode(given)}"
        try:
            answer = self.access.session.request(
                url,
                method,
                timeout=seconds,
                raise_exc=False,
                user_agent="tenantry",
                **more,
            )
        except exceptions.SSLError:
            raise NoController(
                f"the certificate of {self.url} is not trusted, or is for another name: its "
                "authority's is named by OS_CACERT, or by cacert in clouds.yaml",
                "its certificate is not trusted",
            ) from None
        except (exceptions.ConnectFailure, exceptions.UnknownConnectionError) as error:
            reason = why(error, seconds)
            if not reason:
                raise self._no_controller() from None
            raise NoController(
                f"no controller answers at {self.url} ({reason}); start one with "
                "`tenantry serve`, or name it with --url or TENANTRY_URL",
                reason,
            ) from None
        except exceptions.ClientException as error:  # of Keystone's, before we are asked
            raise click.ClickException(_not_let_in(self.access.by, error)) from None
        try:
            if answer.status_code == 401:
                raise click.ClickException(self._unauthorized(answer))
            if answer.status_code >= 400:
                raise click.ClickException(str(answer.json()["NeutronError"]["message"]))
        except _BAD:
            raise self._no_controller() from None
        return answer

    def _unauthorized(self, answer: Response) -> str:
        """What a controller says that does not know us, and the next step."""
        message = str(answer.json()["NeutronError"]["message"])
        way, _, uri = answer.headers.get("WWW-Authenticate", "").partition(' uri="')
        if self.access.by:
            return f"{self.url}: {message}; see {self.access.by}"
        if way == "Keystone":
            wanted = f"OS_AUTH_URL={uri.rstrip(chr(34))}, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME"
        else:
            wanted = "OS_AUTH_TYPE=http_basic, OS_USERNAME, OS_PASSWORD"
        return f"{self.url}: {message}: set {wanted}; or name a cloud of clouds.yaml by --os-cloud"

    def _no_controller(self) -> NoController:
        return NoController(
            f"what answers at {self.url} is no Tenantry controller; name one with --url or "
            f"TENANTRY_URL, like {URL}, or https:// if it has a certificate",
            "what answers is no Tenantry controller",
        )

    def find(self, collection: str, name: str, by: str = "name") -> Json:
        """The one resource of this id or name, or of this value of the attribute ``by``. Errors:
        ClickException."""
        words = by.replace("_", " ")
        for field in ("id", by):
            found = self.get(f"/v2.0/{collection}", **{field: name})[collection]
            if len(found) > 1:
                ids = ", ".join(resource["id"] for resource in found)
                raise click.ClickException(f"{name} is the {words} of several {collection}: {ids}")
            if found:
                return found[0]
        names = {each[by] for each in self.get(f"/v2.0/{collection}", fields=by)[collection]}
        raise click.ClickException(
            f"none of the {collection} has the id or {words} {name}{did_you_mean(name, names)}"
        )


def _by_credentials(cloud: str | None, url: str | None) -> Access:
    """By clouds.yaml and ``OS_*``, as the ``openstack`` client reads them. Errors:
    ClickException."""
    from keystoneauth1 import exceptions
    from openstack import exceptions as sdk
    from openstack.config import OpenStackConfig

    by = f"{cloud} in clouds.yaml" if cloud else "OS_USERNAME and OS_PASSWORD"
    try:
        region = OpenStackConfig().get_one(cloud)
        session = region.get_session()
        found = url or session.get_endpoint(
            service_type="network",
            interface=region.get_interface("network"),
            region_name=region.get_region_name("network"),
            skip_discovery=True,
        )
    except (exceptions.ClientException, sdk.SDKException) as error:
        raise click.ClickException(_not_let_in(by, error)) from None
    return Access(session, (found or URL).rstrip("/").removesuffix("/v2.0"), by)


def _not_let_in(by: str, error: Exception) -> str:
    words = str(error).splitlines()[0].rstrip(".")
    return f"{by} do not say who you are, or are wrong: {words}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def why(error: Exception, seconds: float) -> str:
    """Why nobody could be reached within so many seconds, in the system's words; "" if somebody
    was, but does not speak HTTP."""
    for each in _chain(error):
        if isinstance(each, TimeoutError) or type(each).__name__.endswith("Timeout"):
            return f"not within {seconds:g} s"
        if isinstance(each, socket.gaierror):
            return str(each.strerror)
        if isinstance(each, OSError) and each.errno == errno.ECONNRESET:
            return ""
        if isinstance(each, OSError) and each.errno:
            return os.strerror(each.errno)  # eventlet has the name of the error only
    return ""


def api_url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An address of the API. Errors: BadParameter."""
    if value is None:
        return None
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

    def __init__(
        self, files: tuple[str, ...], url: str | None, as_json: bool, cloud: str | None = None
    ) -> None:
        self.files = list(files)
        self.client = Client(url, cloud)
        self.output = Output(as_json)
