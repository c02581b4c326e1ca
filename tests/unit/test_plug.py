# SPDX-License-Identifier: Apache-2.0

"""What ``tenantry plug`` makes of a port, without touching any switch."""

import pytest

from tenantry.controller.cli.plug import (
    PlugError,
    _addresses_and_routes,
    default_netns,
    interface_name,
    netns_interface_name,
    resolv_conf,
    run,
)

PORT_ID = "3f2a9c1b-4d5e-4f60-8a1b-0123456789ab"


def test_interface_names_fit_and_differ() -> None:
    outer, inner = interface_name(PORT_ID), netns_interface_name(PORT_ID)
    assert (outer, inner) == ("tap3f2a9c1b-4d", "eth3f2a9c1b-4d")
    assert len(outer) < 16


@pytest.mark.parametrize(
    ("name", "netns"),
    [
        ("web-1", "web-1"),
        ("", "3f2a9c1b"),
        (None, "3f2a9c1b"),
        ("two words", "3f2a9c1b"),
        ("../etc", "3f2a9c1b"),
        ("-rf", "3f2a9c1b"),
        (".", "3f2a9c1b"),
    ],
)
def test_namespace_is_named_after_the_port_where_it_can(name: str | None, netns: str) -> None:
    assert default_netns({"id": PORT_ID, "name": name}) == netns


def test_addresses_and_routes_come_from_the_subnets() -> None:
    subnets = [
        {
            "id": "four",
            "cidr": "10.0.0.0/24",
            "ip_version": 4,
            "gateway_ip": "10.0.0.1",
            "host_routes": [{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}],
        },
        {"id": "six", "cidr": "2001:db8::/64", "ip_version": 6, "gateway_ip": "2001:db8::1"},
        {"id": "more", "cidr": "10.1.0.0/16", "ip_version": 4, "gateway_ip": "10.1.0.1"},
    ]
    port = {
        "fixed_ips": [
            {"subnet_id": "four", "ip_address": "10.0.0.7"},
            {"subnet_id": "six", "ip_address": "2001:db8::7"},
            {"subnet_id": "more", "ip_address": "10.1.0.7"},
        ]
    }
    addresses, routes = _addresses_and_routes(port, subnets)
    assert addresses == ["10.0.0.7/24", "2001:db8::7/64", "10.1.0.7/16"]
    assert routes == [
        "192.0.2.0/24 via 10.0.0.9",
        "0.0.0.0/0 via 10.0.0.1",  # of the first subnet that has one
        "::/0 via 2001:db8::1",
    ]


def test_a_port_that_is_the_gateway_has_no_route_to_itself() -> None:
    subnet = {"id": "four", "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "10.0.0.1"}
    port = {"fixed_ips": [{"subnet_id": "four", "ip_address": "10.0.0.1"}]}
    assert _addresses_and_routes(port, [subnet]) == (["10.0.0.1/24"], [])


def test_resolvers_are_what_dhcp_would_tell() -> None:
    subnets = [
        {"id": "four", "dns_nameservers": [], "service_address": "10.0.0.2"},
        {"id": "six", "dns_nameservers": ["2001:db8::53"], "service_address": "2001:db8::2"},
        {"id": "none", "dns_nameservers": ["0.0.0.0"], "service_address": "10.1.0.2"},
        {"id": "off", "dns_nameservers": [], "service_address": None},
    ]

    def port(*subnet_ids: str) -> dict[str, object]:
        return {
            "fixed_ips": [{"subnet_id": subnet_id} for subnet_id in subnet_ids],
            "dns_assignment": [{"fqdn": "web.example.org."}],
        }

    assert resolv_conf(port("four", "six", "none"), subnets) == (
        "search example.org\nnameserver 10.0.0.2\nnameserver 2001:db8::53\n"
    )
    assert "nameserver" not in resolv_conf(port("none", "off"), subnets)


def test_a_failed_command_is_named_with_its_words() -> None:
    with pytest.raises(PlugError, match=r"`ls /no/such/file` failed: .*No such file"):
        run("ls /no/such/file")
    with pytest.raises(PlugError, match="no-such-command is not installed"):
        run("no-such-command")
