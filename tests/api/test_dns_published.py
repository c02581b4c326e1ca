# SPDX-License-Identifier: Apache-2.0

"""Names of addresses on subnets that publish them: answered on other networks of the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import pytest

from tenantry.apps.dns.answers import Resolver
from tenantry.controller.feature.effects import DnsQuery
from tenantry.controller.model import Port, View
from tests.api.conftest import Api
from tests.api.observed import PARTS, modelled
from tests.api.openstack import Client

RESOLVER = Resolver("tenantry.internal.")


class World:
    """Network ``a`` of project red, of whose subnets the IPv4 one publishes; and others."""

    def __init__(self, api: Api) -> None:
        self.api = api
        a = api.create("network", project_id="red", dns_domain="a.example.", shared=True)["id"]
        more = {"network_id": a, "project_id": "red"}
        four = api.create(
            "subnet", **more, ip_version=4, cidr="10.1.0.0/24", dns_publish_fixed_ip=True
        )
        api.create("subnet", **more, ip_version=6, cidr="fd01::/64")
        self.four = four["id"]
        self.web = api.create("port", **more, dns_name="web")["id"]
        foreign = {"network_id": a, "project_id": "green", "dns_domain": "bank.example."}
        api.create("port", **foreign, dns_name="www")
        self.askers = {name: self.asker(name) for name in ("red", "green")}

    def asker(self, project: str) -> str:
        """A port on a network of its own, with the same addresses."""
        network = self.api.create("network", project_id=project)["id"]
        on = {"network_id": network, "project_id": project}
        self.api.create("subnet", **on, ip_version=4, cidr="10.2.0.0/24")
        id: str = self.api.create("port", **on)["id"]
        return id

    def ask(self, who: str, name: str, type: str = "A") -> list[str] | None:
        """What a port is answered; None if it is for others to say."""
        view = View(modelled(self.api))
        port = view.get(Port, self.askers[who])
        assert port is not None
        answer = RESOLVER.answer(view, port, dns.message.make_query(name, type).to_wire())
        if isinstance(answer, DnsQuery):
            return None
        return [str(item) for rrset in dns.message.from_wire(answer).answer for item in rrset]


@pytest.fixture
def world(make_api: Callable[..., Api]) -> World:
    return World(make_api(*(parts.extension for parts in PARTS.values() if parts.extension)))


def test_a_name_is_answered_to_its_project_and_to_nobody_else(world: World) -> None:
    assert world.ask("red", "web.a.example.") == ["10.1.0.2"]
    assert world.ask("red", "web.a.example.", "AAAA") == [], "that subnet does not publish"
    assert world.ask("red", "2.0.1.10.in-addr.arpa.", "PTR") == ["web.a.example."]
    assert world.ask("green", "web.a.example.") is None
    assert world.ask("green", "2.0.1.10.in-addr.arpa.", "PTR") is None
    assert world.ask("red", "9.0.1.10.in-addr.arpa.", "PTR") is None, "not the network's to say"
    assert world.ask("red", "other.a.example.") is None


def test_a_guest_of_another_project_publishes_nothing(world: World) -> None:
    """Its port is on red's network, and its name may be anybody's."""
    for who in ("red", "green"):
        assert world.ask(who, "www.bank.example.") is None


def test_what_is_no_longer_published_is_not_answered(world: World) -> None:
    shown = world.api.update("subnet", world.four, dns_publish_fixed_ip=False)
    assert shown["dns_publish_fixed_ip"] is False
    assert world.ask("red", "web.a.example.") is None


def test_a_network_says_its_own_names_first(world: World) -> None:
    """Two networks in one domain: the other's name is answered where there is none of its own."""
    api = world.api
    here = api.show("port", world.askers["red"])["network_id"]
    api.update("network", here, dns_domain="a.example.")
    assert world.ask("red", "web.a.example.") == ["10.1.0.2"]
    own = api.create("port", network_id=here, project_id="red", dns_name="web")
    assert world.ask("red", "web.a.example.") == [own["fixed_ips"][0]["ip_address"]]


def test_subnets_of_before_publish_nothing(world: World) -> None:
    def forget(draft: Any) -> None:
        body = dict(draft.get("subnet", world.four))
        del body["dns_publish_fixed_ip"]
        draft.put("subnet", body)

    world.api.store.write(forget, "test")
    assert world.api.show("subnet", world.four)["dns_publish_fixed_ip"] is False
    assert world.ask("red", "web.a.example.") is None


def test_the_openstack_client_has_words_for_it(client: Client, api: Api) -> None:
    made, after = client.run(
        "network create blue",
        "subnet create --network blue --subnet-range 10.0.0.0/24 --dns-publish-fixed-ip four "
        "-f json",
        "subnet set --no-dns-publish-fixed-ip four",
        "subnet show four -f json",
    )
    assert (made["dns_publish_fixed_ip"], after["dns_publish_fixed_ip"]) == (True, False)
    assert api.request("GET", "/v2.0/extensions/subnet-dns-publish-fixed-ip")[0] == 200
