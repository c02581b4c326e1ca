# SPDX-License-Identifier: Apache-2.0

"""The same attempts as ``tests/api/test_who_may.py``, by people of a real Keystone with tokens of
its: what a token is worth, the door has to find out each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from webob import Request

from tenantry.controller.api import application, auth
from tenantry.controller.cli import features
from tests.api.attempts import CALLERS, OPERATORS, OWNER, Attempt, Person, wrong
from tests.api.conftest import Api, extensions
from tests.api.one_of_each import one_of_each
from tests.clients.keystone import Keystone

PASSWORD = "correct horse"


class People:
    """Makes users, each with roles of their own in a project, in an empty Keystone."""

    def __init__(self, keystone: Keystone) -> None:
        self._url = f"http://{keystone.address}/v3"
        admin = yaml.safe_load(keystone.clouds.read_text())["clouds"]["admin"]["auth"]
        self._session = Session(v3.Password(**admin))

    def token(self, project: str, *roles: str) -> str:
        name = "-".join((project, *roles))
        within = self._id("project", project)
        user = self._id("user", name, password=PASSWORD)
        for role in roles:
            url = f"{self._url}/projects/{within}/users/{user}/roles/{self._id('role', role)}"
            self._session.put(url)
        said = {"user_id": user, "password": PASSWORD, "project_id": within}
        return str(Session(v3.Password(auth_url=self._url, **said)).get_token())

    def _id(self, kind: str, name: str, **more: str) -> str:
        """Of one of that name, which is made if there is none."""
        there = self._session.get(f"{self._url}/{kind}s", params={"name": name}).json()[f"{kind}s"]
        if there:
            return str(there[0]["id"])
        new = {kind: {"name": name, **more}}
        return str(self._session.post(f"{self._url}/{kind}s", json=new).json()[kind]["id"])


def test_nobody_sees_or_writes_what_the_rules_refuse(keystone: Keystone, tmp_path: Path) -> None:
    made = People(keystone)
    door = auth.door(features.load([str(keystone.directory / "tenantry.conf")]))

    def person(project: str, *roles: str) -> Person:
        token = made.token(project, *roles)
        request = Request.blank("/v2.0/networks", headers={"X-Auth-Token": token})
        return Person(door(request), {"X_Auth_Token": token})

    people = [person(*each) for each in CALLERS]
    maker = person(OWNER, "admin", "service")

    class Door(Api):
        def request(
            self, method: str, path: str, body: object = None, **headers: str
        ) -> tuple[int, Any]:
            return super().request(method, path, body, **{**maker.headers, **headers})

    kinds = application.kinds(extensions())
    api = Door(f"sqlite:///{tmp_path}/tenantry.db", kinds, authenticate=door)
    world = one_of_each(api)

    def call(attempt: Attempt) -> tuple[int, Any]:
        return api.request(attempt.method, attempt.url, attempt.body, **attempt.by.headers)

    faults = wrong(world, people, call)
    api.store.close()
    assert not faults, "\n".join(faults[:20])
    assert people[0].context.is_admin and OPERATORS in people[0].context.actor
