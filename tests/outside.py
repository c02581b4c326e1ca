# SPDX-License-Identifier: Apache-2.0

"""What is outside in tests: a router and a server behind it, on an uplink of the first switch."""

from __future__ import annotations

from typing import Any

from tests.lab import Lab
from tests.namespace import Guest, run

SERVER, SERVER6 = "198.51.100.7", "2001:db8:7::7"
SUBNETS = ("203.0.113.0/24", "2001:db8::/64")
WIRE = {"provider:network_type": "flat", "provider:physical_network": "uplink"}


def wired(name: str) -> None:
    """An interface of ours that the kernel keeps silent on, up."""
    run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
    run("ip", "link", "set", name, "up")


def join(one: Guest, other: Guest, *names: str, mtu: int = 1500) -> None:
    """A cable between two guests; ``names`` of its ends."""
    run("ip", "link", "add", "cable1", "type", "veth", "peer", "name", "cable2")
    for guest, ours, theirs in zip((one, other), ("cable1", "cable2"), names, strict=True):
        guest.take(ours)
        guest.run("ip", "link", "set", ours, "name", theirs)
        ready(guest, theirs)
        guest.run("ip", "link", "set", theirs, "mtu", mtu)


def ready(guest: Guest, name: str) -> None:
    guest.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0")
    guest.run("ethtool", "-K", name, "tx", "off")
    guest.run("ip", "link", "set", name, "up")


def furnish(router: Guest, server: Guest, mtu: int = 1500) -> None:
    """A router with an uplink (eth0), and a server behind it."""
    ready(router, "eth0")
    join(router, server, "eth1", "eth0", mtu=mtu)
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for device, *given in (
        ("eth0", "203.0.113.1/24", "2001:db8::1/64"),
        ("eth1", "198.51.100.1/24", "2001:db8:7::1/64"),
    ):
        for address in given:
            router.run("ip", "address", "add", address, "dev", device)
    for address, via in ((f"{SERVER}/24", "198.51.100.1"), (f"{SERVER6}/64", "2001:db8:7::1")):
        server.run("ip", "address", "add", address, "dev", "eth0")
        server.run("ip", "route", "add", "default", "via", via)


class Outside:
    """The external network, the router (``router``) at its first address, the server behind it."""

    def __init__(self, net: Lab, bridge: str = "br-int", *, mtu: int = 1500) -> None:
        self.network = net.external(*SUBNETS, **WIRE)
        self.router, self.server = net.guest(), net.guest()
        run("ip", "link", "add", "uplink1", "type", "veth", "peer", "name", "uplink2")
        wired("uplink1")
        self.router.take("uplink2")
        self.router.run("ip", "link", "set", "uplink2", "name", "eth0")
        furnish(self.router, self.server, mtu)
        net.wire(bridge, "uplink1", "uplink")

    def routes_to(self, router: Any, *prefixes: str) -> None:
        """The router outside knows the way to tenants' networks of IPv6, as it should."""
        fixed = router["external_gateway_info"]["external_fixed_ips"]
        for prefix in prefixes:
            via = next(
                f["ip_address"] for f in fixed if (":" in prefix) == (":" in f["ip_address"])
            )
            self.router.run("ip", "route", "replace", prefix, "via", via)


def machine(net: Lab, port: Any, bridge: str = "br-int") -> Guest:
    """A guest with its default routes."""
    guest = net.guest(port, bridge)
    for ip in port["fixed_ips"]:
        subnet = net.api("GET", f"/v2.0/subnets/{ip['subnet_id']}")["subnet"]
        if subnet["gateway_ip"]:
            guest.run("ip", "route", "replace", "default", "via", subnet["gateway_ip"])
    return guest
