# SPDX-License-Identifier: Apache-2.0

"""Ports: MAC addresses, fixed IPs, binding."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.controller.api.core import agent
from tests.api.conftest import Api


def addresses(port: dict[str, Any]) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


def test_a_new_port_gets_a_mac_and_an_address_of_each_family(api: Api, network: str) -> None:
    first, second = (api.create("port", network_id=network) for _ in range(2))
    assert first["mac_address"].startswith("fa:16:3e:")
    assert first["mac_address"] != second["mac_address"]
    assert addresses(first) == ["10.0.0.2", "2001:db8::2"]
    assert addresses(second) == ["10.0.0.3", "2001:db8::3"]
    assert (first["status"], first["binding:vif_type"]) == ("DOWN", "unbound")
    assert first["port_security_enabled"] is True


def test_freed_addresses_are_first_again(api: Api, network: str) -> None:
    ports = [api.create("port", network_id=network) for _ in range(4)]
    for port in (ports[2], ports[0]):
        api.delete("port", port["id"])
    again = [addresses(api.create("port", network_id=network))[0] for _ in range(3)]
    assert again == ["10.0.0.2", "10.0.0.4", "10.0.0.6"]


def test_a_failed_request_takes_no_address(api: Api, network: str) -> None:
    body = {"ports": [{"network_id": network}] * 3 + [{"network_id": network, "mac_address": "x"}]}
    api.refused(400, "HTTPBadRequest", "POST", "/v2.0/ports", body)
    body["ports"][3] = {"network_id": network, "fixed_ips": [{"ip_address": "192.0.2.1"}]}
    api.refused(400, "InvalidIpForNetwork", "POST", "/v2.0/ports", body)
    assert addresses(api.create("port", network_id=network)) == ["10.0.0.2", "2001:db8::2"]


def test_addresses_are_allocated_around_those_asked_for(api: Api, network: str) -> None:
    (four,) = api.list("subnet", "name=four")
    subnet = {"subnet_id": four["id"]}
    port = api.create(
        "port", network_id=network, fixed_ips=[subnet, {"ip_address": "10.0.0.2"}, subnet]
    )
    assert addresses(port) == ["10.0.0.3", "10.0.0.2", "10.0.0.4"]


def test_when_the_pool_is_empty_addresses_outside_it_can_still_be_asked_for(api: Api) -> None:
    network = api.create("network")["id"]
    api.create(
        "subnet",
        network_id=network,
        cidr="10.0.0.0/24",
        ip_version=4,
        allocation_pools=[{"start": "10.0.0.5", "end": "10.0.0.5"}],
    )
    api.create("port", network_id=network)
    body = {"port": {"network_id": network}}
    message = api.refused(409, "IpAddressGenerationFailure", "POST", "/v2.0/ports", body)
    assert message == f"No more IP addresses available on network {network}."
    port = api.create("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert addresses(port) == ["10.0.0.77"]
    api.create(
        "subnet", network_id=network, cidr="10.0.1.0/24", ip_version=4, gateway_ip="10.0.1.9"
    )
    assert addresses(api.create("port", network_id=network)) == ["10.0.1.1"]


def test_a_port_may_have_no_address(api: Api, network: str) -> None:
    assert api.create("port", network_id=network, fixed_ips=[])["fixed_ips"] == []
    bare = api.create("network")["id"]
    assert api.create("port", network_id=bare)["fixed_ips"] == []


def test_update_keeps_the_addresses_that_it_can(api: Api, network: str) -> None:
    subnets = {subnet["name"]: subnet["id"] for subnet in api.list("subnet")}
    api.create("port", network_id=network)
    port = api.create("port", network_id=network)
    assert addresses(port) == ["10.0.0.3", "2001:db8::3"]
    body = [{"subnet_id": subnets["six"]}, {"subnet_id": subnets["four"]}]
    kept = api.update("port", port["id"], fixed_ips=body)
    assert addresses(kept) == ["2001:db8::3", "10.0.0.3"]
    moved = api.update("port", port["id"], fixed_ips=[{"ip_address": "2001:DB8::0:77"}])
    assert addresses(moved) == ["2001:db8::77"]
    assert api.update("port", port["id"], name="x")["fixed_ips"] == moved["fixed_ips"]
    assert addresses(api.create("port", network_id=network)) == ["10.0.0.3", "2001:db8::3"]


ELSEWHERE = "5f2ee0a7-4d7c-4d44-92a5-9f5c0f8d2f8b"


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        ({"network_id": ELSEWHERE}, 404, "NetworkNotFound", ELSEWHERE),
        ({"network_id": None}, 400, "HTTPBadRequest", "network_id"),
        ({"mac_address": "fa:16:3e:00:00:01"}, 409, "MacAddressInUse", "fa:16:3e:00:00:01"),
        ({"mac_address": "FA-16-3E-00-00-01"}, 409, "MacAddressInUse", "fa:16:3e:00:00:01"),
        ({"mac_address": "00:00:00:00:00:00"}, 400, "HTTPBadRequest", "mac_address"),
        (
            {"fixed_ips": [{"ip_address": "10.0.0.2"}]},
            409,
            "IpAddressAlreadyAllocated",
            "10.0.0.2",
        ),
        (
            {"fixed_ips": [{"ip_address": "2001:db8:0::2"}]},
            409,
            "IpAddressAlreadyAllocated",
            "2001:db8::2",
        ),
        ({"fixed_ips": [{"ip_address": "10.0.1.2"}]}, 400, "InvalidIpForNetwork", "10.0.1.2"),
        ({"fixed_ips": [{"ip_address": "10.0.0.255"}]}, 400, "InvalidIpForNetwork", "10.0.0.255"),
        ({"fixed_ips": [{"subnet_id": ELSEWHERE}]}, 400, "InvalidInput", "invalid subnet"),
        ({"fixed_ips": [{}]}, 400, "InvalidInput", "requires subnet_id or ip_address"),
        (
            {"fixed_ips": [{"ip_address": "10.0.0.9"}] * 2},
            400,
            "HTTPBadRequest",
            "Duplicate IP address",
        ),
        (
            {"fixed_ips": [{"ip_address": "2001:db8::9"}, {"ip_address": "2001:DB8::9"}]},
            400,
            "InvalidInput",
            "Duplicate IP address",
        ),
        ({"fixed_ips": None}, 400, "HTTPBadRequest", "fixed_ips"),
        ({"binding:host_id": {"a": 1}}, 400, "InvalidInput", "binding:host_id"),
        ({"binding:vnic_type": "cable"}, 400, "HTTPBadRequest", "binding:vnic_type"),
        ({"binding:profile": ["x"]}, 400, "HTTPBadRequest", "binding:profile"),
        ({"binding:profile": {"x": "y" * 65536}}, 400, "InvalidInput", "too large"),
        ({"binding:profile": {"user_data": 7}}, 400, "InvalidInput", "user_data must be a string"),
        ({"binding:profile": {"ssh_keys": "ssh-rsa A"}}, 400, "InvalidInput", "a list of keys"),
        ({"binding:profile": {"ssh_keys": {"me": 7}}}, 400, "InvalidInput", "a list of keys"),
        ({"binding:profile": {"meta": ["x"]}}, 400, "InvalidInput", "an object of strings"),
        ({"binding:profile": {"instance_id": None}}, 400, "InvalidInput", "must be a string"),
        ({"status": "ACTIVE"}, 400, "HTTPBadRequest", "Attribute 'status' not allowed in POST"),
        ({"colour": "red"}, 400, "HTTPBadRequest", "Unrecognized attribute(s) 'colour'"),
        ({"admin_state_up": "perhaps"}, 400, "InvalidInput", "cannot be converted to boolean"),
        ({"name": "x" * 256}, 400, "HTTPBadRequest", "exceeds maximum length of 255"),
    ],
)
def test_what_is_wrong_is_refused(
    api: Api, network: str, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    api.create("port", network_id=network, mac_address="fa:16:3e:00:00:01")
    body = {"port": {"network_id": network, **attributes}}
    assert message in api.refused(status, error, "POST", "/v2.0/ports", body)


def test_the_same_mac_and_address_may_be_on_two_networks(api: Api, network: str) -> None:
    other = api.create("network")["id"]
    api.create("subnet", network_id=other, cidr="10.0.0.0/24", ip_version=4)
    attributes: dict[str, Any] = {
        "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"ip_address": "10.0.0.9"}],
    }
    for id in (network, other):
        api.create("port", network_id=id, **attributes)


def test_binding(api: Api, network: str) -> None:
    profile = {"interface_name": "veth0"}
    port = api.create(
        "port", network_id=network, **{"binding:host_id": "one", "binding:profile": profile}
    )
    assert port["binding:profile"] == profile
    assert (port["binding:vif_type"], port["binding:vif_details"]) == ("binding_failed", {})
    told = {"integration_bridge": "br-int", "datapath_type": "netdev"}
    agent.report(api.store, api.kinds, host="one", availability_zone="", configurations=told)
    port = api.show("port", port["id"])
    assert (port["binding:vif_type"], port["binding:vif_details"]) == (
        "ovs",
        {
            "connectivity": "l2",
            "port_filter": True,
            "ovs_hybrid_plug": False,
            "bridge_name": "br-int",
            "datapath_type": "netdev",
            "bound_drivers": {"0": "tenantry"},
        },
    )
    for vnic_type, vif_type in (("macvtap", "binding_failed"), ("normal", "ovs")):
        changed = api.update("port", port["id"], **{"binding:vnic_type": vnic_type})
        assert changed["binding:vif_type"] == vif_type
    body = {"port": {"mac_address": "fa:16:3e:00:00:02"}}
    api.refused(409, "PortBound", "PUT", f"/v2.0/ports/{port['id']}", body)
    unbound = api.update("port", port["id"], **{"binding:host_id": None, "binding:profile": None})
    assert (unbound["binding:host_id"], unbound["binding:profile"]) == ("", {})
    assert (unbound["binding:vif_type"], unbound["binding:vif_details"]) == ("unbound", {})
    there = api.update("port", port["id"], **{"binding:host_id": "00000000000000a1"})
    assert there["binding:vif_type"] == "ovs", "a switch that no host has named"
    api.update("port", port["id"], **{"binding:host_id": None})
    api.update("port", port["id"], mac_address="fa:16:3e:00:00:02")


def test_a_profile_holds_what_the_metadata_service_serves(api: Api, network: str) -> None:
    profile = {
        "user_data": "#cloud-config\n" + "x" * 60000,
        "ssh_keys": {"me": "ssh-ed25519 AAAA me"},
        "instance_id": "i-1",
        "meta": {"role": "web"},
        "another": {"orchestrator": ["s", 1, None]},
    }
    port = api.create("port", network_id=network, **{"binding:profile": profile})
    assert port["binding:profile"] == profile
    keys = {"ssh_keys": ["ssh-ed25519 AAAA me"]}
    assert api.update("port", port["id"], **{"binding:profile": keys})["binding:profile"] == keys


def test_an_interface_is_one_ports(api: Api, network: str) -> None:
    there = {"binding:host_id": "one", "binding:profile": {"interface_name": "veth0"}}
    api.create("port", network_id=network, **there)
    body = {"port": {"network_id": network, **there}}
    api.refused(409, "InterfaceInUse", "POST", "/v2.0/ports", body)
    api.create("port", network_id=network, **{**there, "binding:host_id": "two"})


def test_port_security_is_the_networks_unless_the_port_says_otherwise(api: Api) -> None:
    network = api.create("network", port_security_enabled=False)["id"]
    assert api.create("port", network_id=network)["port_security_enabled"] is False
    secured = api.create("port", network_id=network, port_security_enabled=True)
    assert secured["port_security_enabled"] is True


def test_a_port_is_given_another_mac(api: Api, network: str) -> None:
    """null asks for one, of an older port and of a new one."""
    port = api.create("port", network_id=network, mac_address=None)
    changed = api.update("port", port["id"], mac_address=None)
    macs = {port["mac_address"], changed["mac_address"]}
    assert len(macs) == 2
    assert all(mac.startswith("fa:16:3e:") for mac in macs)
    assert api.show("port", port["id"])["mac_address"] == changed["mac_address"]
    api.update("port", port["id"], **{"binding:host_id": "host1"})
    body = {"port": {"mac_address": None}}
    api.refused(409, "PortBound", "PUT", f"/v2.0/ports/{port['id']}", body)


def test_five_thousand_ports_in_one_request(api: Api) -> None:
    network = api.create("network")["id"]
    api.create("subnet", network_id=network, cidr="10.0.0.0/16", ip_version=4)
    status, answer = api.request("POST", "/v2.0/ports", {"ports": [{"network_id": network}] * 5000})
    assert status == 201
    assert addresses(answer["ports"][-1]) == ["10.0.19.137"]
    assert len({port["mac_address"] for port in answer["ports"]}) == 5000
    keys = api.store.claimed("key", "port")
    assert sorted(map(int, keys)) == list(range(1, 5001))
