# SPDX-License-Identifier: Apache-2.0

"""Names of ports and domains of networks, and the names that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.apps.provider import resources as provider
from tests.api.conftest import DNS_DOMAIN, Api, path


def names(port: Any) -> list[tuple[str, str, str]]:
    return [(a["ip_address"], a["hostname"], a["fqdn"]) for a in port["dns_assignment"]]


def test_a_port_that_nobody_named(api: Api, network: str) -> None:
    port = api.create("port", network_id=network)
    assert (port["dns_name"], port["dns_domain"]) == ("", "")
    assert names(port) == [
        ("10.0.0.2", "host-10-0-0-2", f"host-10-0-0-2.{DNS_DOMAIN}"),
        ("2001:db8::2", "host-2001-db8--2", f"host-2001-db8--2.{DNS_DOMAIN}"),
    ]
    assert api.create("port", network_id=network, fixed_ips=[])["dns_assignment"] == []


def test_whose_domain_a_name_is_in(api: Api, network: str) -> None:
    port = api.create("port", network_id=network, dns_name="Web")
    assert port["dns_name"] == "web"
    assert names(port)[0] == ("10.0.0.2", "web", f"web.{DNS_DOMAIN}")
    assert api.create("port", network_id=network, dns_name="web")["dns_name"] == "web"

    assert api.update("network", network, dns_domain="Blue.Example.")["dns_domain"] == (
        "blue.example."
    )
    assert names(api.show("port", port["id"]))[0][2] == "web.blue.example."
    own = api.update("port", port["id"], dns_domain="own.example.")
    assert names(own)[0][2] == "web.own.example."
    plain = api.update("port", port["id"], dns_domain="", dns_name="a.b")
    assert names(plain)[0][1:] == ("a.b", "a.b.blue.example.")
    full = api.update("port", port["id"], dns_name="c.blue.example.")
    assert names(full)[0][1:] == ("c.blue.example.", "c.blue.example.")
    body = {"network": {"dns_domain": "red.example."}}
    message = api.refused(400, "InvalidInput", "PUT", path("network", network), body)
    assert port["id"] in message, "its name would no longer be in the network's domain"


@pytest.mark.parametrize(
    ("kind", "attributes", "error", "message"),
    [
        ("port", {"dns_name": "-web"}, "HTTPBadRequest", "must not start or end with a hyphen"),
        ("port", {"dns_name": "we_b"}, "HTTPBadRequest", "alphanumeric or a hyphen"),
        ("port", {"dns_name": "a..b"}, "HTTPBadRequest", "empty component"),
        ("port", {"dns_name": "x" * 64}, "HTTPBadRequest", "1-63 characters"),
        ("port", {"dns_name": "web.7"}, "HTTPBadRequest", "must not be all numeric"),
        ("port", {"dns_name": "web\n"}, "InvalidInput", "alphanumeric or a hyphen"),
        ("port", {"dns_name": "<project_id>"}, "InvalidInput", "alphanumeric or a hyphen"),
        ("port", {"dns_name": "web.other.example."}, "InvalidInput", "must be equal to the domain"),
        ("port", {"dns_name": DNS_DOMAIN}, "InvalidInput", "must be equal to the domain"),
        ("port", {"dns_name": ".".join(["x" * 60] * 4)}, "InvalidInput", "more than 254"),
        ("port", {"dns_name": 7}, "InvalidInput", "must be string type"),
        ("port", {"dns_domain": "example"}, "HTTPBadRequest", "is not a FQDN"),
        ("port", {"dns_domain": "<user_id>.a."}, "InvalidInput", "alphanumeric or a hyphen"),
        ("network", {"dns_domain": "example"}, "HTTPBadRequest", "is not a FQDN"),
        ("network", {"dns_domain": "a b."}, "HTTPBadRequest", "alphanumeric or a hyphen"),
        ("network", {"dns_domain": ".".join(["x" * 60] * 4) + "."}, "InvalidInput", "too long"),
        ("network", {"dns_domain": None}, "InvalidInput", "must be string type"),
        ("port", {"dns_assignment": []}, "HTTPBadRequest", "dns_assignment"),
    ],
)
def test_what_is_wrong_is_refused(
    api: Api, network: str, kind: str, attributes: dict[str, Any], error: str, message: str
) -> None:
    needed = {"network_id": network} if kind == "port" else {}
    body = {kind: {**needed, **attributes}}
    assert message in api.refused(400, error, "POST", path(kind), body)
    id = network if kind == "network" else api.create("port", network_id=network)["id"]
    assert message in api.refused(400, error, "PUT", path(kind, id), {kind: attributes})


def test_what_was_stored_before_there_were_these_features(make_api: Callable[..., Api]) -> None:
    """The same database, by a controller without the features and then by one with them."""
    old = make_api(provider.extension())
    network = old.create("network")["id"]
    old.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    port = old.create("port", network_id=network)["id"]
    new = make_api()
    shown = new.show("port", port)
    assert (shown["dns_name"], shown["extra_dhcp_opts"], shown["allowed_address_pairs"]) == (
        "",
        [],
        [],
    )
    assert names(shown)[0][1] == "host-10-0-0-2"
    assert new.show("network", network)["dns_domain"] == ""
    assert new.update("network", network, name="x", mtu=1400)["mtu"] == 1400
    assert new.update("port", port, name="x")["name"] == "x"
    named = new.update(
        "port",
        port,
        dns_name="web",
        extra_dhcp_opts=[{"opt_name": "67", "opt_value": "x"}],
        allowed_address_pairs=[{"ip_address": "10.0.0.9"}],
    )
    assert names(named)[0][1] == "web"
    assert len(named["extra_dhcp_opts"]) == len(named["allowed_address_pairs"]) == 1
    assert new.update("network", network, dns_domain="a.example.")["dns_domain"] == "a.example."
