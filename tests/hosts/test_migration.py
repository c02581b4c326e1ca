# SPDX-License-Identifier: Apache-2.0

"""A guest that moves from one host to another while somebody talks to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.model import Standby
from tests.farm import Farm, Machine, farm, machines
from tests.namespace import Guest
from tests.pacer import Pacer, reflecting

RARP = 0x8035


@pytest.fixture
def net(own_netns: None, tmp_path: Path) -> Iterator[Farm]:
    with machines(3) as started, farm(tmp_path, started) as running:
        yield running
        running.verify()


def announced(guest: Guest, mac: str) -> bytes:
    """What QEMU says for a guest that it has resumed: RARP, from the guest's MAC address."""
    own = bytes.fromhex(mac.replace(":", ""))
    body = bytes.fromhex("0001080006040003") + own + bytes(4) + own + bytes(4)
    return b"\xff" * 6 + own + RARP.to_bytes(2, "big") + body


def prepared(net: Farm, port: Any, machine: Machine) -> Guest:
    """A second place for a port, where the guest does not run yet."""
    guest, interface = net.prepare(machine, port, bare=True)
    guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    guest.run("ip", "link", "set", "eth0", "up")
    machine.vsctl(
        *("--no-wait", "add-port", "br-int", interface, "--", "set", "interface", interface),
        f"external_ids:iface-id={port['id']}",
    )
    net.until(lambda: bool(net.controller.model.ids(Standby, ("port_id",), (port["id"],))))
    net.settle()
    return guest


def silent_copy(
    net: Farm, port: Any, machine: Machine, asking: Guest
) -> tuple[Guest, socket.socket]:
    """A second place for a port that is being asked, where all is ready and silent, so that the gap
    is as little as possible the test's own; and a socket to its wire."""
    after = prepared(net, port, machine)
    wire = after.socket(socket.SOCK_RAW, socket.AF_PACKET)
    wire.bind(("eth0", 0))
    assert asking.pings(port["fixed_ips"][0]["ip_address"], count=2)
    after.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=8")
    net.bring_up(after, port)
    return after, wire


@pytest.mark.parametrize("way", ["announcement", "activate", "migrating_to"])
@pytest.mark.parametrize("routed", [False, True], ids=["bridged", "routed"])
def test_a_guest_moves_under_traffic(net: Farm, way: str, routed: bool) -> None:
    one, two, three = net.machines
    network = net.network("10.0.0.0/24")
    there = net.network("10.1.0.0/24") if routed else network
    if routed:
        net.router(network, there)
    port, other = net.port(network), net.port(there)
    (address,) = (ip["ip_address"] for ip in port["fixed_ips"])
    before, asking = net.plug(one, port), net.plug(three, other)
    port = net.update("port", port["id"], **{"binding:host_id": one.name})
    if way == "migrating_to":
        net.update("port", port["id"], **{"binding:profile": {"migrating_to": two.name}})
    else:
        body = {"binding": {"host": two.name}}
        net.api("POST", f"/v2.0/ports/{port['id']}/bindings", body)
    after, wire = silent_copy(net, port, two, asking)
    frame = announced(after, port["mac_address"])
    with reflecting(before), reflecting(after):
        pacer = Pacer(asking, address)
        assert asking.pings(address, count=3)
        before.run("ip", "link", "set", "eth0", "down")
        if way == "activate":
            net.api("PUT", f"/v2.0/ports/{port['id']}/bindings/{two.name}/activate")
        else:
            wire.send(frame)
        net.until(lambda: net.bound(port) == two.name)
        net.settle()
        answered = pacer.result()
    print(f"{way}: {len(answered.lost)} lost, gap {answered.gap * 1000:.0f} ms")
    shown = net.api("GET", f"/v2.0/ports/{port['id']}")["port"]
    assert (shown["binding:host_id"], shown["status"]) == (two.name, "ACTIVE")
    assert asking.pings(address, count=2)
