# SPDX-License-Identifier: Apache-2.0

"""What is larger than the MTU, through tunnels, whose networks have a smaller one than what is
outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.farm import Beyond, Farm, farm, machines
from tests.large import PORT, asked, pinged, serving
from tests.namespace import Guest
from tests.netns.test_fragments import UDP, arrives, forward
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.outside import SERVER, SERVER6


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_between_hosts_and_outside(own_netns: None, tmp_path: Path, kind: str) -> None:
    options = {"networks__tenant_network_type": kind}
    with machines(2, uplinks=1) as started, farm(tmp_path, started, groups=True, **options) as net:
        beyond = Beyond(net)
        one = net.network("10.0.0.0/24", "2001:db8:1::/64")
        two = net.network("10.2.0.0/24", "2001:db8:2::/64")
        router = net.router(one, two, outside=beyond.network)
        servers = group(net, "servers", UDP, {"protocol": "icmp"})
        ports = [net.port(n, security_groups=[servers]) for n in (one, one, two)]
        guests = [
            net.plug(machine, port)
            for machine, port in zip((started[0], started[1], started[1]), ports, strict=True)
        ]
        its = {
            "." in ip["ip_address"]: ip["ip_address"]
            for ip in router["external_gateway_info"]["external_fixed_ips"]
        }
        routes_to(beyond.router, its[False])
        public = net.floating_ip(beyond.network, ports[1])["floating_ip_address"]
        forwarded = net.floating_ip(beyond.network)
        forward(net, forwarded, ports[2], PORT, PORT)
        net.take_effect()
        first, *others = guests
        reached(net, first, ports[0], others, ports[1:])
        for guest in guests:
            assert pinged(guest, "10.0.0.1") == pinged(guest, "2001:db8:1::1") == [True, True]
            assert pinged(guest, SERVER) == pinged(guest, SERVER6) == [True, True]
        with serving(beyond.server):
            # As one address for many, as a floating IP, and IPv6 as it is.
            for guest, seen in zip(guests, (its[True], public, its[True]), strict=True):
                arrives(guest, SERVER, seen)
        # The first try tells the server of the MTU.
        with serving(others[0]), serving(others[1]):
            for address in (public, addresses(ports[2])[1], forwarded["floating_ip_address"]):
                assert set(asked(beyond.server, address)) < {SERVER, SERVER6}, address
                assert asked(beyond.server, address, tries=1) in ([SERVER] * 2, [SERVER6] * 2)
        net.verify()


def routes_to(outside: Guest, gateway: str) -> None:
    for prefix in ("2001:db8:1::/64", "2001:db8:2::/64"):
        outside.run("ip", "route", "replace", prefix, "via", gateway)


def reached(net: Farm, client: Guest, port: dict, others: list[Guest], ports: list[dict]) -> None:
    """Bridged and routed, from host to host."""
    for other, its in zip(others, ports, strict=True):
        with serving(other):
            for own, address in zip(addresses(port), addresses(its), strict=True):
                arrives(client, address, own)
                assert pinged(client, address) == [True, True]
