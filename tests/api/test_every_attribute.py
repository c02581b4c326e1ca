# SPDX-License-Identifier: Apache-2.0

"""Every attribute of every kind, as a filter, a sort key, and with values that nobody should send.

The attributes are those of the API's own maps: one that is new is tried, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import Api
from tests.api.one_of_each import World, one_of_each, one_of_each_balanced

NOT_SHOWN: dict[Any, str] = {
    "changed_since": "2000-01-01T00:00:00Z",
    "tags-any": "a,b",
    "not-tags": "elsewhere",
    "not-tags-any": "elsewhere",
    ("security_group", "is_default"): "false",
    ("subnet", "shared"): "false",
}
"""What finds the sample by attributes that no answer shows."""

TEXTS = [
    *("", " ", "None", "null", "true", "-1", "0", "1e999", "9" * 400, "x" * 5000, "a,b,,", "[]"),
    *("256.1.1.1", "1.2.3.4", "1.2.3.4/33", "10.0.0.0/24", "::", "fe80::1%eth0", "::/129"),
    *("fa:16:3e:00:00:01", "fa163e", "1-2-3-4-5-6-7-8", "%", "'; --", "größer", "\x00", "\ud800"),
    *("2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "ip_address=", "=a"),
    *("ip_address=x=y", "subnet_id=\x00", "ip_address_substr=%", "colour=1", "١٢"),
]
"""What a query may say."""

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.5, -0.0, 1e300),
    *("", " ", "x", "x" * 5000),
    *([], [None], [[]], [{}], ["x", "x"], [1, 1.5]),
    *({}, {"": None}, {"network_id": None}, {"x": {}}),
    *("10.1.0.300", "10.1.0.0/33", "::/129", "fe80::1%eth0", "::ffff:1.2.3.4/200", "256.1.1.1"),
    *("fa:16:3e", "01:00:5e:00:00:01", "00000000-0000-4000-8000-000000000000", "١٢", "größer\n"),
    *("0:0", "2:1", "1:2:3", "65536", "-1:5", "1e3", "None", "0x10", "ipv4", "\u202e"),
    [{"ip_address": "10.1.0.300", "subnet_id": "x"}],
    [{"ip_address": ["10.1.0.9"]}, {"subnet_id": {}}],
    [{"mac_address": 5, "ip_address": {}}],
    [{"opt_name": [], "opt_value": {}}],
    [{"destination": "10.0.0.0/8", "nexthop": []}],
    [{"destination": 8, "nexthop": "10.0.0.1"}],
    [{"start": "10.1.0.9", "end": "10.1.0.1"}],
    [{"start": 1, "end": None}],
    [{"port_id": [], "segmentation_type": "vlan", "segmentation_id": "x"}],
    [{"port_id": "x", "segmentation_type": {}, "segmentation_id": 10**30}],
    [{"provider:network_type": [], "provider:segmentation_id": {}}],
    {"network_id": "x", "external_fixed_ips": [{"ip_address": 5}], "enable_snat": "perhaps"},
    {"interface_name": {}, "user_data": 5, "meta": []},
    json.loads("[" * 60 + "]" * 60),
]
"""What a body may say: it is all JSON."""

IN_USE = {"trunk": {"admin_state_up": True}, "firewall_group": {"ports": []}}
"""What lets a resource be deleted."""

UNSUPPORTED = (501,)
"""What Octavia has that we have not."""

PYTHON = ("object is not", "has no attribute", "NoneType", "<class", "Traceback", "<obj", "() ")
"""What a message to a person does not say."""


@pytest.fixture(params=[one_of_each, one_of_each_balanced])
def world(api: Api, request: pytest.FixtureRequest) -> World:
    """Of Neutron's kinds, and of Octavia's."""
    made: World = request.param(api)
    return made


def is_balanced(world: World) -> bool:
    return "loadbalancer" in world.urls


def filters(world: World) -> Iterator[tuple[str, str]]:
    for kind in world.urls:
        for name, spec in world.api.kinds[kind].attributes.items():
            if spec.get("is_filter"):
                yield kind, name


def listed(world: World, kind: str, query: str) -> tuple[int, Any]:
    collection = world.urls[kind].rpartition("/")[0]
    status, answer = world.api.request("GET", f"{collection}?{query}")
    return status, answer.get(world.api.kinds[kind].collection, answer)


def spellings(world: World, kind: str, name: str) -> list[str]:
    """How a client asks for what the sample has; nothing, where that is None."""
    shown = {"tenant_id": "default", "project_id": "default", **world.shown(kind)}
    if name == "tags-any" and not shown["tags"]:
        return []
    if name not in shown and is_balanced(world) and name not in NOT_SHOWN:
        shown = world.api.store.read(kind)[world.id(kind)]
    if name not in shown:
        return [NOT_SHOWN.get((kind, name)) or NOT_SHOWN[name]]
    value = shown[name]
    texts: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            texts += [f"{key}={part}" for key, part in one.items()]
        elif isinstance(one, bool):
            texts += ["True", "true", "1"] if one else ["False", "false", "0"]
        elif one is not None:
            texts.append(str(one))
    return texts


def test_the_sample_has_one_of_each(world: World) -> None:
    kinds = [kind for kind in world.api.kinds.values() if not kind.internal]
    balanced = is_balanced(world)
    assert world.urls.keys() == {k.name for k in kinds if (k.service is not None) is balanced}


def test_every_filter_finds_what_has_the_value(world: World) -> None:
    wrong = []
    for kind, name in filters(world):
        for text in spellings(world, kind, name):
            query = f"{quote(name)}={quote(text)}"
            status, found = listed(world, kind, query)
            names = [world.name(kind, one) for one in found] if status == 200 else []
            if world.urls[kind].rpartition("/")[2] not in names:
                wrong.append(f"{kind}?{query}: {status} {found}")
    assert not wrong, "\n".join(wrong)


def test_no_filter_finds_what_has_another_value(world: World) -> None:
    about_time = {"changed_since", "not-tags", "not-tags-any"}
    wrong = []
    for kind, name in filters(world):
        value = world.shown(kind).get(name)
        if name in about_time or isinstance(value, bool) or name not in world.shown(kind):
            continue
        if value == 0:
            continue
        text = "ip_address=10.9.9.9" if name == "fixed_ips" else "0"
        status, found = listed(world, kind, f"{quote(name)}={text}")
        names = [world.name(kind, one) for one in found] if status != 400 else []
        if world.urls[kind].rpartition("/")[2] in names:
            wrong.append(f"{kind}?{name}={text}: {status} {found}")
    assert not wrong, "\n".join(wrong)


def test_no_query_is_an_internal_error(world: World) -> None:
    wrong = []
    generic = ("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields", "x")
    names = [*filters(world), *((kind, name) for kind in world.urls for name in generic)]
    for kind, name in names:
        for text in TEXTS:
            raw = quote(text.encode("utf-8", "surrogatepass"))
            status, answer = listed(world, kind, f"{quote(name)}={raw}")
            if status not in (200, 400, 404) or says_python(answer):
                wrong.append(f"{kind}?{name}={raw[:60]}: {status} {str(answer)[:200]}")
    assert not wrong, "\n".join(wrong)


def test_no_query_of_a_list_is_an_internal_error(api: Api) -> None:
    """Of lists that are made of something else than resources of a kind."""
    world = one_of_each(api)
    names = {
        "/v2.0/network-ip-availabilities": ("ip_version", "network_id", "project_id", "limit"),
        f"{world.urls['port']}/bindings": ("host", "status", "vif_type", "vnic_type", "marker"),
        "/v2.0/floatingip_pools": ("name", "subnet_id"),
        "/v2.0/log/loggable-resources": ("type", "x"),
        "/v2.0/extensions": ("alias",),
    }
    wrong = []
    for path, some in names.items():
        for name in (*some, "colour", "sort_key", "fields"):
            for text in TEXTS:
                raw = quote(text.encode("utf-8", "surrogatepass"))
                status, answer = world.api.request("GET", f"{path}?{name}={raw}")
                if status not in (200, 400, 404) or says_python(answer):
                    wrong.append(f"{path}?{name}={raw[:60]}: {status} {str(answer)[:200]}")
    assert not wrong, "\n".join(wrong)


def test_every_sort_key_sorts(world: World) -> None:
    for kind, (url, body) in world.new.items():
        assert world.api.request("POST", url, {world.called(kind): body})[0] == 201
        for name, spec in world.api.kinds[kind].attributes.items():
            if spec.get("is_sort_key"):
                query = f"sort_key={quote(name)}&sort_dir=desc"
                status, found = listed(world, kind, query)
                assert status == 200, (kind, name, found)
                seen = [one.get(name) for one in found if one.get(name) is not None]
                assert seen == sorted(seen, reverse=True), (kind, name)


def says_python(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    message = answer.get("faultstring") or answer.get("NeutronError", {}).get("message", "")
    return any(words in message for words in PYTHON)


def hostile(world: World, method: str, kind: str) -> list[str]:
    """Send each attribute that may be sent with each value, in a body that is right otherwise; what
    went wrong."""
    api, wrong = world.api, []
    allowed = "allow_post" if method == "POST" else "allow_put"
    url, whole = world.new[kind] if method == "POST" else (world.urls[kind], {})
    for name in [n for n, spec in api.kinds[kind].attributes.items() if spec[allowed]]:
        for value in VALUES:
            head = api.store.head
            called = world.called(kind)
            status, answer = api.request(method, url, {called: {**whole, name: value}})
            if status == 201:
                made = f"{url}/{quote(world.name(kind, answer[called]), safe='')}"
                if kind in IN_USE:
                    api.request("PUT", made, {kind: IN_USE[kind]})
                status, answer = api.request("DELETE", made)
            refused = status in (400, 403, 404, 409, *UNSUPPORTED) and api.store.head == head
            if not (status in (200, 204) or refused) or says_python(answer):
                wrong.append(f"{method} {kind} {name}={str(value)[:80]}: {status} {answer}")
    return wrong


def test_no_new_resource_is_an_internal_error(world: World) -> None:
    wrong = [line for kind in world.new for line in hostile(world, "POST", kind)]
    assert not wrong, "\n".join(wrong)


def test_no_change_is_an_internal_error(world: World) -> None:
    wrong = [line for kind in world.urls for line in hostile(world, "PUT", kind)]
    assert not wrong, "\n".join(wrong)


def test_no_action_is_an_internal_error(world: World) -> None:
    """What may be done to a resource besides changing it takes a body of its own."""
    api, wrong = world.api, []
    keys = ("subnet_id", "port_id", "sub_ports", "addresses", "prefixes", "firewall_rule_id")
    keys += ("insert_before", "insert_after", "routes", "external_gateways")
    for kind, url in world.urls.items():
        for action in api.kinds[kind].actions:
            for key in keys:
                for value in VALUES:
                    status, answer = api.request("PUT", f"{url}/{action}", {key: value})
                    if status not in (200, 202, 400, 403, 404, 405, 409) or says_python(answer):
                        wrong.append(f"{kind} {action} {key}={str(value)[:80]}: {status} {answer}")
    assert not wrong, "\n".join(wrong)
