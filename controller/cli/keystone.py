# SPDX-License-Identifier: Apache-2.0

"""``tenantry keystone``: a Keystone of one's own, for clients that insist on one.

It is the real one, from PyPI (``pip install 'tenantry[keystone]'``), on SQLite in a folder of its
own. What this file owns is only what people otherwise do by hand: configuration, keys, the first
users and roles, the catalogue, and the files by which controller and clients know of it.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import yaml
from webob import Request

from tenantry.controller import config
from tenantry.controller.client import URL, Context, api_url

DIRECTORY = "/var/lib/tenantry/keystone"
ENDPOINT = "http://127.0.0.1:5000"
REGION = "RegionOne"
INTERFACES = ("admin", "internal", "public")
DOMAIN = "Default"
CONTROLLER = "tenantry"
USERS = {
    "admin": ("admin", "admin"),
    "manager": ("demo", "manager"),
    "member": ("demo", "member"),
    "reader": ("demo", "reader"),
    CONTROLLER: ("service", "service"),
}
"""Who there is, in which project, with which role. The last is the controller, which asks as such
who its callers are."""

_PACKAGES = {"keystone": "keystone", "waitress": "waitress"}

_CONFIGURATION = """\
[DEFAULT]
public_endpoint = {endpoint}
log_file = {directory}/keystone.log
log_rotation_type = size
max_logfile_size_mb = 20
max_logfile_count = 2
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {directory}/fernet-keys
[fernet_receipts]
key_repository = {directory}/fernet-keys
[credential]
key_repository = {directory}/credential-keys
"""

_CONTROLLER = """\
# For `tenantry serve`, beside your own file if you have one:
# tenantry --config-file tenantry.conf --config-file {directory}/tenantry.conf serve
[api]
auth_type = keystone
[keystone_authtoken]
auth_url = {endpoint}/v3
www_authenticate_uri = {endpoint}/v3
auth_type = password
username = {user}
password = {password}
user_domain_name = {domain}
project_name = {project}
project_domain_name = {domain}
region_name = {region}
service_token_roles = service
service_token_roles_required = true
"""


def _installed(context: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """The folder, once it is sure that there is a Keystone to put there."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{' and '.join(missing)} cannot be imported; run "
            f"`{sys.executable} -m pip install 'tenantry[keystone]'`"
        )
    return value


_directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    callback=_installed,
    help="Where its database, keys and configuration are.",
)


@click.group()
def keystone() -> None:
    """A Keystone of your own, for Terraform, Ansible and Horizon, which insist on one.

    Begin with `tenantry keystone init`, then `tenantry keystone serve`. A Keystone that you have
    already needs neither: [keystone_authtoken] in the controller's configuration names it.
    """


@keystone.command("init")
@_directory_option
@click.option(
    "--endpoint",
    default=ENDPOINT,
    show_default=True,
    callback=api_url,
    help="Its own URL, as clients and the controller reach it.",
)
@click.option(
    "--network",
    default=URL,
    show_default=True,
    callback=api_url,
    help="The URL of the controller's API, as clients reach it.",
)
@click.pass_obj
def init(context: Context, directory: Path, endpoint: str, network: str) -> None:
    """Set a Keystone up: keys, roles, users admin, manager, member and reader, a catalogue.

    May be run again: passwords, and what others made, stay; a URL that has changed is put right.
    Whoever reads the folder has all passwords.
    """
    endpoint, network = endpoint.rstrip("/"), network.rstrip("/")
    clouds, options = directory / "clouds.yaml", directory / "tenantry.conf"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        known = _passwords(clouds)
        passwords = {user: known.get(user) or secrets.token_urlsafe(18) for user in USERS}
        values = {"directory": directory, "endpoint": endpoint, "domain": DOMAIN}
        values |= {"region": REGION, "user": CONTROLLER, "project": USERS[CONTROLLER][0]}
        _write(directory / "keystone.conf", _CONFIGURATION.format(**values))
        _write(clouds, _clouds(endpoint, passwords))
        _write(options, _CONTROLLER.format(**values, password=passwords[CONTROLLER]))
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or directory}: {error.strerror}; choose another --directory, or "
            "become a user who may write there"
        ) from None
    owner = [f"--keystone-user={os.geteuid()}", f"--keystone-group={os.getegid()}"]
    _manage(directory, ["db_sync"], ["fernet_setup", *owner], ["credential_setup", *owner])
    urls = [f"--bootstrap-{interface}-url={endpoint}/v3" for interface in INTERFACES]
    words = [f"--bootstrap-password={passwords['admin']}", f"--bootstrap-region-id={REGION}"]
    _manage(directory, ["bootstrap", *words, *urls])
    identity = _Identity(directory, passwords["admin"])
    for user, (project, role) in USERS.items():
        if user != "admin":  # whom bootstrap has made, or given a new password
            identity.user(user, passwords[user], project, role, new=user not in known)
    identity.service("identity", "keystone", f"{endpoint}/v3")
    identity.service("network", "neutron", network)
    identity.service("load-balancer", "octavia", f"{network}/load-balancer")
    if context.output.json({"clouds": str(clouds), "config_file": str(options)}):
        return
    others = ", ".join(user for user in USERS if user not in ("member", CONTROLLER))
    where = "" if directory == Path(DIRECTORY) else f" --directory {directory}"
    click.echo(
        f"Keystone is set up for {endpoint}; its network is {network}.\n"
        f"Start it:                tenantry keystone serve{where}\n"
        f"Then the controller:     tenantry --config-file {options} serve\n"
        f"As a user of a project:  export OS_CLIENT_CONFIG_FILE={clouds} OS_CLOUD=member\n"
        f"                         (or {others})"
    )


