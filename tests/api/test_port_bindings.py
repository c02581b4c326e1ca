# SPDX-License-Identifier: Apache-2.0

"""Port bindings: a port that is to be on further hosts, and moves there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from eventlet.green import subprocess

from tenantry.controller.api.core.port_binding import activate
from tenantry.controller.feature.extension import SYSTEM
from tests.api.conftest import Api, caller, path
from tests.api.openstack import Client

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def url(port: str, *below: str) -> str:
    return path("port", port, "bindings", *below)


def ask(api: Api, method: str, path: str, status: int = 200, **binding: Any) -> Any:
    seen, answer = api.request(method, path, {"binding": binding} if binding else None)
    assert seen == status, answer
    return answer


def bind(api: Api, port: str, **binding: Any) -> Any:
    return ask(api, "POST", url(port), 201, **binding)["binding"]


def bindings(api: Api, port: str, query: str = "") -> dict[str, str]:
    """Statuses by host, in the order of the list."""
    listed = ask(api, "GET", f"{url(port)}?{query}")["bindings"]
    return {binding["host"]: binding["status"] for binding in listed}


def standby(api: Api, port: str) -> list[str]:
    """What the model sees; it must be what is stored."""
    hosts: list[str] = (api.store.get("port", port) or {}).get("standby_hosts", [])
    stored = api.store.read("port_binding").values()
    assert hosts == sorted(body["host"] for body in stored if body["port_id"] == port)
    return hosts


def on(host: str, **profile: Any) -> dict[str, Any]:
    return {"binding:host_id": host, "binding:profile": profile}


def place(port: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return port["binding:host_id"], port["binding:profile"]


@pytest.fixture
def port(api: Api, network: str) -> str:
    """The id of a port on host ``one``."""
    id: str = api.create("port", network_id=network, **on("one", at=1))["id"]
    return id


def test_a_machine_moves_and_comes_back(api: Api, port: str) -> None:
    made = bind(api, port, host="two", profile={"at": 2}, vnic_type="direct")
    assert made == {
        "host": "two",
        "status": "INACTIVE",
        "vif_type": "binding_failed",  # there is nothing but Open vSwitch
        "vif_details": {},
        "vnic_type": "direct",
        "profile": {"at": 2},
    }
    assert ask(api, "GET", url(port, "two")) == {"binding": made}
    assert bind(api, port, host="three")["profile"] == {}
    assert bindings(api, port) == {"one": "ACTIVE", "three": "INACTIVE", "two": "INACTIVE"}
    assert standby(api, port) == ["three", "two"]
    assert place(api.show("port", port)) == ("one", {"at": 1})
    assert "standby_hosts" not in api.show("port", port)

    assert ask(api, "PUT", url(port, "two", "activate")) == {**made, "status": "ACTIVE"}
    moved = api.show("port", port)
    assert (*place(moved), moved["binding:vnic_type"]) == ("two", {"at": 2}, "direct")
    assert bindings(api, port) == {"two": "ACTIVE", "one": "INACTIVE", "three": "INACTIVE"}
    former = ask(api, "GET", url(port, "one"))["binding"]
    assert (former["profile"], former["vnic_type"]) == ({"at": 1}, "normal")
    assert standby(api, port) == ["one", "three"]

    ask(api, "PUT", url(port, "one", "activate"))
    ask(api, "DELETE", url(port, "two"), 204)
    ask(api, "DELETE", url(port, "three"), 204)
    assert bindings(api, port) == {"one": "ACTIVE"}
    assert place(api.show("port", port)) == ("one", {"at": 1})
    assert standby(api, port) == []


def test_one_commit_says_it_all(api: Api, port: str) -> None:
    before = api.show("port", port)["revision_number"]
    for write in (
        lambda: bind(api, port, host="two"),
        lambda: ask(api, "PUT", url(port, "two", "activate")),
        lambda: ask(api, "DELETE", url(port, "one"), 204),
    ):
        head = api.store.head
        write()
        assert api.store.head == head + 1
        (commit,) = api.store.history(head)
        assert {change.kind for change in commit.changes} == {"port", "port_binding"}
        after = api.show("port", port)["revision_number"]
        assert after == before + 1
        before = after


def test_bindings_are_changed_where_they_are(api: Api, port: str) -> None:
    bind(api, port, host="two", profile={"at": 2})
    changed = ask(api, "PUT", url(port, "two"), host="two", vnic_type="macvtap")["binding"]
    assert (changed["profile"], changed["vnic_type"]) == ({"at": 2}, "macvtap")
    assert ask(api, "PUT", url(port, "two"), profile=None)["binding"]["profile"] == {}
    active = ask(api, "PUT", url(port, "one"), profile={"at": 3})["binding"]
    assert (active["status"], active["profile"]) == ("ACTIVE", {"at": 3})
    assert place(api.show("port", port)) == ("one", {"at": 3})
    assert standby(api, port) == ["two"]


def test_without_its_active_binding_a_port_is_on_no_host(api: Api, port: str) -> None:
    bind(api, port, host="two")
    ask(api, "DELETE", url(port, "one"), 204)
    after = api.show("port", port)
    assert (*place(after), after["binding:vif_type"]) == ("", {}, "unbound")
    assert bindings(api, port) == {"": "ACTIVE", "two": "INACTIVE"}
    ask(api, "PUT", url(port, "two", "activate"))
    assert bindings(api, port) == {"two": "ACTIVE"}  # no host is no place to come back to
    assert standby(api, port) == []


def test_a_port_that_is_on_no_host_yet(api: Api, network: str) -> None:
    port = api.create("port", network_id=network)["id"]
    (unbound,) = ask(api, "GET", url(port))["bindings"]
    assert (unbound["vif_type"], unbound["vif_details"]) == ("unbound", {})
    assert bind(api, port, host="one")["status"] == "INACTIVE"
    assert bindings(api, port) == {"": "ACTIVE", "one": "INACTIVE"}


@pytest.mark.parametrize(
    ("host", "left"),
    [
        ("two", {"two": "ACTIVE", "three": "INACTIVE"}),
        ("four", {"four": "ACTIVE", "two": "INACTIVE", "three": "INACTIVE"}),
        ("", {"": "ACTIVE", "two": "INACTIVE", "three": "INACTIVE"}),
    ],
)
def test_a_port_that_is_moved_by_hand(api: Api, port: str, host: str, left: dict[str, str]) -> None:
    for other in ("two", "three"):
        bind(api, port, host=other, profile={"at": other})
    assert place(api.update("port", port, **{"binding:host_id": host})) == (host, {"at": 1})
    assert bindings(api, port) == left
    assert standby(api, port) == sorted(set(left) - {host})


def test_bindings_go_with_their_port(api: Api, port: str) -> None:
    bind(api, port, host="two")
    api.delete("port", port)
    assert not api.store.read("port_binding")


def test_lists_are_filtered_and_paged(api: Api, port: str) -> None:
    bind(api, port, host="two", vnic_type="direct")
    bind(api, port, host="three")
    for query, hosts in (
        ("status=INACTIVE", ["three", "two"]),
        ("status=ACTIVE&host=two", []),
        ("host=two&host=one", ["one", "two"]),
        ("vnic_type=direct", ["two"]),
        ("vif_type=unbound", []),
        ("limit=2", ["one", "three"]),
        ("limit=2&marker=three", ["two"]),
    ):
        assert list(bindings(api, port, query)) == hosts
    listed = ask(api, "GET", f"{url(port)}?fields=host&fields=profile&limit=1")
    assert listed["bindings"] == [{"host": "one", "profile": {"at": 1}}]
    assert "marker=one" in listed["bindings_links"][0]["href"]
    assert ask(api, "GET", url(port, "two") + "?fields=host") == {"binding": {"host": "two"}}


INTERFACE = {"interface_name": "veth0"}
USER_DATA = {"user_data": 7}


@pytest.mark.parametrize(
    ("status", "error", "method", "below", "binding"),
    [
        (409, "PortBindingAlreadyExists", "POST", (), {"host": "one"}),
        (409, "PortBindingAlreadyExists", "POST", (), {"host": "two"}),
        (409, "InterfaceInUse", "POST", (), {"host": "taken", "profile": INTERFACE}),
        (409, "InterfaceInUse", "POST", (), {"host": "standby", "profile": INTERFACE}),
        (400, "InvalidInput", "POST", (), {"host": "new", "profile": USER_DATA}),
        (400, "InvalidInput", "POST", (), {"host": "new", "profile": {"x": "y" * 65536}}),
        (400, "HTTPBadRequest", "POST", (), None),
        (400, "HTTPBadRequest", "POST", (), {}),
        (400, "HTTPBadRequest", "POST", (), {"profile": {}}),
        (400, "HTTPBadRequest", "POST", (), {"host": ""}),
        (400, "HTTPBadRequest", "POST", (), {"host": None}),
        (400, "HTTPBadRequest", "POST", (), {"host": ["new"]}),
        (400, "HTTPBadRequest", "POST", (), {"host": "x" * 256}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "profile": "x"}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "vnic_type": "cable"}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "status": "ACTIVE"}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "vif_type": "ovs"}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "description": "d"}),
        (400, "HTTPBadRequest", "POST", (), {"host": "new", "port_id": UNKNOWN}),
        (404, "PortBindingNotFound", "GET", ("new",), None),
        (404, "PortBindingNotFound", "PUT", ("new",), {"profile": {}}),
        (404, "PortBindingNotFound", "DELETE", ("new",), None),
        (404, "PortBindingNotFound", "PUT", ("new", "activate"), None),
        (409, "PortBindingAlreadyActive", "PUT", ("one", "activate"), None),
        (400, "HTTPBadRequest", "PUT", ("two",), {"host": "new"}),
        (400, "HTTPBadRequest", "PUT", ("one",), {"host": "two"}),
        (400, "HTTPBadRequest", "PUT", ("two",), {"vif_type": "ovs"}),
        (400, "HTTPBadRequest", "PUT", ("two",), {"standby_hosts": []}),
        (400, "InvalidInput", "PUT", ("two",), {"profile": USER_DATA}),
        (400, "InvalidInput", "PUT", ("one",), {"profile": USER_DATA}),
        (409, "InterfaceInUse", "PUT", ("standby",), {"profile": INTERFACE}),
    ],
)
def test_what_cannot_be(
    api: Api,
    network: str,
    port: str,
    status: int,
    error: str,
    method: str,
    below: Any,
    binding: Any,
) -> None:
    bind(api, port, host="two")
    if below == ("standby",):
        bind(api, port, host="standby")
    other = api.create("port", network_id=network, **on("taken", **INTERFACE))["id"]
    bind(api, other, host="standby", profile=INTERFACE)
    body = None if binding is None else {"binding": binding}
    api.refused(status, error, method, url(port, *below), body)


@pytest.mark.parametrize("query", ["colour=red", "sort_key=host&sort_dir=asc", "limit=x"])
def test_lists_that_cannot_be(api: Api, port: str, query: str) -> None:
    status, _ = api.request("GET", f"{url(port)}?{query}")
    assert status == 400


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", ()),
        ("POST", ()),
        ("GET", ("one",)),
        ("PUT", ("one",)),
        ("DELETE", ("one",)),
        ("PUT", ("one", "activate")),
    ],
)
def test_bindings_are_the_clouds_and_of_a_port(
    make_api: Callable[..., Api], method: str, below: tuple[str, ...]
) -> None:
    now = caller("owner")
    api = make_api(authenticate=lambda request: now)
    network = api.create("network")["id"]
    now = caller("nova", "service")
    port = api.create("port", network_id=network, project_id="owner", **on("one"))["id"]
    body = {"binding": {"host": "two"} if method == "POST" else {}}
    now = caller("owner")
    hidden = (403, "PolicyNotAuthorized") if method == "POST" else (404, "PortNotFound")
    api.refused(*hidden, method, url(port, *below), body)
    now = caller("other")
    api.refused(404, "PortNotFound", method, url(port, *below), body)
    now = caller("admin", "admin")
    if method != "GET":
        shown = (403, "PolicyNotAuthorized") if method == "POST" else (404, "PortNotFound")
        api.refused(*shown, method, url(port, *below), body)
    now = caller("nova", "service")
    api.refused(404, "PortNotFound", method, url(UNKNOWN, *below), body)
    api.request(method, url(port, *below), body)
    owners = {body["project_id"] for body in api.store.read("port_binding").values()}
    assert owners <= {"owner"}


def test_a_router_does_not_move(api: Api, network: str) -> None:
    port = api.create("port", network_id=network, device_owner="network:dhcp")["id"]
    body = {"binding": {"host": "one"}}
    assert "network:dhcp" in api.refused(400, "BadRequest", "POST", url(port), body)


def test_an_interface_waits_for_its_port(api: Api, network: str) -> None:
    port = api.create("port", network_id=network, **on("one", **INTERFACE))["id"]
    bind(api, port, host="two", profile=INTERFACE)
    other = api.create("port", network_id=network)["id"]
    for host in ("two", "one"):  # before and after
        for there in ("one", "two"):
            body = {"port": on(there, **INTERFACE)}
            api.refused(409, "InterfaceInUse", "PUT", path("port", other), body)
        ask(api, "PUT", url(port, host, "activate"))
    api.update("port", port, **{"binding:host_id": "two"})
    api.update("port", other, **on("one", **INTERFACE))
    assert standby(api, port) == []


def seen(api: Api, port: str, host: str) -> dict[str, Any]:
    """As the running controller does when the machine's first frame comes."""
    kinds = api.kinds
    api.store.write(
        lambda draft: activate(kinds, draft, SYSTEM, draft.get("port", port) or {}, host),
        SYSTEM.actor,
    )
    shown: dict[str, Any] = api.show("port", port)
    return shown


