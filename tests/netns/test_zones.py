# SPDX-License-Identifier: Apache-2.0

"""A connection is one, whichever way its packets take; and routers that come and go end none that
does not go through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.echo import PORT, asked, serving
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import connected, group
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, Outside, join, machine

ONE, TWO = ("10.1.0.0/24", "fd01::/64"), ("10.2.0.0/24", "fd02::/64")
FAR = ("192.168.50.0/24", "fd50::/64")
FAR_END = ("192.168.50.9", "fd50::9")
EVERYTHING: dict[str, Any] = {}
"""A rule that allows all of it."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


def closed(net: Lab) -> str:
    """A group into which only answers come."""
    return group(net, "closed")


def leg(net: Lab, router: Any, network: Any, *numbers: str) -> list[str]:
    """One more interface of a router, at these addresses."""
    fixed = [{"ip_address": number} for number in numbers]
    port = net.port(network, fixed_ips=fixed)
    net.interface(router, port_id=port["id"])
    return list(numbers)


def routes(net: Lab, router: Any, prefixes: tuple[str, ...], nexthops: list[str]) -> None:
    ways = zip(prefixes, nexthops, strict=True)
    said = [{"destination": prefix, "nexthop": nexthop} for prefix, nexthop in ways]
    net.update("router", router["id"], routes=said)
    net.take_effect()


@pytest.mark.parametrize("secured", [False, True], ids=["no port security", "allowed pairs"])
def test_answers_come_from_a_machine_on_the_link(net: Lab, secured: bool) -> None:
    """The question goes by the router, which knows the way to what is behind the machine. What the
    machine says itself of a packet is heard, too."""
    network = net.network(*ONE)
    router = net.router(network)
    pairs = [{"ip_address": prefix} for prefix in FAR]
    some = {"allowed_address_pairs": pairs, "security_groups": [group(net, "open", EVERYTHING)]}
    none: dict[str, Any] = {"port_security_enabled": False, "security_groups": []}
    ports = [net.port(network, **(some if secured else none))]
    ports.append(net.port(network, security_groups=[closed(net)]))
    between, far = net.guest(ports[0]), net.guest()
    client = machine(net, ports[1])
    behind(between, far)
    routes(net, router, FAR, addresses(ports[0]))
    four, six = addresses(ports[1])
    with serving(far):
        assert asked(client, *FAR_END) == [four, four, six, six]
    for address, hop in zip(FAR_END, addresses(ports[0]), strict=True):
        assert client.pings(address, 2)
        said = client.run("traceroute", "-n", "-q", "1", "-w", "1", address)
        assert hop in said, "an error about what goes further than its link"
        assert address in said


def behind(between: Guest, far: Guest) -> None:
    """A host behind a machine that forwards, and sends no redirects."""
    join(between, far, "eth1", "eth0")
    for name in ("all", "eth0"):
        between.run("sysctl", "-qw", f"net.ipv4.conf.{name}.send_redirects=0")
    between.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for prefix, end in zip(FAR, FAR_END, strict=True):
        first, length = prefix.replace(".0/", ".1/").replace("::/", "::1/"), prefix.split("/")[1]
        between.run("ip", "address", "add", first, "dev", "eth1")
        far.run("ip", "address", "add", f"{end}/{length}", "dev", "eth0")
        far.run("ip", "route", "add", "default", "via", first.split("/")[0])


def test_answers_come_by_another_router(net: Lab) -> None:
    """The default router knows the way by another one, which delivers directly."""
    one, two = net.network(*ONE), net.network(*TWO)
    first, second = net.router(one), net.router(two)
    routes(net, first, TWO, leg(net, second, one, "10.1.0.200", "fd01::200"))
    ports = [net.port(one, security_groups=[closed(net)])]
    ports.append(net.port(two, security_groups=[group(net, "open", EVERYTHING)]))
    a, b = (machine(net, port) for port in ports)
    net.take_effect()
    four, six = addresses(ports[0])
    with serving(b):
        assert asked(a, *addresses(ports[1])) == [four, four, six, six]
    assert not any(b.pings(address) for address in (four, six)), "nothing comes unasked"


