# SPDX-License-Identifier: Apache-2.0

"""Long lists: nothing is made that is not asked for, and others have their turn meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.api.wsgi import encode
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import SYSTEM
from tests.api.conftest import Api
from tests.api.one_of_each import one_of_each

MANY = 40


@pytest.fixture
def ports(api: Api) -> list[dict[str, Any]]:
    network = api.create("network")["id"]
    wanted = [{"network_id": network, "name": f"p{number:02}"} for number in range(MANY)]
    status, answer = api.request("POST", "/v2.0/ports", {"ports": wanted})
    assert status == 201
    made: list[dict[str, Any]] = answer["ports"]
    return made


@pytest.fixture
def presented(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the ports that were presented, as they are."""
    names: list[str] = []
    kind = api.kinds["port"]
    present: Callable[..., Any] = kind.presented

    def note(reader: Any, context: Any, shown: dict[str, Any], body: Any) -> Any:
        names.append(shown["name"])
        return present(reader, context, shown, body)

    monkeypatch.setattr(kind, "presented", note)
    return names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=p07", ["p07"]),
        ("name=nobody", []),
        ("limit=2&sort_key=name&sort_dir=desc", ["p39", "p38"]),
        ("limit=2&sort_key=name&sort_dir=asc&status=DOWN", ["p00", "p01"]),
        ("limit=2&sort_key=name&sort_dir=asc&page_reverse=True", ["p39", "p38"]),
    ],
)
def test_nothing_is_presented_that_is_not_listed(
    api: Api, ports: list[Any], presented: list[str], query: str, names: list[str]
) -> None:
    listed = [port["name"] for port in api.list("port", query)]
    assert sorted(listed) == sorted(names)
    assert presented == names


def test_pages_are_sorted_by_what_is_observed(
    make_api: Callable[..., Api],
) -> None:
    def computed(kind: str, body: dict[str, Any]) -> dict[str, str]:
        return {"status": "ACTIVE" if body["name"] in ("b", "d") else "DOWN"}

    api = make_api(computed=computed)
    network = api.create("network")["id"]
    for name in "abcd":
        api.create("port", network_id=network, name=name)
    query = "sort_key=status&sort_dir=desc&sort_key=name&sort_dir=asc&limit=3"
    first = api.list("port", query)
    assert [port["name"] for port in first] == ["a", "c", "b"]
    rest = api.list("port", f"{query}&marker={first[-1]['id']}")
    assert [port["name"] for port in rest] == ["d"]
    assert [p["name"] for p in api.list("port", f"{query}&status=ACTIVE")] == ["b", "d"]


def test_what_is_shown_otherwise_than_it_is_stored_is_declared(api: Api) -> None:
    """Lists are filtered and sorted by all else as it is stored. How it is written is nothing
    else: a number, or its digits."""
    one_of_each(api)
    wrong = []
    for kind in api.kinds.values():
        for body in api.store.read(kind.name).values():
            for who in (SYSTEM, Context(project_id="red", actor="red", is_admin=False)):
                shown = kind.shown(api.store, who, body)
                wrong += [
                    (kind.name, name)
                    for name in shown.keys() & body.keys()
                    if str(shown[name]) != str(body[name]) and name not in kind.overridden
                ]
    assert not wrong


@pytest.mark.parametrize(
    "query", ["", "name=nobody", "limit=30", "sort_key=name&sort_dir=asc", "status=ACTIVE"]
)
def test_others_have_their_turn(
    api: Api, ports: list[Any], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """As often as the clock says: between any two items, if a turn lasts no time."""
    monkeypatch.setattr(runtime, "SLICE_SECONDS", 0)
    turns = 0
    done = False

    def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            runtime.pause()

    runtime.spawn(other)
    api.list("port", query)
    done = True
    assert turns >= 30


def test_a_list_is_written_in_pieces_as_it_is_written_whole() -> None:
    items = [{"number": number, "text": 'größer "x"'} for number in range(100)]
    for value in (
        {},
        {"ports": [], "ports_links": [{"rel": "next"}]},
        {"ports": items, 'a "name"': None, "count": 5, "of": {"x": [1, 2]}},
        items,
        "text",
    ):
        assert b"".join(encode(value)) == json.dumps(value).encode()
    assert encode({"ports": iter(items), "more": 1}) == encode({"ports": items, "more": 1})
