# SPDX-License-Identifier: Apache-2.0

"""What hosts have been told and is so no longer, they are told, on every machine: where an address
is now, that a router is gone, that a prefix is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import Malformed
from tenantry.controller.packets.neighbour_discovery import announcement, speaker
from tests.farm import Farm, Machine, farm, machines, unreached
from tests.namespace import Guest
from tests.vlan import vlan

FIXED = [{"ip_address": "10.0.0.50"}, {"ip_address": "fd00::50"}]
ADDRESSES = [ip["ip_address"] for ip in FIXED]
NEW_MAC = "fa:16:3e:77:77:77"
SLAAC = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
ADVERTISEMENT = 134  # of a router: RFC 4861, 4.2


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(3) as ready:
        yield ready


class Ears:
    """All that guests hear from now on."""

    def __init__(self, *guests: Guest, on: str = "eth0") -> None:
        self._open = ExitStack()
        self._sockets = []
        for guest in guests:
            ear = guest.socket(socket.SOCK_RAW, socket.AF_PACKET, socket.htons(0x0003))
            self._open.enter_context(ear).bind((on, 0))
            ear.settimeout(20)
            self._sockets.append(ear)

    def __enter__(self) -> Ears:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def hear(self, what: Callable[[bytes], bool]) -> None:
        """Until each has heard it."""
        for ear in self._sockets:
            while not what(ear.recv(2048)):
                pass


def says(address: str, mac: str) -> Callable[[bytes], bool]:
    """Whether a frame says to its hearer that an address is at a MAC address."""
    there = ip_address(address)
    expected = there.version, int(there), int(mac.replace(":", ""), 16)

    def check(frame: bytes) -> bool:
        try:
            return speaker(frame) == expected
        except Malformed:
            return False

    return check


def ends(source: str) -> Callable[[bytes], bool]:
    """Whether a frame says that a router is none any more."""

    def check(frame: bytes) -> bool:
        try:
            read = frames.parse(frame)
        except Malformed:
            return False
        is_last = read.data[:1] == bytes([ADVERTISEMENT]) and read.data[6:8] == b"\0\0"
        return is_last and read.src == int(ip_address(source))

    return check


def known(guests: list[Guest], address: str) -> set[str]:
    """The MAC addresses at which guests look for an address."""
    rows = (g.run("ip", "neighbour", "show", address, "dev", "eth0").split() for g in guests)
    return {row[row.index("lladdr") + 1] if "lladdr" in row else "" for row in rows}


def reached(net: Farm, peers: list[Guest]) -> None:
    net.take_effect()
    assert not unreached(peers, ADDRESSES)


def neighbours(net: Farm, machines: list[Machine]) -> tuple[Any, list[Guest], Any, Guest]:
    """A network with a guest on each machine, and one more on the first, with its port, which has
    ADDRESSES and is reached by the others."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    peers = [net.plug(machine, net.port(network)) for machine in machines]
    port = net.port(network, fixed_ips=FIXED)
    guest = net.plug(machines[0], port)
    reached(net, peers)
    return network, peers, port, guest


def test_an_address_that_moves_is_announced_to_all_its_neighbours(
    started: list[Machine], tmp_path: Path
) -> None:
    """Another MAC address, another port, a router: its own hosts say nothing at all of it."""
    with farm(tmp_path, started) as net:
        network, peers, port, guest = neighbours(net, started)
        with Ears(*peers) as ears:
            net.update("port", port["id"], mac_address=NEW_MAC)
            for address in ADDRESSES:
                ears.hear(says(address, NEW_MAC))
                assert known(peers, address) == {NEW_MAC}
        guest.run("ip", "link", "set", "eth0", "address", NEW_MAC)
        reached(net, peers)
        net.delete("port", port["id"])
        net.settle()
        port = net.port(network, fixed_ips=FIXED)
        with Ears(*peers) as ears:
            guest = net.plug(started[1], port)
            for address in ADDRESSES:
                ears.hear(says(address, port["mac_address"]))
                assert known(peers, address) == {port["mac_address"]}
        # It was not taken for a duplicate of itself.
        assert "dadfailed" not in guest.run("ip", "address", "show", "dev", "eth0")
        reached(net, peers)
        net.delete("port", port["id"])
        router = net.create("router")
        port = net.port(network, fixed_ips=FIXED)
        with Ears(*peers) as ears:
            net.interface(router, port_id=port["id"])
            for address in ADDRESSES:
                ears.hear(says(address, port["mac_address"]))
        reached(net, peers)
        with Ears(*peers) as ears:
            net.update("port", port["id"], mac_address=NEW_MAC)
            for address in ADDRESSES:
                ears.hear(says(address, NEW_MAC))
        reached(net, peers)
        net.verify()


