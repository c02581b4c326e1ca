# SPDX-License-Identifier: Apache-2.0

"""Addresses that follow segments: a port has its from the segment that its host reaches."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.controller.api.core import agent
from tests.api.conftest import Api, path
from tests.api.test_provider import wire

HOST, FIXED_IPS, ALLOCATION = "binding:host_id", "fixed_ips", "ip_allocation"


class Racks:
    """A network of three segments with a subnet each: two racks with a wire of their own, and
    tunnels for all others; and hosts in each."""

    def __init__(self, api: Api) -> None:
        self.api = api
        segments = [wire("vlan", "rack1", 7), wire("vlan", "rack2", 7), wire("vxlan")]
        self.network = api.create("network", segments=segments)["id"]
        listed = api.list("segment", f"network_id={self.network}")
        names = {one["physical_network"] or "tunnels": one["id"] for one in listed}
        self.subnets = {
            name: api.create(
                "subnet",
                network_id=self.network,
                segment_id=names[name],
                ip_version=4,
                cidr=f"10.{number}.0.0/24",
            )["id"]
            for number, name in enumerate(("rack1", "rack2", "tunnels"), 1)
        }
        self.join("host1", "rack1")
        self.join("host2", "rack2")
        self.join("far", tunnel_address="192.0.2.1")
        self.join("apart")

    def join(self, host: str, *wires: str, **told: Any) -> None:
        told["bridge_mappings"] = dict.fromkeys(wires, "br-ex")
        report = {"availability_zone": "", "configurations": told}
        agent.report(self.api.store, self.api.kinds, host=host, **report)

    def port(self, **attributes: Any) -> Any:
        return self.api.create("port", network_id=self.network, **attributes)

    def at(self, port: Any) -> tuple[str, list[str]]:
        """Whether a port has addresses, and where."""
        names = {id: name for name, id in self.subnets.items()}
        return port[ALLOCATION], [names[ip["subnet_id"]] for ip in port[FIXED_IPS]]

    def refused(self, error: str, port: str, **attributes: Any) -> str:
        body = {"port": attributes}
        return self.api.refused(409, error, "PUT", path("port", port), body)


@pytest.fixture
def racks(api: Api) -> Racks:
    return Racks(api)


@pytest.mark.parametrize(
    ("host", "where"), [("host1", "rack1"), ("host2", "rack2"), ("far", "tunnels")]
)
def test_a_port_gets_its_address_when_it_is_bound(racks: Racks, host: str, where: str) -> None:
    port = racks.port()
    assert racks.at(port) == ("deferred", [])
    assert racks.api.list("port", "ip_allocation=deferred") == [racks.api.show("port", port["id"])]
    assert racks.at(racks.api.update("port", port["id"], name="waits")) == ("deferred", [])
    bound = racks.api.update("port", port["id"], **{HOST: host})
    assert racks.at(bound) == ("immediate", [where])
    assert racks.at(racks.port(**{HOST: host})) == ("immediate", [where])


def test_an_address_is_of_use_on_its_segment_only(racks: Racks) -> None:
    port = racks.port(**{HOST: "host1"})
    message = racks.refused("HostNotCompatibleWithFixedIps", port["id"], **{HOST: "host2"})
    assert "host2" in message
    racks.join("other1", "rack1")
    assert racks.api.update("port", port["id"], **{HOST: "other1"})[FIXED_IPS] == port[FIXED_IPS]
    assert racks.api.update("port", port["id"], **{HOST: None})[FIXED_IPS] == port[FIXED_IPS]
    there = {HOST: "host2", FIXED_IPS: [{"subnet_id": racks.subnets["rack2"]}]}
    assert racks.at(racks.api.update("port", port["id"], **there)) == ("immediate", ["rack2"])
    for host in ("apart", "nobody"):
        racks.refused("HostNotConnectedToAnySegment", port["id"], **{HOST: host})
        body = {"port": {"network_id": racks.network, HOST: host}}
        racks.api.refused(409, "HostNotConnectedToAnySegment", "POST", path("port"), body)


def test_addresses_that_are_named_are_given_at_once(racks: Racks) -> None:
    for name, subnet in racks.subnets.items():
        port = racks.port(fixed_ips=[{"subnet_id": subnet}])
        assert racks.at(port) == ("immediate", [name])
    port = racks.port(fixed_ips=[])
    assert racks.at(port) == ("none", [])
    assert racks.at(racks.api.update("port", port["id"], **{HOST: "host1"})) == ("none", [])
    wrong = {"network_id": racks.network, HOST: "host1"}
    wrong[FIXED_IPS] = [{"subnet_id": racks.subnets["rack2"]}]
    racks.api.refused(400, "InvalidInput", "POST", path("port"), {"port": wrong})


def test_of_several_segments_the_first_counts(racks: Racks) -> None:
    racks.join("both", "rack2", "rack1", tunnel_address="192.0.2.2")
    assert racks.at(racks.port(**{HOST: "both"})) == ("immediate", ["rack1"])
    wanted = {HOST: "both", FIXED_IPS: [{"subnet_id": racks.subnets["tunnels"]}]}
    assert racks.at(racks.port(**wanted)) == ("immediate", ["tunnels"])


def test_what_is_the_networks_own_is_wherever_it_is(racks: Racks) -> None:
    router = racks.api.create("router")["id"]
    url = path("router", router, "add_router_interface")
    for subnet in racks.subnets.values():
        assert racks.api.request("PUT", url, {"subnet_id": subnet})[0] == 200
    assert racks.at(racks.port(device_owner="network:dhcp"))[0] == "immediate"


def test_other_networks_know_no_segments(racks: Racks, network: str) -> None:
    port = racks.api.create("port", network_id=network)
    assert (port[ALLOCATION], len(port[FIXED_IPS])) == ("immediate", 2)
    assert racks.api.update("port", port["id"], **{HOST: "nobody"})[FIXED_IPS] == port[FIXED_IPS]
    none = racks.api.create("network")["id"]
    assert racks.api.create("port", network_id=none)[ALLOCATION] == "none"
