# SPDX-License-Identifier: Apache-2.0

"""Multicast between guests' real sockets: who has joined a group gets it, and nobody else."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.multicast import packets
from tenantry.controller.model import Binding
from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import link_local
from tenantry.controller.packets.neighbour_discovery import ALL_NODES, ALL_NODES_MAC
from tests.groups import GROUPS, OTHER_GROUP, hearers, joined, members, settled
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, multicast__snooping="true") as running:
        yield running
        running.verify()


@pytest.mark.parametrize("version", [4, 6])
def test_a_group_goes_to_who_has_asked(net: Lab, version: int) -> None:
    ports, guests = plugged(net, 4)
    group = GROUPS[version]
    settled(net)
    assert hearers(guests[0], guests[1:], group) == [False] * 3
    with joined(guests[1], group), joined(guests[2], OTHER_GROUP[version]):
        net.until(lambda: members(net, group) == {ports[1]["id"]})
        net.until(lambda: members(net, OTHER_GROUP[version]) == {ports[2]["id"]})
        net.take_effect()
        assert hearers(guests[0], guests[1:], group) == [True, False, False]
        assert hearers(guests[0], guests[1:], OTHER_GROUP[version]) == [False, True, False]
    net.until(lambda: not members(net, group))  # it has left, and says so
    net.take_effect()
    assert hearers(guests[0], guests[1:], group) == [False] * 3


def plugged(net: Lab, count: int) -> tuple[list[Any], list[Guest]]:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(count)]
    return ports, [net.guest(port) for port in ports]


@pytest.mark.parametrize("version", [4, 6])
def test_guests_are_asked_whatever_their_security_groups_say(
    ovs: OpenVSwitch, tmp_path: Path, version: int
) -> None:
    """A port that is plugged in anew is asked; its guest has noticed nothing, and only answers."""
    with lab(ovs, tmp_path, groups=True, multicast__snooping="true") as net:
        (port,), (guest,) = plugged(net, 1)
        binding = net.controller.model.get(Binding, port["id"])
        assert binding is not None
        with joined(guest, GROUPS[version]):
            net.until(lambda: members(net, GROUPS[version]) == {port["id"]})
            net.detach(binding.interface)
            net.until(lambda: not members(net, GROUPS[version]))
            net.attach(port, interface=binding.interface)
            net.until(lambda: members(net, GROUPS[version]) == {port["id"]})
        net.verify()


@pytest.mark.parametrize("version", [4, 6])
def test_a_guest_that_routes_multicast_gets_it_all(net: Lab, version: int) -> None:
    ports, guests = plugged(net, 3)
    settled(net)
    ask(guests[1], ports[1], version)
    net.until(lambda: members(net, EVERY[version]) == {ports[1]["id"]})
    net.take_effect()
    assert hearers(guests[0], guests[1:], GROUPS[version]) == [True, False]


EVERY = {4: "0.0.0.0", 6: "::"}


def ask(guest: Guest, port: Any, version: int) -> None:
    """A general query, as from a router that a guest is."""
    mac = int(port["mac_address"].replace(":", ""), 16)
    if version == 4:
        query = packets.QUERY.to_bytes(1, "big") + b"\x64\xee\x9b" + bytes(4)
        own = next(ip for ip in port["fixed_ips"] if ":" not in ip["ip_address"])
        source = int(ipaddress.ip_address(own["ip_address"]))
        ends = frames.Ends(mac, 0x01005E000001, 4, source, 0xE0000001)
        frame = frames.ip(ends, packets.IGMP, 1, query)
    else:
        message = struct.pack("!BBHHH16x", packets.MLD_QUERY, 0, 0, 1000, 0)
        frame = frames.icmpv6(mac, ALL_NODES_MAC, link_local(mac), ALL_NODES, message, 1)
    with guest.socket(socket.SOCK_RAW, socket.AF_PACKET) as mouth:
        mouth.bind(("eth0", 0))
        mouth.send(frame)
