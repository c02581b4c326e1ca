# SPDX-License-Identifier: Apache-2.0

"""What it costs to prove who one is, once that is known: a GET of a port by each door beside one
that asks nobody, in turns, in one process and without HTTP, which costs the same by each."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from webob import Request

from tenantry.controller.api import application, auth
from tenantry.controller.cli import features
from tenantry.controller.config import accounts
from tenantry.controller.config.accounts import Account
from tenantry.controller.store import Store
from tests import keystone as fake
from tests.bench import Figure, in_turns, ratio

GETS, TURNS = 50, 100
NAME, PASSWORD = "alice", "correct-horse"


def bench() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="build") as name, fake.served() as keystone:
        directory = Path(name)
        with accounts.changed(directory / "accounts") as found:
            found[NAME] = Account(NAME, accounts.crypt(PASSWORD), "blue", ("admin",))
        conf = features.load([])
        conf.set_override("accounts", str(directory / "accounts"), "api")
        ours = {"auth_url": keystone.url, "username": fake.USER, "password": fake.PASSWORD}
        for option, value in {**ours, "token_cache_time": 3600}.items():
            conf.set_override(option, value, "keystone_authtoken")
        parts = [app.build(conf) for app in features.apps()]
        kinds = application.kinds([part.extension for part in parts if part.extension])
        store = Store(f"sqlite:///{directory}/tenantry.db", kinds)
        said = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        headers = {
            "none": {},
            "basic": {"Authorization": f"Basic {said}"},
            "keystone": {"X-Auth-Token": keystone.issue(NAME, "blue", ("admin",))},
        }
        gets: dict[str, Callable[[], None]] = {}
        port = ""
        for door, by in headers.items():
            conf.set_override("auth_type", door, "api")
            app = application.application(store, kinds, auth.door(conf))
            port = port or _port(app)
            gets[door] = _gets(app, f"/v2.0/ports/{port}", by)
            gets[door]()
        times = dict(zip(gets, in_turns(*gets.values(), rounds=TURNS), strict=True))
        for door in ("basic", "keystone"):
            yield ratio(f"doors.{door}", times[door], times["none"], "a GET without", 1.1)
        assert keystone.asked == 1
        store.close()


def _port(app: application.Application) -> str:
    """The id of a new one."""
    made = {}
    for kind in ("network", "port"):
        request = Request.blank(f"/v2.0/{kind}s", method="POST")
        request.json_body = {kind: {"network_id": made["id"]} if made else {}}
        made = request.get_response(app).json_body[kind]
    return str(made["id"])


def _gets(app: application.Application, path: str, headers: dict[str, str]) -> Callable[[], None]:
    def ask() -> None:
        for _ in range(GETS):
            assert Request.blank(path, headers=headers).get_response(app).status_int == 200

    return ask
