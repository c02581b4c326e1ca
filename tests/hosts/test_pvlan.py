# SPDX-License-Identifier: Apache-2.0

"""Private VLANs with real packets, over tunnels and over a wire, and the ways around them that
somebody would try: by MAC address, by a router, by frames for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_DGRAM
from socket import socket as Socket
from typing import Any

import pytest

from tests.farm import Farm, Machine, answered, farm, machines
from tests.namespace import Guest

WEB = {"pvlan_type": "community", "pvlan_community": "web"}
KINDS: dict[str, dict[str, str]] = {
    "open": {},
    "alone": {"pvlan_type": "isolated"},
    "lonely": {"pvlan_type": "isolated"},
    "web": WEB,
    "web2": WEB,
}
VLAN = {
    "provider:network_type": "vlan",
    "provider:physical_network": "uplink",
    "provider:segmentation_id": 100,
}


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2, uplinks=2) as ready:
        yield ready


class Tenant:
    """A guest of each kind, every second one on the other machine."""

    def __init__(self, net: Farm, **attributes: Any) -> None:
        self.net = net
        project = attributes.pop("project", "demo")
        self.network = net.network(
            "10.0.0.0/24", "fd00:a::/64", project=project, pvlan=True, **attributes
        )
        self.router = net.router(self.network, project=project)
        self.ports = {name: net.port(self.network, **kind) for name, kind in KINDS.items()}
        self.guests = {
            name: net.plug(net.machines[number % 2], port)
            for number, (name, port) in enumerate(self.ports.items())
        }
        net.settle()

    def addresses(self, name: str) -> list[str]:
        return [ip["ip_address"] for ip in self.ports[name]["fixed_ips"]]

    def reach(self) -> dict[tuple[str, str], set[bool]]:
        """Who gets answers from whom, by each family."""
        pairs = [(one, other) for one in KINDS for other in KINDS if one != other]
        asked = [(self.guests[a], address) for a, b in pairs for address in self.addresses(b)]
        found = iter(answered(asked))
        return {pair: {next(found), next(found)} for pair in pairs}


def may_talk(one: str, other: str) -> bool:
    return "open" in (one, other) or {one, other} == {"web", "web2"}


@pytest.mark.parametrize("carried", [{}, VLAN], ids=["tunnel", "wire"])
def test_it_holds_on_one_host_and_between_hosts(
    started: list[Machine], tmp_path: Path, carried: dict[str, Any]
) -> None:
    with farm(tmp_path, started) as net:
        red = Tenant(net, **carried)
        blue = Tenant(net, project="blue")
        for tenant in (red, blue):
            for (one, other), reached in tenant.reach().items():
                assert reached == {may_talk(one, other)}, (one, other, net.dump())
        ways_around(red)
        net.stop_controller()
        net.start_controller()
        for reconciler in net.controller.progress.reconcilers.values():
            assert (reconciler.sent.added, reconciler.sent.deleted) == (0, 0)
        # The same packets pass as soon as they may: nothing else had held them.
        net.update("network", red.network["id"], pvlan=False)
        net.take_effect()
        lonely, alone = red.guests["lonely"], red.addresses("alone")
        assert all(answered([(lonely, address) for address in alone], patient=True))
        net.verify()


def ways_around(tenant: Tenant) -> None:
    """As whoever owns "alone" would try to get a packet to "lonely" on the other host, and to "web"
    beside it, though no answer could come back. "open" gets what is sent last: so all that was sent
    before has arrived, or does not."""
    guest, subnets = tenant.guests["alone"], tenant.net.subnets(tenant.network)
    gateways = {":" in subnet["gateway_ip"]: subnet["gateway_ip"] for subnet in subnets}
    assert all(answered([(guest, gateway) for gateway in gateways.values()], patient=True))
    others = [(name, address) for name in ("lonely", "web") for address in tenant.addresses(name)]
    everybody = [*others, *(("open", address) for address in tenant.addresses("open"))]
    ears = {address: ear(tenant.guests[name], address) for name, address in everybody}
    mouths = {name: [mouth(tenant.guests[name], v6) for v6 in (False, True)] for name in KINDS}
    for way in ("its own", "ff:ff:ff:ff:ff:ff", "01:00:5e:01:02:03", "router"):
        for name, address in others:
            if way == "router":
                continue
            mac = tenant.ports[name]["mac_address"] if way == "its own" else way
            guest.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0")
        for _, address in everybody if way == "router" else ():
            via = ("via", gateways[":" in address], "dev", "eth0")
            guest.run("ip", "route", "replace", address, *via)
        for _, address in everybody:
            mouths["alone"][":" in address].sendto(way.encode(), (address, PORT))
        for address in tenant.addresses("open"):
            assert ears[address].recv(64) == way.encode()
        for _, address in others:
            mouths["open"][":" in address].sendto(b"open", (address, PORT))
            assert ears[address].recv(64) == b"open", way
    for socket in (*ears.values(), *(one for both in mouths.values() for one in both)):
        socket.close()


PORT = 5000


def ear(guest: Guest, address: str) -> Socket:
    socket = guest.socket(SOCK_DGRAM, AF_INET6 if ":" in address else AF_INET)
    socket.settimeout(30)
    socket.bind((address, PORT))
    return socket


def mouth(guest: Guest, v6: bool) -> Socket:
    return guest.socket(SOCK_DGRAM, AF_INET6 if v6 else AF_INET)


def test_a_router_leads_back_whom_it_may(started: list[Machine], tmp_path: Path) -> None:
    """By the router's address to a promiscuous port; from another network to anybody."""
    with farm(tmp_path, started) as net:
        tenant = Tenant(net)
        other = net.network("10.1.0.0/24", "fd00:b::/64")
        for subnet in net.subnets(other):
            net.interface(tenant.router, subnet_id=subnet["id"])
        outsider = net.plug(started[0], net.port(other))
        everybody = [address for name in KINDS for address in tenant.addresses(name)]
        assert all(answered([(outsider, address) for address in everybody], patient=True))
        guest: Guest = tenant.guests["alone"]
        for address, subnet in zip(
            tenant.addresses("open"), net.subnets(tenant.network), strict=True
        ):
            family = "-6" if ":" in address else "-4"
            via = ("via", subnet["gateway_ip"], "dev", "eth0")
            guest.run("ip", family, "route", "replace", address, *via)
            assert answered([(guest, address)], patient=True) == [True], address
        net.verify()