@keystone.command("serve")
@_directory_option
@click.option(
    "--listen",
    default="127.0.0.1:5000",
    show_default=True,
    help="ADDRESS:PORT. Passwords pass here: put a proxy with TLS before anything but loopback.",
)
def serve(directory: Path, listen: str) -> None:
    """Run the Keystone in the foreground, until Ctrl-C. Its log is keystone.log in the folder.

    One request is answered after the other: SQLite takes one writer at a time, and would have
    others wait, then fail.
    """
    import waitress

    try:
        where = config.address(listen, "--listen")
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None
    application = _application(directory)
    try:
        server = waitress.create_server(application, host=where.host, port=where.port, threads=1)
    except OSError as error:
        raise click.ClickException(
            f"{listen}: {error.strerror}; choose another --listen, and name it by `tenantry "
            "keystone init --endpoint`"
        ) from None
    click.echo(f"Keystone answers at {listen}")
    server.run()


def _write(path: Path, text: str) -> None:
    """A file that nobody else may read, whole or not at all."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def _clouds(endpoint: str, passwords: dict[str, str]) -> str:
    clouds = {
        user: {
            "auth_type": "v3password",
            "auth": {
                "auth_url": f"{endpoint}/v3",
                "username": user,
                "password": passwords[user],
                "user_domain_name": DOMAIN,
                "project_name": project,
                "project_domain_name": DOMAIN,
            },
            "region_name": REGION,
            "identity_api_version": 3,
        }
        for user, (project, _) in USERS.items()
    }
    text: str = yaml.safe_dump({"clouds": clouds}, sort_keys=False)
    return text


def _passwords(clouds: Path) -> dict[str, str]:
    """Those that an earlier run made."""
    if not clouds.exists():
        return {}
    try:
        stored = yaml.safe_load(clouds.read_text())["clouds"]
        return {user: str(stored[user]["auth"]["password"]) for user in USERS if user in stored}
    except (yaml.YAMLError, LookupError, TypeError):
        raise click.ClickException(
            f"{clouds} is not as `tenantry keystone init` has written it; mend it, or remove it: "
            "then all get new passwords"
        ) from None


def _manage(directory: Path, *commands: list[str]) -> None:
    """``keystone-manage``, each of these beside the others. Errors: ClickException, with the last
    line of one that failed."""
    program = "from keystone.cmd.manage import main; main()"
    start = [sys.executable, "-W", "ignore", "-c", program]
    start.append(f"--config-file={directory / 'keystone.conf'}")
    started = [
        subprocess.Popen([*start, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for words in commands
    ]
    said = [process.communicate()[1].decode(errors="replace") for process in started]
    for words, process, text in zip(commands, started, said, strict=True):
        if process.returncode:
            raise click.ClickException(
                f"keystone-manage {words[0]} failed: {text.strip().rpartition(chr(10))[2]}; "
                f"{directory}/keystone.log has more"
            )


def _application(directory: Path) -> Any:
    """Keystone as WSGI. It is configured by its environment and, unless there are none, by the
    arguments of whatever program it is in."""
    configuration = directory / "keystone.conf"
    if not configuration.exists():
        raise click.ClickException(
            f"{directory} has no Keystone; begin with `tenantry keystone init`"
        )
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(configuration)
    del sys.argv[1:]
    from keystone.wsgi.api import application

    return application


class _Identity:
    """The Identity API (v3), called as WSGI, as the administrator of the system: nobody needs to
    listen for that."""

    def __init__(self, directory: Path, password: str) -> None:
        self._application = _application(directory)
        self._token = ""
        user = {"name": "admin", "domain": {"name": DOMAIN}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"system": {"all": True}}}}
        self._token = self._send("POST", "/auth/tokens", body).headers["X-Subject-Token"]

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        request = Request.blank(f"/v3{path}", method=method)
        request.headers["X-Auth-Token"] = self._token
        if body is not None:
            request.json = body
        response = request.get_response(self._application)
        if response.status_code >= 400:
            raise click.ClickException(
                f"Keystone answered {response.status_code} to {method} {path}: {response.text}"
            )
        return response

    def _ensure(self, kind: str, known: dict[str, str], more: dict[str, str]) -> tuple[Any, bool]:
        """The one of a kind that is as ``known`` says, and whether it was there; else it is made,
        with ``more``."""
        words = "&".join(f"{name}={value}" for name, value in known.items())
        found = self._send("GET", f"/{kind}s?{words}").json[f"{kind}s"]
        if found:
            return found[0], True
        return self._send("POST", f"/{kind}s", {kind: {**known, **more}}).json[kind], False

    def user(self, name: str, password: str, project: str, role: str, *, new: bool) -> None:
        """A user with a role in a project. ``new``: the password is."""
        domain = {"domain_id": "default"}
        where, _ = self._ensure("project", {"name": project, **domain}, {})
        known = {"name": name, **domain}
        user, there = self._ensure("user", known, {"password": password})
        if there and new:
            self._send("PATCH", f"/users/{user['id']}", {"user": {"password": password}})
        (named,) = self._send("GET", f"/roles?name={role}").json["roles"]
        self._send("PUT", f"/projects/{where['id']}/users/{user['id']}/roles/{named['id']}")

    def service(self, kind: str, name: str, url: str) -> None:
        """A service of the catalogue, whose interfaces are all at ``url``."""
        service, _ = self._ensure("service", {"type": kind}, {"name": name})
        for interface in INTERFACES:
            known = {"service_id": service["id"], "interface": interface, "region_id": REGION}
            endpoint, _ = self._ensure("endpoint", known, {"url": url})
            if endpoint["url"] != url:
                change = {"endpoint": {"url": url}}
                self._send("PATCH", f"/endpoints/{endpoint['id']}", change)
