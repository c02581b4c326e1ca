# SPDX-License-Identifier: Apache-2.0

"""What Octavia's API accepts does something: every attribute that may be changed, in the flows, in
what proxies are told, or in whom the monitors ask; or it is refused, with words; or it is a note.

The attributes are those of the API's own maps: one that is new fails until it does something.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenantry.apps import APPS
from tenantry.apps.certificates import resources as certificates
from tenantry.apps.haproxy.processes import processes
from tenantry.apps.health import monitored
from tenantry.apps.load_balancer.records import LoadBalancer
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.secrets import Secrets
from tenantry.controller.model import Change, View, Worker
from tests.api.conftest import Api, extensions
from tests.api.observed import modelled
from tests.api.octavia import Octavia
from tests.certificates import Signed, signed

OWN = [app for app in APPS if app.name in ("load_balancer", "health", "security_groups", "qos")]

NOTES = ("name", "description", "tags")
"""For people."""

ALIKE = ("pool", "lb_algorithm", "SOURCE_IP_PORT")
"""In a switch, the port of the client says whose turn it is (``docs/load-balancers.md``)."""

PROXIED = "proxied"
SWITCHED = "switched"


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(str(tmp_path / "keys" / "secrets.key"))


class World:
    """A load balancer that a switch does, and one of all that a proxy does; what is wanted of
    both."""

    def __init__(self, api: Api, secrets: Secrets) -> None:
        self.api, self.octavia, self.secrets = api, Octavia(api), secrets
        self.network = api.create("network")["id"]
        subnet = {"network_id": self.network, "cidr": "10.0.0.0/24", "ip_version": 4}
        self.subnet = api.create("subnet", **subnet)["id"]
        client = api.create("port", network_id=self.network)
        self.client = client["id"]
        authority = signed("Authority", authority=True)
        web, other = (signed(f"{n}.example", [f"{n}.example"], by=authority) for n in ("a", "b"))
        self.refs = {
            "shown": self._certificate(web, private_key=web.key_pem),
            "other": self._certificate(other, private_key=other.key_pem),
            "trusted": self._certificate(authority),
            "revoked": self._certificate(authority, crl=authority.revoked(web)),
        }
        self.urls: dict[tuple[str, str], str] = {}
        for where in (SWITCHED, PROXIED):
            self._build(where)

    def _certificate(self, one: Signed, **more: str) -> str:
        body = {"certificate": {"name": "c", "certificate": one.pem, **more}}
        status, answer = self.api.request("POST", "/tenantry/v1/certificates", body)
        assert status == 201, answer
        return f"http://controller:9696/tenantry/v1/certificates/{answer['certificate']['id']}"

    def _make(self, where: str, kind: str, path: str, **attributes: Any) -> str:
        name = self.api.kinds[kind].singular
        status, answer = self.api.request("POST", path, {name: attributes})
        assert status == 201, answer
        id = str(answer[name]["id"])
        self.urls[where, kind] = f"{path}/{id}"
        return id

    def _build(self, where: str) -> None:
        path, proxied = Octavia.path, where == PROXIED
        balancer = self._make(
            where, "loadbalancer", path("loadbalancer"), vip_subnet_id=self.subnet
        )
        of_it = {"loadbalancer_id": balancer}
        protocol = "HTTP" if proxied else "TCP"
        pooled = {**of_it, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}
        self.other_pool = self._make(where, "pool", path("pool"), **pooled)
        members = f"{path('pool', self.other_pool)}/members"
        self._make(where, "member", members, address="10.0.0.51", protocol_port=80)
        pool = self._make(where, "pool", path("pool"), **pooled)
        members = f"{path('pool', pool)}/members"
        for last in (52, 53):
            address = f"10.0.0.{last}"
            self._make(where, "member", members, address=address, protocol_port=80, weight=2)
        asked = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
        self._make(where, "healthmonitor", path("healthmonitor"), pool_id=pool, **asked)
        tls = {
            "protocol": "TERMINATED_HTTPS",
            "default_tls_container_ref": self.refs["shown"],
            "client_ca_tls_container_ref": self.refs["trusted"],
            "client_authentication": "OPTIONAL",
            "hsts_max_age": 7,
        }
        said = {**of_it, "protocol": "TCP", "protocol_port": 443, "default_pool_id": pool}
        said |= tls if proxied else {}
        listener = self._make(where, "listener", path("listener"), **said)
        if proxied:
            redirect = {"listener_id": listener, "action": "REDIRECT_TO_URL"}
            for number in (1, 2):
                url = f"http://{number}.example/"
                policy = self._make(
                    where, "l7policy", path("l7policy"), **redirect, redirect_url=url
                )
                rules = f"{path('l7policy', policy)}/rules"
                matched = {"compare_type": "EQUAL_TO", "key": "X-A", "value": f"b{number}"}
                self._make(where, "l7rule", rules, type="HEADER", **matched)

    def wanted(self) -> Any:
        """By switches, by proxies, by monitors."""
        model = modelled(self.api)
        model.apply([Change(Worker, "host1", Worker("host1", True))])
        engine = Engine(model, OWN, {})
        for _ in engine.run():
            pass
        assert not engine.failed, engine.failed
        flows = {switch: sorted(found.flows.items()) for switch, found in engine.wanted.items()}
        view = View(model)
        return (
            flows,
            sorted(map(str, processes(self.secrets, 1)(view, "host1"))),
            [sorted(monitored.wanted(view, id)) for id in sorted(view.ids(LoadBalancer))],
            [monitored.targets(view, id) for id in sorted(view.ids(LoadBalancer))],
        )


def values(world: World) -> dict[tuple[str, str], list[Any]]:
    """Others than there are, by kind and attribute."""
    group = world.api.create("security_group", name="g")["id"]
    limited = {"policy": {"name": "q"}}
    policy = world.api.request("POST", "/v2.0/qos/policies", limited)[1]["policy"]["id"]
    rate = {"bandwidth_limit_rule": {"max_kbps": 1000}}
    path = f"/v2.0/qos/policies/{policy}/bandwidth_limit_rules"
    assert world.api.request("POST", path, rate)[0] == 201
    refs = world.refs
    timeouts = ("client_data", "member_connect", "member_data", "tcp_inspect")
    found: dict[tuple[str, str], list[Any]] = {
        ("loadbalancer", "vip_sg_ids"): [[group]],
        ("loadbalancer", "vip_qos_policy_id"): [policy],
        ("listener", "connection_limit"): [9],
        ("listener", "default_pool_id"): [None, world.other_pool],
        ("listener", "default_tls_container_ref"): [refs["other"]],
        ("listener", "sni_container_refs"): [[refs["other"]]],
        ("listener", "client_ca_tls_container_ref"): [refs["revoked"]],
        ("listener", "client_crl_container_ref"): [refs["revoked"]],
        ("listener", "client_authentication"): ["MANDATORY", "NONE"],
        ("listener", "insert_headers"): [{"X-Forwarded-For": "true"}, {"X-SSL-Client-CN": "true"}],
        **{("listener", f"timeout_{each}"): [777] for each in timeouts},
        ("listener", "allowed_cidrs"): [["10.0.0.0/25"]],
        ("listener", "tls_ciphers"): ["ECDHE-RSA-AES128-GCM-SHA256"],
        ("listener", "tls_versions"): [["TLSv1.3"]],
        ("listener", "alpn_protocols"): [["http/1.1"]],
        ("listener", "hsts_max_age"): [9],
        ("listener", "hsts_include_subdomains"): [True],
        ("listener", "hsts_preload"): [True],
        ("pool", "lb_algorithm"): ["LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"],
        ("pool", "session_persistence"): [
            {"type": "SOURCE_IP"},
            {"type": "HTTP_COOKIE"},
            {"type": "APP_COOKIE", "cookie_name": "c"},
        ],
        ("pool", "tls_enabled"): [True],
        ("member", "weight"): [0, 1],
        ("member", "backup"): [True],
        ("member", "monitor_address"): ["10.0.0.99"],
        ("member", "monitor_port"): [99],
        ("healthmonitor", "delay"): [6],
        ("healthmonitor", "timeout"): [2],
        ("healthmonitor", "max_retries"): [4],
        ("healthmonitor", "max_retries_down"): [4],
        ("healthmonitor", "http_method"): ["HEAD"],
        ("healthmonitor", "url_path"): ["/alive"],
        ("healthmonitor", "expected_codes"): ["204"],
        ("healthmonitor", "http_version"): [1.1],
        ("l7policy", "action"): ["REJECT"],
        ("l7policy", "position"): [1],
        ("l7policy", "redirect_url"): ["http://elsewhere.example/"],
        ("l7policy", "redirect_prefix"): ["http://prefix.example"],
        ("l7policy", "redirect_pool_id"): [world.other_pool],
        ("l7policy", "redirect_http_code"): [301],
        ("l7rule", "type"): ["COOKIE"],
        ("l7rule", "compare_type"): ["STARTS_WITH"],
        ("l7rule", "key"): ["X-B"],
        ("l7rule", "value"): ["other"],
        ("l7rule", "invert"): [True],
    }
    return found


BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("healthmonitor", "domain_name"): {"http_version": 1.1},
}
"""What goes with it."""


@pytest.mark.parametrize("where", [SWITCHED, PROXIED])
def test_what_is_accepted_does_something(make_api: Any, secrets: Secrets, where: str) -> None:
    api = make_api(*extensions(), certificates.extension(secrets))
    world = World(api, secrets)
    others, wrong = values(world), []
    with_tls = {f"{n}container_ref": world.refs[r] for n, r in _POOL_REFS.items()}
    for (at, kind), url in world.urls.items():
        if at != where:
            continue
        spec = api.kinds[kind]
        for name, attribute in spec.attributes.items():
            if not attribute.get("allow_put") or name in NOTES:
                continue
            more = dict(BESIDE.get((kind, name), {}))
            tried = others.get((kind, name), [])
            if name == "admin_state_up":
                tried = [False]
            if kind == "pool" and (name in with_tls or name in _POOL_TLS):
                tried, more = [with_tls.get(name) or _POOL_TLS[name]], {"tls_enabled": True}
                if name == "crl_container_ref":
                    more["ca_tls_container_ref"] = world.refs["trusted"]
            if (kind, name) == ("healthmonitor", "domain_name"):
                tried = ["www.example"]
            if not tried:
                wrong.append(f"{kind} {name}: no other value to try")
            for value in tried:
                wrong += _did(world, kind, url, name, value, more)
    assert not wrong, "\n".join(wrong)


_POOL_REFS = {"tls_": "shown", "ca_tls_": "trusted", "crl_": "revoked"}
_POOL_TLS = {
    "tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256",
    "tls_versions": ["TLSv1.3"],
    "alpn_protocols": ["http/1.1"],
}


def _did(
    world: World, kind: str, url: str, name: str, value: Any, more: dict[str, Any]
) -> list[str]:
    """What is wrong with a change: it was accepted, and nothing that is wanted has changed."""
    api, singular = world.api, world.api.kinds[kind].singular
    shown = api.request("GET", url)[1][singular]
    if shown[name] == value:
        return []
    if more:
        status, answer = api.request("PUT", url, {singular: more})
        if status >= 400:
            return []
    before = world.wanted()
    status, answer = api.request("PUT", url, {singular: {name: value}})
    if status >= 400:
        assert answer["faultstring"]
        wrong = []
    else:
        same = world.wanted() == before
        same = same and (kind, name, value) != ALIKE
        wrong = [f"{kind} {name} = {value}: accepted, and nothing has changed"] if same else []
    back = {each: shown[each] for each in (name, *more)}
    if kind == "l7policy":  # what it does is said together
        told = (name, "action", "redirect_url", "redirect_http_code", "position")
        back = {each: shown[each] for each in told if shown[each] is not None}
    status, answer = api.request("PUT", url, {singular: back})
    if status >= 400:
        wrong.append(f"{kind} {name}: cannot be put back to {back}: {answer}")
    return wrong
