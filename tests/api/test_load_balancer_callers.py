# SPDX-License-Identifier: Apache-2.0

"""Who may do what to load balancers and their parts: Octavia's default policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Api, caller
from tests.api.lbaas import LBAAS
from tests.api.one_of_each import World, one_of_each_balanced

OWNER = "owner"

KINDS = ("loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule")

MAY_WRITE = [
    (OWNER, "member"),
    (OWNER, "manager"),
    (OWNER, "load-balancer_member"),
    ("operators", "admin"),
    ("operators", "load-balancer_admin"),
]
MAY_READ = [
    (OWNER, "reader"),
    (OWNER, "load-balancer_observer"),
    ("operators", "load-balancer_global_observer"),
]
MAY_NOTHING = [
    (OWNER, "nothing"),
    ("stranger", "member"),
    ("stranger", "load-balancer_observer"),
    ("stranger", "load-balancer_member"),
    ("operators", "load-balancer_quota_admin"),
]


class Stage:
    """One of each kind, of a project; and who asks for it next."""

    def __init__(self, make_api: Callable[..., Api]) -> None:
        self.who = caller(OWNER, "admin")
        self.api = make_api(authenticate=lambda request: self.who)
        self.world: World = one_of_each_balanced(self.api)

    def ask(self, method: str, path: str, body: Any = None) -> int:
        return self.api.request(method, path, body)[0]

    def reading(self) -> dict[str, int]:
        """What each way to read is answered with."""
        urls = {kind: self.world.urls[kind] for kind in KINDS}
        balancer = urls["loadbalancer"]
        paths = [*urls.values(), f"{balancer}/status", f"{balancer}/stats"]
        paths.append(f"{urls['listener']}/stats")
        return {path: self.ask("GET", path) for path in paths}

    def writing(self) -> dict[str, int]:
        """Likewise to write; what is made or deleted is for those who may do neither."""
        found = {}
        for kind in KINDS:
            url, called = self.world.urls[kind], self.world.called(kind)
            found[f"PUT {kind}"] = self.ask("PUT", url, {called: {"admin_state_up": True}})
        members = self.world.urls["member"].rpartition("/")[0]
        path = f"{members}?additive_only=true"
        found["PUT members"] = self.ask("PUT", path, {"members": []})
        return found

    def making(self) -> dict[str, int]:
        found = {}
        for kind in KINDS:
            url, body = self.world.new[kind]
            found[f"POST {kind}"] = self.ask("POST", url, {self.world.called(kind): body})
            found[f"DELETE {kind}"] = self.ask("DELETE", self.world.urls[kind])
        return found


@pytest.fixture
def stage(make_api: Callable[..., Api]) -> Stage:
    return Stage(make_api)


def every(statuses: dict[str, int], *expected: int) -> None:
    assert {*statuses.values()} <= {*expected}, statuses


@pytest.mark.parametrize("who", MAY_WRITE)
def test_who_may_write(stage: Stage, who: tuple[str, str]) -> None:
    stage.who = caller(*who)
    every(stage.reading(), 200)
    every(stage.writing(), 200, 202)
    for kind in ("l7rule", "l7policy", "healthmonitor", "member"):
        assert stage.ask("DELETE", stage.world.urls[kind]) == 204, kind


@pytest.mark.parametrize("who", MAY_READ)
def test_who_may_read(stage: Stage, who: tuple[str, str]) -> None:
    stage.who, head = caller(*who), stage.api.store.head
    every(stage.reading(), 200)
    every(stage.writing(), 403)
    every(stage.making(), 403)
    assert stage.api.store.head == head


@pytest.mark.parametrize("who", MAY_NOTHING)
def test_who_may_nothing(stage: Stage, who: tuple[str, str]) -> None:
    stage.who, head = caller(*who), stage.api.store.head
    every(stage.reading(), 403)
    every(stage.writing(), 403)
    made = stage.making()
    assert made.pop("POST loadbalancer") in (403, 400)  # of one's own, on what one does not see
    every(made, 403)
    assert stage.api.store.head == head


@pytest.mark.parametrize("who", [*MAY_WRITE, *MAY_READ, *MAY_NOTHING])
def test_lists_have_what_one_may_see(stage: Stage, who: tuple[str, str]) -> None:
    stage.who = caller(*who)
    for kind in ("loadbalancer", "listener", "pool", "healthmonitor", "l7policy"):
        path = stage.world.urls[kind].rpartition("/")[0]
        status, answer = stage.api.request("GET", path)
        if who in MAY_NOTHING and who[1] in ("nothing", "load-balancer_quota_admin"):
            assert status == 403, (kind, answer)
        else:
            found = len(answer[path.removeprefix(f"{LBAAS}/")])
            assert found == 0 if who in MAY_NOTHING else found, (kind, answer)
