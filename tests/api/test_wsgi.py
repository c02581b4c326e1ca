# SPDX-License-Identifier: Apache-2.0

"""Requests that are wrong before any resource is looked at, and discovery."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webob import Request

from tenantry.controller.api.application import Route
from tenantry.controller.api.wsgi import MAX_BODY, MOST_VALUES
from tests.api.conftest import Api
from tests.api.one_of_each import one_of_each


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "Cannot understand JSON"),
        (b'{"network": NaN}', "NaN is not JSON"),
        (b'{"network": {"name": 1e999}}', "too large"),
        (b'{"network": {"name": "\xff"}}', "Cannot understand JSON"),
        (b'{"network": {"name": "\\ud800"}}', "surrogates not allowed"),
        (b'{"network": {"name": "\\u0000"}}', "NUL"),
        (b'{"network": {"mtu": ' + b"9" * 5000 + b"}}", "Cannot understand JSON"),
        (b"[" * 100_000, "Cannot understand JSON"),
        (b'{"network": {"mtu": 1400, "mtu": 1300}}', "'mtu' is given twice"),
    ],
)
def test_what_is_not_json_is_refused(api: Api, raw: bytes, message: str) -> None:
    seen = api.refused(400, "MalformedRequestBody", "POST", "/v2.0/networks", raw)
    assert message in seen


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Resource body required"),
        ([], "Resource body required"),
        ("network", "Resource body required"),
        ({}, "Resource body required"),
        ({"networks": []}, "Resource body required"),
        ({"networks": {}}, "Resource body required"),
        ({"networks": [{"name": "a"}, 7]}, "Unable to find 'network' in request body"),
        ({"network": None}, "Unable to find 'network' in request body"),
        ({"network": []}, "Unable to find 'network' in request body"),
        ({"port": {}}, "Unable to find 'network' in request body"),
    ],
)
def test_what_is_no_resource_is_refused(api: Api, body: object, message: str) -> None:
    assert message in api.refused(400, "HTTPBadRequest", "POST", "/v2.0/networks", body)


def test_json_is_read_whatever_it_is_called(api: Api) -> None:
    headers = {"Content_Type": "application/x-www-form-urlencoded"}  # what `curl -d` says
    status, _ = api.request("POST", "/v2.0/networks", b'{"network": {}}', **headers)
    assert status == 201


def test_too_large_a_body_is_refused_unread(api: Api) -> None:
    class Unreadable(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("read")

    request = Request.blank("/v2.0/networks", method="POST", content_type="application/json")
    request.environ["wsgi.input"] = Unreadable()
    request.content_length = MAX_BODY + 1
    response = request.get_response(api.app)
    assert response.status_int == 413
    assert response.json["NeutronError"]["type"] == "HTTPRequestEntityTooLarge"
    fits = b'{"network": {"description": "' + b"x" * (MAX_BODY - 40) + b'"}}'
    api.refused(400, "HTTPBadRequest", "POST", "/v2.0/networks", fits)


def test_a_chunked_body_is_limited_too(api: Api) -> None:
    request = Request.blank("/v2.0/networks", method="POST", content_type="application/json")
    request.environ["wsgi.input"] = io.BytesIO(b" " * (MAX_BODY + 1))
    request.environ["wsgi.input_terminated"] = True
    request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    request.content_length = None
    assert request.get_response(api.app).status_int == 413


def test_a_body_of_very_many_values_is_refused(api: Api) -> None:
    many = b'{"network": [' + b"[]," * MOST_VALUES + b"1]}"
    assert len(many) < MAX_BODY
    words = api.refused(400, "MalformedRequestBody", "POST", "/v2.0/networks", many)
    assert "send several requests" in words


@pytest.mark.parametrize(
    "path", ["/v2.1", "/v2.0/colours", "/v2.0/networks/1/2", "/v2.0/networks/x/tags/y/z"]
)
def test_unknown_paths(api: Api, path: str) -> None:
    api.refused(404, "HTTPNotFound", "GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v2.0/networks", "GET, POST"),
        ("DELETE", "/v2.0/networks", "GET, POST"),
        ("POST", "/v2.0/networks/x", "DELETE, GET, PUT"),
        ("POST", "/", "GET"),
    ],
)
def test_unknown_methods(api: Api, method: str, path: str, allowed: str) -> None:
    response = Request.blank(path, method=method).get_response(api.app)
    assert (response.status_int, response.headers["Allow"]) == (405, allowed)
    assert response.json["NeutronError"]["type"] == "HTTPMethodNotAllowed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "X"])
@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("HTTP_HOST", ["", "a:b:c", "\xff", "[::1", "[::1]:x", "x" * 5000, "%", "a:99999999999"]),
        ("CONTENT_LENGTH", ["x", "-1", "1e3"]),
        ("CONTENT_TYPE", ["\xff; charset=none", "application/json; charset=utf-16", ";;;"]),
        ("HTTP_CONTENT_ENCODING", ["gzip"]),
        ("HTTP_ACCEPT", ["x", "text/html;q=x"]),
        ("HTTP_IF_MATCH", ["\xff", "*", "revision_number=" + "9" * 5000]),
        ("HTTP_X_PROJECT_ID", ["\xff\x00", "  "]),
    ],
)
def test_no_header_is_an_internal_error(
    api: Api, method: str, header: str, values: list[str]
) -> None:
    id = api.create("network")["id"]
    for value in values:
        for path in ("/", "/v2.0/networks", "/v2.0/networks?limit=1", f"/v2.0/networks/{id}"):
            request = Request.blank(path, method=method)
            request.body = b'{"network": {}}'
            request.environ[header] = value
            assert request.get_response(api.app).status_int < 500, (value, path)


def test_an_endless_project_is_refused(api: Api) -> None:
    api.refused(400, "HTTPBadRequest", "GET", "/v2.0/networks", X_Project_Id="x" * 256)


def test_discovery(api: Api) -> None:
    _, root = api.request("GET", "/")
    (version,) = root["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert version["links"][0]["href"] == "http://localhost/v2.0/"
    _, resources = api.request("GET", "/v2.0/")
    collections = {r["collection"] for r in resources["resources"]}
    own = [kind for kind in api.kinds.values() if not (kind.internal or kind.service)]
    assert collections == {kind.collection for kind in own}
    assert collections >= {"networks", "subnets", "ports", "routers", "security_groups"}
    _, extensions = api.request("GET", "/v2.0/extensions")
    aliases = {extension["alias"] for extension in extensions["extensions"]}
    assert aliases >= {
        *("provider", "binding", "net-mtu", "standard-attr-tag", "pagination"),
        *("subnet_allocation", "default-subnetpools", "subnetpool-prefix-ops", "address-scope"),
        *("subnet-service-types", "network-ip-availability", "tenantry-service-address"),
        *("allowed-address-pairs", "extra_dhcp_opt", "dns-integration", "dns-domain-ports"),
        *("security-group", "stateful-security-group", "address-group", "rbac-policies"),
        *("security-groups-normalized-cidr", "security-groups-default-rules"),
    }
    for alias in aliases:
        status, answer = api.request("GET", f"/v2.0/extensions/{alias}")
        assert (status, answer["extension"]["alias"]) == (200, alias)
    api.refused(404, "ExtensionsNotFound", "GET", "/v2.0/extensions/colours")


def test_neutrons_paths_are_written_in_several_ways(api: Api) -> None:
    world = one_of_each(api)
    for kind, url in world.urls.items():
        for path in (url, url.rpartition("/")[0]):
            _, there = api.request("GET", path)
            below = path.removeprefix("/v2.0/")
            others = [below.replace("_", "-"), below.replace("-", "_")]
            if path == url:  # an id is written in one way
                others = [f"{other.rpartition('/')[0]}/{world.id(kind)}" for other in others]
            if not api.kinds[kind].parent:
                for other in others:
                    assert api.request("GET", f"/v2.0/{other}") == (200, there), other
            assert api.request("GET", f"{path}.json") == (200, there)
    for path in ("floatingip-pools", "network_ip_availabilities", "log/loggable_resources.json"):
        assert api.request("GET", f"/v2.0/{path}")[0] == 200, path
    network = world.urls["network"]
    assert api.request("PUT", f"{network}.json", {"network": {"name": "x"}})[0] == 200
    assert api.request("PUT", f"{network}/tags/a.json")[0] == 201
    assert "a.json" in world.shown("network")["tags"]
    assert api.request("GET", "/v2.0/networks.yaml")[0] == 404
    assert api.request("GET", "/v2.0/networks.json/")[0] == 200


def test_other_routes_are_served_beside_neutrons(make_api: Callable[..., Api]) -> None:
    def show(request: Request, context: Any, switch: str) -> tuple[int, Any]:
        return 200, {"switch": switch, "project": context.project_id}

    def fail(request: Request, context: Any) -> tuple[int, Any]:
        raise RuntimeError("a secret")

    api = make_api(
        routes=[
            Route("GET", "/tenantry/v1/switches/{switch}", show),
            Route("GET", "/tenantry/v1/fail", fail),
        ]
    )
    assert api.request("GET", "/tenantry/v1/switches/s-1_2.json")[1]["switch"] == "s-1_2.json"
    assert api.request("GET", "/tenantry/v1/switches/s1") == (
        200,
        {"switch": "s1", "project": "default"},
    )
    message = api.refused(500, "HTTPInternalServerError", "GET", "/tenantry/v1/fail")
    assert "secret" not in message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["10.0.0.9", "10.0.0.0/24", "2001:db8::/64", "fa:16:3e:00:00:01", "::1%eth0"]
    ),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values, max_size=3)
    ),
    max_leaves=6,
)

PAIR = st.fixed_dictionaries({}, optional={"mac_address": JSON, "ip_address": JSON})
OPTION = st.fixed_dictionaries(
    {"opt_name": st.sampled_from(["router", "67", "mtu"]) | JSON, "opt_value": JSON},
    optional={"ip_version": JSON},
)
VALUES = {
    "allowed_address_pairs": st.lists(PAIR, max_size=3),
    "extra_dhcp_opts": st.lists(OPTION, max_size=3),
    "prefixes": st.lists(JSON, max_size=3),
    "service_types": st.lists(JSON, max_size=3),
    "dns_name": st.from_regex(r"[a-z0-9.-]{1,20}\n?", fullmatch=True),
    "dns_domain": st.from_regex(r"[a-z0-9.-]{1,20}\.\n?", fullmatch=True),
}
"""What comes closer to being right, for attributes that are not simple."""


def _made(api: Api, kind: str, **attributes: Any) -> str:
    status, answer = api.request("POST", api.kinds[kind].path, {kind: attributes})
    assert status == 201, answer
    id: str = answer[kind]["id"]
    return id


@pytest.fixture
def routes(api: Api, network: str) -> Iterator[tuple[Api, dict[str, str]]]:
    """The API, with an id of each kind."""
    port = api.create("port", network_id=network)["id"]
    subnet = api.list("subnet")[0]["id"]
    scope = api.create("address_scope", name="s", ip_version=4)["id"]
    pool = api.create("subnetpool", name="p", prefixes=["10.8.0.0/16"])["id"]
    group = api.list("security_group")[0]
    rule = _made(api, "firewall_rule")
    yield (
        api,
        {
            "network": network,
            "subnet": subnet,
            "port": port,
            "address_scope": scope,
            "subnetpool": pool,
            "security_group": group["id"],
            "security_group_rule": group["security_group_rules"][0]["id"],
            "address_group": api.create("address_group", name="a")["id"],
            "firewall_rule": rule,
            "firewall_policy": _made(api, "firewall_policy", firewall_rules=[rule]),
            "firewall_group": _made(api, "firewall_group", ports=[port]),
            "log": _made(api, "log", resource_type="security_group"),
        },
    )


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_junk_is_an_internal_error(
    routes: tuple[Api, dict[str, str]], data: st.DataObject
) -> None:
    api, ids = routes
    kind = data.draw(st.sampled_from(sorted(ids)))
    names = [name for name in api.kinds[kind].attributes if name != "network_id"]
    attributes = data.draw(
        st.dictionaries(st.sampled_from(names) | st.text(max_size=4), JSON, max_size=3)
    )
    for name in data.draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=2)):
        if name in names:
            attributes[name] = data.draw(VALUES[name])
    if kind in ("subnet", "port") and data.draw(st.booleans()):
        attributes["network_id"] = ids["network"]
    if kind == "subnet" and data.draw(st.booleans()):
        attributes = {"cidr": "10.9.0.0/24", "ip_version": 4, **attributes}
    if kind == "security_group_rule" and data.draw(st.booleans()):
        some = {"security_group_id": ids["security_group"], "direction": "ingress"}
        attributes = {**some, **attributes}
    if kind == "subnetpool" and data.draw(st.booleans()):
        attributes = {"name": "x", "prefixes": ["10.9.0.0/16"], **attributes}
    body = data.draw(
        st.sampled_from(
            [{kind: attributes}, {api.kinds[kind].collection: [attributes]}, attributes]
        )
        | JSON
    )
    root = api.kinds[kind].path
    below = ["tags", "tags/x", *api.kinds[kind].actions]
    url = data.draw(
        st.sampled_from([root, f"{root}/{ids[kind]}", *(f"{root}/{ids[kind]}/{b}" for b in below)])
    )
    method = data.draw(st.sampled_from(["GET", "POST", "PUT"]))
    query = data.draw(
        st.dictionaries(
            st.sampled_from([*names, "limit", "marker", "sort_key"]),
            st.text(max_size=6),
            max_size=2,
        )
    )
    request = Request.blank(url, method=method, content_type="application/json")
    request.query_string = (
        "&".join(f"{k}={v}" for k, v in query.items())
        .encode("utf-8", "surrogatepass")
        .decode("latin-1")
    )
    request.body = json.dumps(body).encode()
    response = request.get_response(api.app)
    assert response.status_int < 500 or response.status_int == 503, response.text


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]),
    path=st.binary(max_size=20),
    query=st.binary(max_size=20),
    body=st.binary(max_size=30),
)
def test_no_bytes_are_an_internal_error(
    api: Api, method: str, path: bytes, query: bytes, body: bytes
) -> None:
    for prefix in ("/", "/v2.0/", "/v2.0/networks/"):
        request = Request.blank("/", method=method)
        request.environ["PATH_INFO"] = prefix + path.decode("latin-1")
        request.environ["QUERY_STRING"] = query.decode("latin-1")
        request.body = body
        assert request.get_response(api.app).status_int < 500
