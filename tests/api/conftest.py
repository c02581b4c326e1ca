# SPDX-License-Identifier: Apache-2.0

"""The API at WSGI level: requests in, answers out, a store in a file of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from tenantry.apps.dhcp import resources as dhcp
from tenantry.apps.dns import resources as dns
from tenantry.apps.firewall import resources as firewall
from tenantry.apps.flavors import resources as flavors
from tenantry.apps.load_balancer import resources as load_balancer
from tenantry.apps.load_balancer.provisioning_status import Provisioning
from tenantry.apps.local_ip import resources as local_ip
from tenantry.apps.metering import resources as metering
from tenantry.apps.nat import resources as nat
from tenantry.apps.network_log import resources as network_log
from tenantry.apps.port_security import resources as port_security
from tenantry.apps.provider import resources as provider
from tenantry.apps.pvlan import resources as pvlan
from tenantry.apps.qos import resources as qos
from tenantry.apps.routing import resources as routing
from tenantry.apps.security_groups import resources as security_groups
from tenantry.apps.tap import resources as tap
from tenantry.apps.trunk import resources as trunk
from tenantry.controller.api import application as neutron
from tenantry.controller.api import auth
from tenantry.controller.feature.context import Context
from tenantry.controller.store import Store
from tests.api.openstack import CLIENT, Client, served
from tests.conftest import need

DNS_DOMAIN = "tenantry.internal."


def extensions() -> list[neutron.Extension]:
    """What the apps add to the API."""
    return [
        provider.extension(),
        port_security.extension(),
        dhcp.extension(),
        dns.extension(DNS_DOMAIN),
        flavors.extension(),
        routing.extension(),
        security_groups.extension(),
        firewall.extension(),
        nat.extension(),
        network_log.extension(),
        trunk.extension(),
        pvlan.extension(),
        local_ip.extension(),
        load_balancer.extension(Provisioning()),
        qos.extension(),
        tap.extension(),
        metering.extension(),
    ]


def caller(project: str, *roles: str) -> Context:
    """Somebody of a project: a member, if no roles are named. A role includes those below it, as
    in Keystone."""
    found = {below for role in roles or ("member",) for below in INCLUDED.get(role, (role,))}
    is_admin = "admin" in found
    return Context(project, f"project {project}", is_admin, f"{project}-user", frozenset(found))


INCLUDED = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
}


def path(kind: str, *below: str) -> str:
    """The URL of a kind's collection, or of something in it."""
    return "/".join((f"/v2.0/{kind.replace('_', '-')}s", *below))


class Api:
    """A client that checks the status of every answer, and remembers nothing."""

    def __init__(self, url: str, kinds: neutron.Kinds, **options: Any) -> None:
        self.kinds = kinds
        self.store = Store(url, kinds)
        authenticate = options.pop("authenticate", auth.none("default"))
        self.app = neutron.application(self.store, kinds, authenticate, **options)

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request.blank(path, method=method, headers=named)
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.content_type = named.get("Content-Type", "application/json")
        response = request.get_response(self.app)
        return response.status_int, json.loads(response.body) if response.body else None

    def create(self, kind: str, **attributes: Any) -> Any:
        status, answer = self.request("POST", path(kind), {kind: attributes})
        assert status == 201, answer
        return answer[kind]

    def update(self, kind: str, id: str, **attributes: Any) -> Any:
        status, answer = self.request("PUT", path(kind, id), {kind: attributes})
        assert status == 200, answer
        return answer[kind]

    def show(self, kind: str, id: str) -> Any:
        status, answer = self.request("GET", path(kind, id))
        assert status == 200, answer
        return answer[kind]

    def list(self, kind: str, query: str = "") -> Any:
        status, answer = self.request("GET", f"{path(kind)}?{query}")
        assert status == 200, answer
        return answer[f"{kind}s"]

    def delete(self, kind: str, id: str) -> None:
        status, answer = self.request("DELETE", path(kind, id))
        assert status == 204, answer

    def refused(
        self, status: int, error: str, method: str, path: str, body: object = None, **headers: str
    ) -> str:
        """The message of a refusal, which changes nothing."""
        head = self.store.head
        seen, answer = self.request(method, path, body, **headers)
        assert (seen, answer["NeutronError"]["type"]) == (status, error), answer
        assert self.store.head == head
        return str(answer["NeutronError"]["message"])


@pytest.fixture
def make_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Makes an Api on the test's database; extensions and options are the test's to choose."""
    made: list[Api] = []

    def make(
        *chosen: neutron.Extension,
        physical_mtu: int = 1500,
        physical_mtus: dict[str, int] | None = None,
        policy_file: str = "",
        **options: Any,
    ) -> Api:
        kinds = neutron.kinds(
            chosen or extensions(),
            physical_mtu=physical_mtu,
            physical_mtus=physical_mtus,
            policy_file=policy_file,
        )
        made.append(Api(f"sqlite:///{tmp_path}/tenantry.db", kinds, **options))
        return made[-1]

    yield make
    for api in made:
        api.store.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture
def client(api: Api, tmp_path: Path) -> Iterator[Client]:
    """The ``openstack`` client, led to the API."""
    need(CLIENT.exists(), "python-openstackclient")
    with served(api.app, tmp_path) as client:
        yield client


@pytest.fixture
def network(api: Api) -> str:
    """The id of a network with an IPv4 subnet, 10.0.0.0/24, and an IPv6 one, 2001:db8::/64."""
    id: str = api.create("network", name="blue")["id"]
    api.create("subnet", network_id=id, cidr="10.0.0.0/24", ip_version=4, name="four")
    api.create("subnet", network_id=id, cidr="2001:db8::/64", ip_version=6, name="six")
    return id