def test_who_shares_a_trunk_with_an_address_that_moves_is_told(
    started: list[Machine], tmp_path: Path
) -> None:
    """By the very port of the switch that its own announcement must not leave by."""
    with farm(tmp_path, started) as net, ExitStack() as stack:
        network = net.network("10.0.0.0/24", "fd00::/64")
        parent, sub = net.port(network, fixed_ips=FIXED), net.port(network)
        tag = {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 10}
        net.create("trunk", port_id=parent["id"], sub_ports=[tag])
        guest = net.plug(started[0], parent)
        tagged = stack.enter_context(vlan(guest, 10))
        guest.run("ip", "link", "set", tagged, "address", sub["mac_address"], "up")
        peer = net.plug(started[1], net.port(network))
        net.until(lambda: net.controller.status.port(sub["id"]) == "ACTIVE")
        with Ears(guest, on=tagged) as beside, Ears(peer) as ears:
            net.update("port", parent["id"], mac_address=NEW_MAC)
            for address in ADDRESSES:
                beside.hear(says(address, NEW_MAC))
                ears.hear(says(address, NEW_MAC))
        net.verify()


def test_who_announces_its_own_address_is_heard_everywhere(
    started: list[Machine], tmp_path: Path
) -> None:
    """By a request, by an answer, by an advertisement; whatever the neighbours believe."""
    with farm(tmp_path, started) as net:
        _, peers, port, guest = neighbours(net, started)
        mac = int(port["mac_address"].replace(":", ""), 16)
        four, six = (int(ip_address(address)) for address in ADDRESSES)
        request = announcement(4, mac, four, router=False)
        reply = request[:20] + b"\0\2" + request[22:32] + request[22:28] + request[38:]
        advertisement = announcement(6, mac, six, router=False)
        with guest.socket(socket.SOCK_RAW, socket.AF_PACKET) as mouth:
            mouth.bind(("eth0", 0))
            for address, words in zip(
                (ADDRESSES[0], *ADDRESSES), (request, reply, advertisement), strict=True
            ):
                for peer in peers:  # as if they had never heard that it has moved
                    other = ("lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "reachable")
                    peer.run("ip", "neighbour", "replace", address, *other)
                with Ears(*peers) as ears:
                    mouth.send(words)
                    ears.hear(says(address, port["mac_address"]))
                assert known(peers, address) == {port["mac_address"]}
        net.verify()


def configured(net: Farm, started: list[Machine], network: Any) -> list[Guest]:
    """Guests, one a machine, that have made all they have of advertisements."""
    guests = [net.plug(machine, net.port(network), bare=True) for machine in started]
    for guest in guests:
        settings = ("accept_dad=0", "accept_ra=2", "router_solicitation_delay=0")
        guest.run("sysctl", "-qw", *(f"net.ipv6.conf.eth0.{setting}" for setting in settings))
        guest.run("ip", "link", "set", "eth0", "up")
    net.take_effect()
    with Ears(*guests) as ears:
        for periodic in net.controller.periodic:
            periodic.send()
        ears.hear(lambda frame: frame[12:14] == b"\x86\xdd" and frame[54] == ADVERTISEMENT)
    assert all(router(guest) for guest in guests)
    return guests


def router(guest: Guest) -> str:
    """The source of a guest's default route, or ""."""
    words = guest.run("ip", "-6", "route", "show", "default").split()
    return words[2] if words else ""


def test_routers_and_prefixes_that_go_are_told_of(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net:
        network = net.network()
        subnets = [
            net.create("subnet", network_id=network["id"], cidr=f"fd00:{n}::/64", **SLAAC)
            for n in (1, 2)
        ]
        first = net.router(network)
        guests = configured(net, started, network)
        (source,) = {router(guest) for guest in guests}
        with Ears(*guests) as ears:  # switched off
            net.update("router", first["id"], admin_state_up=False)
            ears.hear(ends(source))
        assert not any(map(router, guests))
        net.update("router", first["id"], admin_state_up=True)
        net.settle()
        second = net.create("router")
        with Ears(*guests) as ears:  # another has taken its place
            for subnet in subnets:
                net.interface(first, "remove", subnet_id=subnet["id"])
                net.interface(second, subnet_id=subnet["id"])
            ears.hear(ends(source))
        with Ears(*guests) as ears:  # its prefix is gone, then all of it
            net.interface(second, "remove", subnet_id=subnets[0]["id"])
            net.delete("subnet", subnets[0]["id"])
            gone = ip_address("fd00:1::").packed
            lifetimes = bytes(8) + bytes(4)  # valid, preferred, reserved: RFC 4861, 4.6.2
            ears.hear(lambda frame: lifetimes + gone in frame)
        for guest in guests:
            words = ("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global")
            (made,) = [line for line in guest.run(*words).splitlines() if "fd00:1:" in line]
            assert "preferred_lft 0sec" in made
        sources = {router(guest) for guest in guests}
        assert len(sources) == 1
        assert sources != {source}
        with Ears(*guests) as ears:
            net.interface(second, "remove", subnet_id=subnets[1]["id"])
            ears.hear(ends(sources.pop()))
        assert not any(map(router, guests))
        net.verify()
