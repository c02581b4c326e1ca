# SPDX-License-Identifier: Apache-2.0

"""Trunks with real packets: a guest is in several networks by VLANs of its one interface."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenantry.controller.model import Binding
from tests import dhcp_client, echo
from tests.broadcasts import Ear, say
from tests.farm import Farm, Machine, answered, farm, machines
from tests.namespace import Guest
from tests.vlan import vlan

VLANS = {"red": 10, "blue": 20}


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2) as ready:
        yield ready


class Peer(NamedTuple):
    """An ordinary guest of a network, on one of the machines."""

    guest: Guest
    addresses: list[str]


class Stage:
    """A guest on the first machine with a trunk of two sub-ports, and two peers in each network:
    one on its own machine, one on the other."""

    def __init__(self, net: Farm, stack: ExitStack, *on_trunk: str) -> None:
        self.net = net
        self._stack = stack
        self.networks = {
            name: net.network(f"10.0.{number}.0/24", f"fd00:{number}::/64", name=name)
            for number, name in ((1, "native"), (10, "red"), (20, "blue"))
        }
        self.peers: dict[str, list[Peer]] = {}
        for (name, network), machine in product(self.networks.items(), net.machines):
            port = net.port(network)
            peer = Peer(net.plug(machine, port), addresses(port))
            self.peers.setdefault(name, []).append(peer)
        self.parent = net.port(self.networks["native"])
        self.subs = {name: net.port(self.networks[name]) for name in VLANS}
        self.trunk = net.create(
            "trunk", port_id=self.parent["id"], sub_ports=[self.sub(name) for name in on_trunk]
        )
        self.guest = self.plug(net.machines[0])

    def plug(self, machine: Machine) -> Guest:
        """The guest with the trunk, with a VLAN for each sub-port, even for one that is none."""
        guest = self.net.plug(machine, self.parent)
        for name, port in self.subs.items():
            self.add_vlan(guest, port, VLANS[name])
        return guest

    def add_vlan(self, guest: Guest, port: Any, id: int) -> None:
        """A VLAN of a guest's interface, with the MAC address and the addresses of a port."""
        name = self._stack.enter_context(vlan(guest, id))
        guest.run("sysctl", "-qw", f"net.ipv6.conf.{name.replace('.', '/')}.accept_dad=0")
        mtu = self.networks["native"]["mtu"]
        guest.run("ip", "link", "set", name, "address", port["mac_address"], "mtu", mtu, "up")
        for address in addresses(port):
            length = 64 if ":" in address else 24
            guest.run("ip", "address", "add", f"{address}/{length}", "dev", name)

    def sub(self, name: str) -> dict[str, Any]:
        return {
            "port_id": self.subs[name]["id"],
            "segmentation_type": "vlan",
            "segmentation_id": VLANS[name],
        }

    def act(self, action: str, *sub_ports: dict[str, Any]) -> None:
        path = f"/v2.0/trunks/{self.trunk['id']}/{action}"
        self.net.api("PUT", path, {"sub_ports": sub_ports})

    def until(self, status: str, *names: str) -> None:
        ids = [self.subs[name]["id"] for name in names]
        self.net.until(lambda: all(self.net.controller.status.port(id) == status for id in ids))
        assert all(self.net.status(self.subs[name]) == status for name in names)

    def assert_in(self, *names: str) -> None:
        """The guest reaches all of these networks, and is reached from there; of all others,
        nobody."""
        self.net.take_effect()
        there: dict[tuple[Guest, str], str] = {}
        for name, port in (("native", self.parent), *self.subs.items()):
            for peer in self.peers[name]:
                there |= dict.fromkeys(product([self.guest], peer.addresses), name)
                there |= dict.fromkeys(product([peer.guest], addresses(port)), name)
        results = zip(there.items(), answered([*there]), strict=True)
        wrong = [(name, address) for ((_, address), name), ok in results if ok != (name in names)]
        assert not wrong, self.net.dump()


def addresses(port: Any) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


def test_a_trunk_is_in_all_of_its_networks(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack, "red", "blue")
        on.until("ACTIVE", "red", "blue")
        on.assert_in("native", "red", "blue")
        # Frames as large as the network's MTU says, and TCP, whose checksums somebody must compute.
        mtu = on.networks["red"]["mtu"]
        four, six = on.peers["red"][1].addresses
        on.guest.run("ping", "-n", "-c", "1", "-w", "3", "-M", "do", "-s", mtu - 28, four)
        on.guest.run("ping", "-n", "-c", "1", "-w", "3", "-M", "do", "-s", mtu - 48, six)
        with echo.serving(on.peers["red"][1].guest), echo.serving(on.peers["blue"][0].guest):
            asked = [four, six, *on.peers["blue"][0].addresses]
            seen_as = [a for name in ("red", "blue") for a in addresses(on.subs[name])]
            assert echo.asked(on.guest, *asked) == [a for a in seen_as for _ in echo.KINDS]
        net.verify()