def test_a_machine_in_all_subnets_answers_on_the_link(net: Lab) -> None:
    network = net.network("10.1.0.0/24", "10.1.1.0/24", "fd01::/64", "fd02::/64")
    net.router(network)
    by_prefix = {subnet["cidr"]: {"subnet_id": subnet["id"]} for subnet in net.subnets(network)}
    low = [by_prefix[cidr] for cidr in ("10.1.0.0/24", "fd01::/64")]
    high = [by_prefix[cidr] for cidr in ("10.1.1.0/24", "fd02::/64")]
    ports = [net.port(network, fixed_ips=low, security_groups=[closed(net)])]
    opened = group(net, "open", EVERYTHING)
    ports.append(net.port(network, fixed_ips=[*low, *high], security_groups=[opened]))
    asking, answering = machine(net, ports[0]), net.guest(ports[1])
    net.take_effect()
    far = [address for address in addresses(ports[1]) if address.startswith(("10.1.1.", "fd02"))]
    four, six = addresses(ports[0])
    with serving(answering):
        assert asked(asking, *far) == [four, four, six, six]


def test_a_machine_in_two_networks_answers_by_the_nearer(net: Lab) -> None:
    """Asked by way of the router at its port in the other network, it answers on the link."""
    one, two = net.network(*ONE), net.network(*TWO)
    net.router(one, two)
    opened = group(net, "open", EVERYTHING)
    far = net.port(two, security_groups=[opened])
    pairs = [{"ip_address": address} for address in addresses(far)]
    near = net.port(one, security_groups=[opened], allowed_address_pairs=pairs)
    asking = net.port(one, security_groups=[closed(net)])
    client, between, other = machine(net, asking), net.guest(near), net.guest(far)
    other.run("ip", "link", "set", "eth0", "name", "eth1")
    other.run("ip", "link", "set", "eth1", "netns", between.pid)
    for name in ("all", "eth0", "eth1"):
        between.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")
    between.run("sysctl", "-qw", "net.ipv6.conf.eth1.accept_dad=0")
    between.run("ip", "link", "set", "eth1", "up")
    for address, length in zip(addresses(far), (24, 64), strict=True):
        between.run("ip", "address", "add", f"{address}/{length}", "dev", "eth1")
    net.take_effect()
    four, six = addresses(asking)
    assert all(client.pings(address, 2) for address in addresses(far))
    with serving(between):  # by UDP the server answers where it was asked, not where the way is
        assert asked(client, *addresses(far))[::2] == [four, six]


def test_routers_come_and_go_and_connections_stay(net: Lab) -> None:
    """In a network, between two others, and with the world: whoever speaks first afterwards."""
    outside = Outside(net)
    one, two, late = net.network(*ONE), net.network(*TWO), net.network("10.3.0.0/24")
    router = net.router(one, two, outside=outside.network)
    shut, opened = closed(net), group(net, "open", EVERYTHING)
    ports = [net.port(one, security_groups=[shut])]
    ports += [net.port(network, security_groups=[opened]) for network in (one, two)]
    lonely = [net.port(late, security_groups=[which]) for which in (shut, opened)]
    client, beside, routed, asking, answering = (machine(net, p) for p in (*ports, *lonely))
    net.take_effect()
    kept = {
        "in a network": connected(client, beside, addresses(ports[1])[0], PORT),
        "between two": connected(client, routed, addresses(ports[2])[0], PORT),
        "with the world": connected(client, outside.server, SERVER, PORT),
        "in one that had no router": connected(asking, answering, addresses(lonely[1])[0], PORT),
    }
    (subnet,) = (s for s in net.subnets(one) if s["ip_version"] == 4)
    (its,) = net.subnets(late)
    another = net.router()

    def hold() -> None:
        net.take_effect()
        for name, (calling, called) in kept.items():
            for speaker, listener in ((called, calling), (calling, called)):
                speaker.send(b"still there?")
                assert listener.recv(100) == b"still there?", name

    changes: list[Callable[[], object]] = [
        lambda: net.interface(router, subnet_id=its["id"]),
        lambda: net.interface(router, "remove", subnet_id=its["id"]),
        lambda: leg(net, another, one, "10.1.0.200"),
        lambda: net.interface(another, subnet_id=its["id"]),
        lambda: net.interface(another, "remove", subnet_id=its["id"]),
        lambda: net.interface(another, "remove", subnet_id=subnet["id"]),
    ]
    for change in changes:
        change()
        hold()
    for ends in kept.values():
        for end in ends:
            end.close()
