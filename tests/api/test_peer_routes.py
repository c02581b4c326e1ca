# SPDX-License-Identifier: Apache-2.0

"""segments-peer-subnet-host-routes: what ``host_routes`` of subnets on segments shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.apps.provider.resources import extension
from tests.api.conftest import Api
from tests.api.test_segments import add


@pytest.fixture
def wires(make_api: Callable[..., Api]) -> Api:
    return make_api(extension(vni_ranges=[(100, 200)]))


def route(destination: str, nexthop: str) -> dict[str, str]:
    return {"destination": destination, "nexthop": nexthop}


class Stage:
    """A network with two segments more than its first."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.network = api.create("network")["id"]
        self.segments = [add(api, self.network, "vxlan")["id"] for _ in range(2)]

    def subnet(self, segment: int, cidr: str, **attributes: Any) -> str:
        on = {"network_id": self.network, "segment_id": self.segments[segment], "cidr": cidr}
        version = 6 if ":" in cidr else 4
        made = self.api.create("subnet", **on, ip_version=version, **attributes)
        return str(made["id"])

    def routes(self, id: str) -> list[dict[str, str]]:
        shown: list[dict[str, str]] = self.api.show("subnet", id)["host_routes"]
        assert shown in [one["host_routes"] for one in self.api.list("subnet", f"id={id}")]
        return shown


def test_peers_are_led_to_for_as_long_as_they_are_there(wires: Api) -> None:
    stage = Stage(wires)
    own = route("192.0.2.0/24", "10.0.0.9")
    pools = [{"start": "10.0.0.10", "end": "10.0.0.99"}]
    one = stage.subnet(0, "10.0.0.0/24", host_routes=[own], allocation_pools=pools)
    assert stage.routes(one) == [own]
    stage.subnet(0, "10.0.9.0/24")
    assert stage.routes(one) == [own], "on the same segment"
    two = stage.subnet(1, "10.0.1.0/24")
    six = stage.subnet(1, "2001:db8:1::/64")
    to_two = route("10.0.1.0/24", "10.0.0.1")
    assert stage.routes(one) == [own, to_two]
    assert route("10.0.0.0/24", "10.0.1.1") in stage.routes(two)
    assert stage.routes(six) == []
    stage.subnet(0, "2001:db8::/64")
    assert stage.routes(six) == [route("2001:db8::/64", "2001:db8:1::1")]
    # Over the gateway, wherever that is; without one nowhere.
    wires.update("subnet", one, gateway_ip="10.0.0.254")
    assert stage.routes(one) == [own, route("10.0.1.0/24", "10.0.0.254")]
    wires.update("subnet", one, gateway_ip=None)
    assert stage.routes(one) == [own]
    wires.update("subnet", one, gateway_ip="10.0.0.1")
    wires.delete("subnet", two)
    assert stage.routes(one) == [own]


def test_what_is_shown_may_be_sent_back(wires: Api) -> None:
    """A client that reads, adds and writes has added nothing but what it added."""
    stage = Stage(wires)
    one, two = stage.subnet(0, "10.0.0.0/24"), stage.subnet(1, "10.0.1.0/24")
    own = route("192.0.2.0/24", "10.0.0.9")
    after = wires.update("subnet", one, host_routes=[*stage.routes(one), own])
    to_two = route("10.0.1.0/24", "10.0.0.1")
    assert after["host_routes"] == [own, to_two]
    revision = after["revision_number"]
    assert wires.update("subnet", one, host_routes=stage.routes(one))["revision_number"] == revision
    wires.delete("subnet", two)
    assert stage.routes(one) == [own]


@pytest.mark.parametrize("wider", ["10.0.0.0/16", "0.0.0.0/0", "10.0.1.0/24"])
def test_the_owners_routes_come_first(wires: Api, wider: str) -> None:
    stage = Stage(wires)
    own = [route(wider, "10.0.0.77")]
    one = stage.subnet(0, "10.0.0.0/24", host_routes=own)
    stage.subnet(1, "10.0.1.0/24")
    assert stage.routes(one) == own


def test_without_segments_there_are_none(wires: Api) -> None:
    network = wires.create("network")["id"]
    for third in range(2):
        made = wires.create("subnet", network_id=network, cidr=f"10.0.{third}.0/24", ip_version=4)
        assert made["host_routes"] == []
    _, offered = wires.request("GET", "/v2.0/extensions")
    assert "segments-peer-subnet-host-routes" in {one["alias"] for one in offered["extensions"]}