def test_sub_ports_come_and_go_while_the_guest_runs(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack)
        on.until("DOWN", "red", "blue")
        on.assert_in("native")
        on.act("add_subports", on.sub("red"))
        on.until("ACTIVE", "red")
        on.assert_in("native", "red")
        on.act("add_subports", on.sub("blue"))
        on.until("ACTIVE", "blue")
        on.act("remove_subports", {"port_id": on.subs["red"]["id"]})
        on.until("DOWN", "red")
        on.assert_in("native", "blue")
        net.verify()


def test_sub_ports_go_where_their_parent_goes(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack, "red", "blue")
        on.until("ACTIVE", "red", "blue")
        net.unplug(on.parent)
        assert net.status(on.parent) == "DOWN"
        on.until("DOWN", "red", "blue")
        assert not [p for p in on.subs.values() if net.controller.model.get(Binding, p["id"])]
        on.guest = on.plug(started[1])
        on.until("ACTIVE", "red", "blue")
        assert {net.bound(port) for port in (on.parent, *on.subs.values())} == {"host2"}
        on.assert_in("native", "red", "blue")
        net.verify()


def test_tags_are_for_trunks_and_no_others_than_theirs(
    started: list[Machine], tmp_path: Path
) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack, "red", "blue")
        on.until("ACTIVE", "red", "blue")
        # One that may say what it likes, but for tags.
        free = {"port_security_enabled": False, "security_groups": []}
        port = net.port(on.networks["red"], **free)
        plain = net.plug(started[0], port)
        net.take_effect()
        ears = [
            (name, stack.enter_context(Ear(peer.guest)))
            for name, peers in on.peers.items()
            for peer in peers
        ]
        # The tag of nobody, those of others, and last what may be, so that all has arrived by then.
        own = {0: on.parent, VLANS["red"]: on.subs["red"], VLANS["blue"]: on.subs["blue"]}
        say(on.guest, on.subs["red"], b"from the trunk, 30", tag=30)
        for tag in (30, *VLANS.values(), 0):
            say(plain, port, b"from the plain, %d" % tag, tag=tag)
        for tag, sender in own.items():
            say(on.guest, sender, b"from the trunk, %d" % tag, tag=tag)
        expected = {
            "native": {b"from the trunk, 0"},
            "red": {b"from the plain, 0", b"from the trunk, 10"},
            "blue": {b"from the trunk, 20"},
        }
        for name, ear in ears:
            assert {ear.next() for _ in expected[name]} == expected[name]
        assert not any(ear.all() for _, ear in ears)
        net.verify()


NAME_OF = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[2], "A")
print(dns.query.udp(query, sys.argv[1], timeout=5).answer[0][0])
"""
SLAAC = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


def global_addresses(guest: Guest, interface: str) -> str:
    return guest.run("ip", "-6", "address", "show", "dev", interface, "scope", "global")


@pytest.mark.parametrize("same", [True, False], ids=["the parent's MAC", "a MAC of its own"])
def test_what_the_controller_tells_comes_by_the_sub_ports_vlan(
    started: list[Machine], tmp_path: Path, same: bool
) -> None:
    """A lease, a name, an advertisement, asked for and not; on each host, and nothing without the
    tag, where it would be another network's."""
    script = dhcp_client.write(tmp_path)
    with farm(tmp_path, started) as net, ExitStack() as stack:
        native, red = net.network("10.0.1.0/24"), net.network("10.0.10.0/24")
        for network, prefix in ((native, "fd00:1::/64"), (red, "fd00:10::/64")):
            net.create("subnet", network_id=network["id"], cidr=prefix, **SLAAC)
        net.router(native, red)
        server = next(s for s in net.subnets(red) if s["ip_version"] == 4)["service_address"]
        for machine in started:
            parent = net.port(native)
            own = {"mac_address": parent["mac_address"]} if same else {}
            sub = net.port(red, dns_name=f"web{machine.number}", **own)
            trunked = {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 10}
            net.create("trunk", port_id=parent["id"], sub_ports=[trunked])
            guest = net.plug(machine, parent, bare=True)
            name = stack.enter_context(vlan(guest, 10))
            guest.run("ip", "link", "set", "eth0", "up")
            guest.run("sysctl", "-qw", f"net.ipv6.conf.{name.replace('.', '/')}.accept_dad=0")
            guest.run("ip", "link", "set", name, "address", sub["mac_address"], "up")
            net.take_effect()
            address = next(a for a in addresses(sub) if "." in a)
            with dhcp_client.running(dhcp_client.udhcpc(guest, script, "-i", name)) as client:
                while (told := client.told())["EVENT"] != "bound":
                    pass
            assert (told["ip"], told["dns"]) == (address, server)
            words = (
                sys.executable,
                "-c",
                NAME_OF,
                server,
                f"web{machine.number}.{told['domain']}.",
            )
            assert guest.run(*words).strip() == address
            # To whom they belong: by now both interfaces have heard all that there is.
            for periodic in net.controller.periodic * 2:
                periodic.send()
            own = (("eth0", "fd00:1:"), (name, "fd00:10:"))
            guest.until(
                lambda guest=guest, own=own: all(
                    prefix in global_addresses(guest, interface) for interface, prefix in own
                )
            )
            assert "fd00:10:" not in global_addresses(guest, "eth0")
            assert "fd00:1:" not in global_addresses(guest, name)
        net.verify()
