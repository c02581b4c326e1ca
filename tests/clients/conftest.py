# SPDX-License-Identifier: Apache-2.0

"""The API behind each door, served, with an administrator before it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.api import application, auth
from tenantry.controller.cli import features
from tests.api.conftest import Api, extensions
from tests.clients.keystone import TENANTRY, Keystone, run, serving

PASSWORD = "correct horse"


class Door(Api):
    """An API, and its administrator: here by ``credentials`` (headers), elsewhere by
    ``environment`` (OS_*)."""

    credentials: dict[str, str]
    environment: dict[str, str]

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        return super().request(method, path, body, **self.credentials, **headers)


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    made = Keystone(tmp_path_factory.mktemp("keystone"))
    made.init()
    with serving(made):
        yield made


@pytest.fixture(params=["none", "basic", "keystone"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Each of ``[api] auth_type``, with an account, or a user, that is an administrator, and a
    service: Nova alone writes ``binding:profile``."""
    options, port, credentials, environment = tmp_path / "tenantry.conf", 0, {}, {}
    if request.param == "none":
        options.touch()
        environment = {"OS_AUTH_TYPE": "none"}
    elif request.param == "basic":
        accounts = f"[api]\nauth_type = basic\naccounts = {tmp_path}/accounts\n"
        options.write_text(accounts)
        words = (
            "account",
            "add",
            "anna",
            "--project",
            "demo",
            "--role",
            "admin",
            "--role",
            "service",
        )
        run(TENANTRY, "--config-file", options, *words, input=f"{PASSWORD}\n")
        said = base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
        credentials = {"Authorization": f"Basic {said}"}
        environment = {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "anna"}
        environment["OS_PASSWORD"] = PASSWORD
    else:
        keystone: Keystone = request.getfixturevalue("keystone")
        options = keystone.directory / "tenantry.conf"
        admin = ("--user", "admin", "--project", "admin")
        keystone.ask("admin", "role", "add", *admin, "service")
        token = keystone.ask("admin", "token", "issue", "-f", "value", "-c", "id")
        credentials = {"X_Auth_Token": token}
        environment = keystone.environment("admin")
        port = keystone.network_port  # as its catalogue has it
    door = Door(
        f"sqlite:///{tmp_path}/tenantry.db",
        application.kinds(extensions()),
        authenticate=auth.door(features.load([str(options)])),
    )
    listener = runtime.listen(("127.0.0.1", port))
    server = runtime.spawn(runtime.wsgi_server, listener, door.app, log_output=False)
    door.credentials = credentials
    door.environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
    if not port:
        door.environment["OS_ENDPOINT"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield door
    server.kill()
    door.store.close()