def test_a_first_frame_on_a_standby_host_activates_it(api: Api, port: str) -> None:
    bind(api, port, host="two", profile={"at": 2, "migrating_to": "two"})
    api.update("port", port, **{"binding:profile": {"at": 1, "migrating_to": "two"}})
    assert place(seen(api, port, "two")) == ("two", {"at": 2})
    assert ask(api, "GET", url(port, "one"))["binding"]["profile"] == {"at": 1}
    assert standby(api, port) == ["one"]


def test_a_first_frame_ends_a_migration_without_bindings(api: Api, port: str) -> None:
    api.update("port", port, **{"binding:profile": {"at": 1, "migrating_to": "two"}})
    head = api.store.head
    for elsewhere in ("one", "three"):
        assert place(seen(api, port, elsewhere)) == ("one", {"at": 1, "migrating_to": "two"})
    assert api.store.head == head
    assert place(seen(api, port, "two")) == ("two", {"at": 1})
    assert standby(api, port) == []
    seen(api, port, "two")
    assert api.store.head == head + 1


SDK = """
import json, sys
from neutronclient.v2_0.client import Client
import openstack
endpoint, port = sys.argv[1:]
network = openstack.connect(auth_type="none", endpoint=endpoint).network
network.create_port_binding(port, host="two", profile={"at": 2})
said = [{b.host: b.status for b in network.port_bindings(port)}]
said.append(network.activate_port_binding(port, "two").status)
said.append({b.host: b.status for b in network.port_bindings(port, status="INACTIVE")})
network.delete_port_binding(port, "one", ignore_missing=False)
old = Client(endpoint_url=endpoint, auth_strategy="noauth")
old.create_port_binding(port, {"binding": {"host": "three"}})
old.activate_port_binding(port, "three")
said.append(old.show_port_binding(port, "three"))
old.delete_port_binding(port, "two")
said.append(old.list_port_bindings(port)["bindings"])
print(json.dumps(said))
"""
"""Port bindings are in both of OpenStack's libraries; the command line has nothing for them."""


def test_the_libraries(client: Client, api: Api, port: str) -> None:
    endpoint = client._environment["OS_ENDPOINT"]
    done = subprocess.run(
        [sys.executable, "-c", SDK, endpoint, port], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    both, activated, inactive, shown, left = json.loads(done.stdout)
    assert both == {"one": "ACTIVE", "two": "INACTIVE"}
    assert (activated, inactive) == ("ACTIVE", {"one": "INACTIVE"})
    assert (shown["binding"]["host"], shown["binding"]["status"]) == ("three", "ACTIVE")
    assert left == [shown["binding"]]


def test_the_extension_is_listed(api: Api) -> None:
    _, answer = api.request("GET", "/v2.0/extensions/binding-extended")
    assert answer["extension"]["name"] == "Port Bindings Extended"
