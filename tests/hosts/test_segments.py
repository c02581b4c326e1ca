# SPDX-License-Identifier: Apache-2.0

"""A network of several segments: a VLAN between two hosts, VXLAN to the one that lacks the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.model import Interface
from tests.broadcasts import Ear, ask, asked, say
from tests.capture import vlans
from tests.farm import Farm, Machine, answered, farm, machines, unreached

VLAN = 100
NOBODY = "10.0.0.99"


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(3, uplinks=2) as ready:
        yield ready


class Stage:
    """A guest on each machine."""

    def __init__(self, net: Farm, **attributes: Any) -> None:
        self.net = net
        wire = {
            "provider:network_type": "vlan",
            "provider:physical_network": "uplink",
            "provider:segmentation_id": VLAN,
        }
        self.network = net.network(
            "10.0.0.0/24",
            "fd00:a::/64",
            segments=[wire, {"provider:network_type": "vxlan"}],
        )
        self.ports = [net.port(self.network, **attributes) for _ in net.machines]
        self.guests = [net.plug(*there) for there in zip(net.machines, self.ports, strict=True)]
        net.settle()

    @property
    def addresses(self) -> list[str]:
        return [ip["ip_address"] for port in self.ports for ip in port["fixed_ips"]]

    def answers(self, one: int, other: int) -> set[bool]:
        """Whether one guest gets answers from another, by either family."""
        there = [ip["ip_address"] for ip in self.ports[other]["fixed_ips"]]
        return {*answered([(self.guests[one], address) for address in there])}

    def all_reach_all(self) -> None:
        assert unreached(self.guests, self.addresses) == [], self.net.dump()


def test_all_reach_all_and_each_by_its_own_way(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net:
        on = Stage(net)
        with vlans("e1", *(port["mac_address"] for port in on.ports)) as seen:
            assert on.answers(0, 1) == on.answers(1, 0) == {True}
        assert seen == {VLAN}
        started[0].cut("ext")
        assert on.answers(0, 1) == {False}
        assert on.answers(0, 2) == on.answers(2, 0) == {True}
        started[0].cut("ext", mend=True)
        started[2].cut()
        assert on.answers(0, 1) == {True}
        assert on.answers(0, 2) == {False}
        started[2].cut(mend=True)
        on.all_reach_all()
        net.verify()


@pytest.mark.parametrize("security", [True, False], ids=["secure", "learning"])
def test_each_hears_a_broadcast_once(
    started: list[Machine], tmp_path: Path, security: bool
) -> None:
    free = {} if security else {"port_security_enabled": False, "security_groups": []}
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, **free)
        on.all_reach_all()
        ears = [stack.enter_context(Ear(guest)) for guest in on.guests]
        expected: list[Counter[bytes]] = [Counter() for _ in ears]
        for speaker, (guest, port) in enumerate(zip(on.guests, on.ports, strict=True)):
            words = [b"%d from %d" % (version, speaker) for version in (4, 6)]
            say(guest, port, words[0], version=4)
            say(guest, port, words[1], version=6)
            ask(guest, port, NOBODY)
            for listener, hears in enumerate(expected):
                if listener != speaker:
                    hears.update([*words, asked(port, NOBODY)])
        on.all_reach_all()  # behind the broadcasts, on the same ways
        assert [ear.all() for ear in ears] == expected
        net.verify()


def test_a_host_has_its_wire_whichever_of_its_connections_was_first(
    started: list[Machine], tmp_path: Path
) -> None:
    with farm(tmp_path, started, join=False) as net:
        machine = started[0]
        machine.add_bridge("br-int", f"tcp:{net.controller.openflow}")
        net.until(lambda: bool(net.controller.progress.connections))
        net.settle()
        machine.join(net.controller.joining.port)
        interfaces = net.controller.model.all(Interface)
        there = net.controller.progress.wait_until(
            lambda: any(i.physical_network == "uplink" for i in interfaces.values()), 5
        )
        assert there, machine.vsctl("show")
        net.verify()


def test_a_port_gets_its_address_where_it_is_plugged_in(
    started: list[Machine], tmp_path: Path
) -> None:
    """Nobody says where: the wire's segment where there is the wire, and that of the tunnels where
    there is none. Hosts of one segment reach each other; it is kept over a restart."""
    with farm(tmp_path, started) as net:
        wire = {
            "provider:network_type": "vlan",
            "provider:physical_network": "uplink",
            "provider:segmentation_id": VLAN,
        }
        tunnels = {"provider:network_type": "vxlan"}
        network = net.create("network", segments=[wire, tunnels])
        segments = net.api("GET", f"/v2.0/segments?network_id={network['id']}")["segments"]
        at = {}
        for number, segment in enumerate(segments, 1):
            subnet = {"network_id": network["id"], "segment_id": segment["id"], "ip_version": 4}
            made = net.create("subnet", cidr=f"10.{number}.0.0/24", **subnet)
            at[segment["network_type"]] = made["id"]
        ports = [net.port(network) for _ in started]
        assert [port["fixed_ips"] for port in ports] == [[]] * 3
        guests = []
        for machine, port in zip(started, ports, strict=True):
            guest = net.plug(machine, port, bare=True)
            net.until(lambda port=port: bool(now(net, port)["fixed_ips"]))
            net.bring_up(guest, now(net, port))
            guests.append(guest)
        net.settle()
        shown = [now(net, port) for port in ports]
        subnets = [port["fixed_ips"][0]["subnet_id"] for port in shown]
        assert subnets == [at["vlan"], at["vlan"], at["vxlan"]]
        assert [port["binding:host_id"] for port in shown] == [m.name for m in started]
        address = shown[1]["fixed_ips"][0]["ip_address"]
        assert guests[0].pings(address, count=3), net.dump()
        net.stop_controller()
        net.start_controller()
        assert [now(net, port) for port in ports] == shown
        net.verify()


def now(net: Farm, port: Any) -> Any:
    return net.api("GET", f"/v2.0/ports/{port['id']}")["port"]
