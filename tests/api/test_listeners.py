# SPDX-License-Identifier: Apache-2.0

"""Octavia's API: listeners."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.certificates import resources as certificates
from tenantry.controller.feature.secrets import Secrets
from tests.api.conftest import Api, extensions
from tests.api.octavia import LBAAS, Octavia
from tests.certificates import Signed, signed

REF = "http://controller:9696/tenantry/v1/certificates/6f3c7d6e-7f6e-4a0e-9d0a-111111111111"


@pytest.fixture
def api(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    secrets = Secrets(str(tmp_path / "keys" / "secrets.key"))
    return make_api(*extensions(), certificates.extension(secrets))


@pytest.fixture
def octavia(api: Api) -> Octavia:
    return Octavia(api)


@pytest.fixture
def balancer(octavia: Octavia, network: str) -> Any:
    return octavia.create("loadbalancer", vip_network_id=network)


def asked(balancer: Any, protocol: str = "TCP", port: int = 80, **more: Any) -> dict[str, Any]:
    id = balancer["id"]
    return {"loadbalancer_id": id, "protocol": protocol, "protocol_port": port, **more}


def test_it_is_shown_as_octavia_shows_it(octavia: Octavia, balancer: Any) -> None:
    made = octavia.create("listener", **asked(balancer, name="web"))
    assert made.keys() == {
        *("id", "name", "description", "provisioning_status", "operating_status", "tags"),
        *("admin_state_up", "project_id", "tenant_id", "created_at", "updated_at", "protocol"),
        *("protocol_port", "connection_limit", "default_tls_container_ref", "sni_container_refs"),
        *("default_pool_id", "l7policies", "insert_headers", "loadbalancers", "allowed_cidrs"),
        *("timeout_client_data", "timeout_member_connect", "timeout_member_data"),
        *("timeout_tcp_inspect", "client_ca_tls_container_ref", "client_authentication"),
        *("client_crl_container_ref", "tls_ciphers", "tls_versions", "alpn_protocols"),
        *("hsts_max_age", "hsts_include_subdomains", "hsts_preload"),
    }
    assert made["loadbalancers"] == [{"id": balancer["id"]}]
    assert made["project_id"] == balancer["project_id"]
    timeouts = {name: value for name, value in made.items() if name.startswith("timeout_")}
    assert timeouts == {
        "timeout_client_data": 50000,
        "timeout_member_connect": 5000,
        "timeout_member_data": 50000,
        "timeout_tcp_inspect": 0,
    }
    assert (made["connection_limit"], made["client_authentication"]) == (-1, "NONE")
    assert (made["allowed_cidrs"], made["insert_headers"], made["l7policies"]) == (None, {}, [])
    assert octavia.show("listener", made["id"]) == made
    assert octavia.show("loadbalancer", balancer["id"])["listeners"] == [{"id": made["id"]}]
    assert octavia.list("listener", f"loadbalancer_id={balancer['id']}") == [made]
    assert octavia.list("listener", "protocol_port=81") == []


def test_it_is_of_the_project_of_its_load_balancer(api: Api, octavia: Octavia) -> None:
    red = octavia.api.create("network", project_id="red")["id"]
    api.create("subnet", network_id=red, cidr="10.7.0.0/24", ip_version=4, project_id="red")
    balancer = octavia.create("loadbalancer", vip_network_id=red, project_id="red")
    assert octavia.create("listener", **asked(balancer))["project_id"] == "red"


def test_a_port_is_taken_once_by_transport(octavia: Octavia, network: str, balancer: Any) -> None:
    octavia.create("listener", **asked(balancer, "TCP", 80))
    for protocol in ("TCP", "HTTP", "HTTPS", "PROMETHEUS"):
        said = octavia.refused(409, "listener", **asked(balancer, protocol, 80))
        assert said.startswith("Another Listener on this Load Balancer is already using")
    octavia.create("listener", **asked(balancer, "UDP", 80))
    octavia.create("listener", **asked(balancer, "SCTP", 80))
    octavia.refused(409, "listener", **asked(balancer, "UDP", 80))
    octavia.create("listener", **asked(balancer, "TCP", 81))
    other = octavia.create("loadbalancer", vip_network_id=network)
    octavia.create("listener", **asked(other, "TCP", 80))


@pytest.mark.parametrize(
    ("protocol", "more", "words"),
    [
        ("QUIC", {}, "QUIC"),
        ("PROXY", {}, "PROXY"),
        ("TCP", {"protocol_port": 0}, "protocol_port"),
        ("TCP", {"protocol_port": 65536}, "protocol_port"),
        ("TCP", {"protocol_port": "http"}, "http"),
        ("TCP", {"connection_limit": -2}, "connection_limit"),
        ("TCP", {"timeout_client_data": -1}, "timeout_client_data"),
        ("TCP", {"timeout_client_data": 24 * 24 * 3600 * 1000 + 1}, "timeout_client_data"),
        ("TCP", {"allowed_cidrs": ["here"]}, "'here'"),
        ("TCP", {"allowed_cidrs": "10.0.0.0/8"}, "list of prefixes"),
        ("TCP", {"allowed_cidrs": ["fd00::/64"]}, "IP version incompatible"),
        ("TCP", {"insert_headers": {"X-Forwarded-For": "true"}}, "insert-headers"),
        ("HTTP", {"insert_headers": {"X-Color": "red"}}, "X-Color"),
        ("HTTP", {"insert_headers": {"X-SSL-Client-DN": "true"}}, "X-SSL-Client-DN"),
        ("HTTP", {"insert_headers": {"X-Forwarded-For": "a\nb"}}, "printable"),
        ("HTTP", {"insert_headers": ["X-Forwarded-For"]}, "object"),
        ("TCP", {"default_tls_container_ref": REF}, "not allowed on TCP"),
        ("UDP", {"default_tls_container_ref": REF}, "UDP protocol listener does not support TLS"),
        ("UDP", {"insert_headers": {"X-Forwarded-For": "true"}}, "header insertion"),
        ("TERMINATED_HTTPS", {}, "SNI or default certificate"),
        ("TERMINATED_HTTPS", {"default_tls_container_ref": REF}, "certificate"),
        ("HTTP", {"client_authentication": "MANDATORY"}, "requires a client CA"),
        ("HTTP", {"client_authentication": "PERHAPS"}, "PERHAPS"),
        ("HTTP", {"client_crl_container_ref": REF}, "authentication CA reference"),
        ("HTTP", {"tls_ciphers": "a b"}, "cipher"),
        ("HTTP", {"tls_ciphers": "A:B"}, "OpenSSL knows none of the ciphers A:B"),
        ("HTTP", {"tls_versions": []}, "Empty TLS version list"),
        ("HTTP", {"tls_versions": ["TLSv9"]}, "Invalid TLS versions: TLSv9"),
        ("HTTP", {"alpn_protocols": []}, "Empty ALPN"),
        ("HTTP", {"alpn_protocols": ["h3"]}, "Invalid ALPN protocol: h3"),
        ("HTTP", {"hsts_preload": True}, "hsts_max_age"),
        ("HTTP", {"hsts_max_age": 10}, "TERMINATED_HTTPS"),
        ("TCP", {"color": "red"}, "color"),
        ("TCP", {"loadbalancer_id": None}, "loadbalancer_id"),
        ("TCP", {"name": "x" * 256}, "name"),
    ],
)
def test_bad_input_is_refused_in_words(
    api: Api, octavia: Octavia, protocol: str, more: dict[str, Any], words: str
) -> None:
    network = api.create("network")["id"]
    api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    balancer = octavia.create("loadbalancer", vip_network_id=network)
    assert words in octavia.refused(400, "listener", **{**asked(balancer, protocol), **more})


def test_what_it_refers_to_must_be_there(octavia: Octavia, balancer: Any) -> None:
    nowhere = "6f3c7d6e-7f6e-4a0e-9d0a-111111111111"
    said = octavia.refused(404, "listener", **asked({"id": nowhere}))
    assert said == f"Load Balancer {nowhere} not found."
    said = octavia.refused(404, "listener", **asked(balancer, default_pool_id=nowhere))
    assert said == f"Pool {nowhere} not found."


def test_tls_is_as_octavia_has_it_unasked(api: Api, octavia: Octavia, balancer: Any) -> None:
    authority, web = signed("Authority", authority=True), signed("web.example", ["web.example"])

    def add(one: Signed, **more: str) -> str:
        body = {"certificate": {"name": "c", "certificate": one.pem, **more}}
        status, answer = api.request("POST", "/tenantry/v1/certificates", body)
        assert status == 201, answer
        return f"http://controller:9696/tenantry/v1/certificates/{answer['certificate']['id']}"

    shown, trusted = add(web, private_key=web.key_pem), add(authority)
    made = octavia.create(
        "listener",
        **asked(balancer, "TERMINATED_HTTPS", 443, default_tls_container_ref=shown),
        client_authentication="OPTIONAL",
        client_ca_tls_container_ref=trusted,
        hsts_max_age=100,
        hsts_preload=True,
    )
    assert made["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert made["alpn_protocols"] == ["h2", "http/1.1", "http/1.0"]
    assert made["tls_ciphers"].startswith("TLS_AES_128_GCM_SHA256:")
    new = octavia.update(
        "listener", made["id"], tls_versions=["TLSv1.3"], tls_ciphers="AES128-SHA:AES256-SHA"
    )
    assert (new["tls_versions"], new["tls_ciphers"]) == (["TLSv1.3"], "AES128-SHA:AES256-SHA")
    new = octavia.update("listener", made["id"], tls_versions=None, tls_ciphers=None)
    assert (new["tls_versions"], new["tls_ciphers"]) == (made["tls_versions"], made["tls_ciphers"])
    said = octavia.refused_change(400, "listener", made["id"], client_ca_tls_container_ref=None)
    assert "requires a client CA" in said
    said = octavia.refused_change(501, "listener", made["id"], tls_versions=["SSLv3"])
    assert "SSLv3" in said
    octavia.refused_change(400, "listener", made["id"], default_tls_container_ref=trusted)
    assert api.request("DELETE", shown.removeprefix("http://controller:9696"))[0] == 409
    octavia.delete("listener", made["id"])
    assert api.request("DELETE", shown.removeprefix("http://controller:9696"))[0] == 204


def test_prefixes_are_networks(octavia: Octavia, balancer: Any) -> None:
    made = octavia.create("listener", **asked(balancer, allowed_cidrs=["10.0.0.7/24"]))
    assert made["allowed_cidrs"] == ["10.0.0.0/24"]
    new = octavia.update("listener", made["id"], allowed_cidrs=None)
    assert new["allowed_cidrs"] is None


def test_it_is_changed_and_null_is_as_it_was_unasked(octavia: Octavia, balancer: Any) -> None:
    said = {"connection_limit": 5, "timeout_client_data": 7, "name": "n", "tags": ["a"]}
    made = octavia.create("listener", **asked(balancer, "HTTP", **said))
    new = octavia.update(
        "listener",
        made["id"],
        insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": True},
        admin_state_up=False,
    )
    assert new["insert_headers"] == {"X-Forwarded-For": "true", "X-Forwarded-Port": "true"}
    assert new["admin_state_up"] is False
    new = octavia.update("listener", made["id"], **dict.fromkeys(said))
    assert (new["connection_limit"], new["timeout_client_data"]) == (-1, 50000)
    assert (new["name"], new["tags"]) == ("", [])
    for name in ("protocol", "protocol_port", "loadbalancer_id", "project_id"):
        octavia.refused_change(400, "listener", made["id"], **{name: 1})


def test_statistics_are_asked_for(api: Api, octavia: Octavia, balancer: Any) -> None:
    made = octavia.create("listener", **asked(balancer))
    for kind, id in (("listener", made["id"]), ("loadbalancer", balancer["id"])):
        status, answer = api.request("GET", octavia.path(kind, id, "stats"))
        assert (status, answer.keys()) == (200, {"stats"})
    assert api.request("GET", f"{LBAAS}/listeners/nowhere/stats")[0] == 404


def test_it_goes(api: Api, octavia: Octavia, balancer: Any) -> None:
    made = octavia.create("listener", **asked(balancer))
    octavia.delete("listener", made["id"])
    assert octavia.show("loadbalancer", balancer["id"])["listeners"] == []
    octavia.create("listener", **asked(balancer))
