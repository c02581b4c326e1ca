# SPDX-License-Identifier: Apache-2.0

"""What routers do with a packet, in plain words: the reference for compiled flows.

It knows networks, machines, routers and addresses, and nothing of tables, registers or switches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import NamedTuple


@dataclass
class Leg:
    """A router's port: its network and its addresses there, with their prefixes."""

    network: str
    addresses: list[tuple[str, str]]
    gateway: bool = False


@dataclass
class Router:
    name: str
    snat: bool
    legs: list[Leg] = field(default_factory=list)
    routes: list[tuple[str, str]] = field(default_factory=list)  # prefix, next hop
    defaults: list[str] = field(default_factory=list)  # next hops outside
    floating: dict[str, str] = field(default_factory=dict)  # floating IP to fixed address

    def shared(self) -> str | None:
        """The address that all share outside."""
        for leg in self.legs:
            for address, _ in leg.addresses:
                if leg.gateway and self.snat and "." in address:
                    return address
        return None


@dataclass
class World:
    """``machines``: network and address to a machine's name. ``upstream``: addresses outside that
    answer."""

    machines: dict[tuple[str, str], str] = field(default_factory=dict)
    routers: list[Router] = field(default_factory=list)
    upstream: dict[str, set[str]] = field(default_factory=dict)  # network to addresses


class Packet(NamedTuple):
    src: str
    dst: str
    ttl: int


class Outcome(NamedTuple):
    """``where``: a machine's name, "outside", "router" (it says something) or "nowhere"."""

    where: str
    packet: Packet | None = None


def forward(world: World, router: Router, entered: Leg, packet: Packet, cut: str = "") -> Outcome:
    """What becomes of a packet that a router has got by one of its legs; or of its "first" fragment
    or a "later" one (``cut``), which go the same way, but that nobody is told of a later one."""
    for _ in range(10):
        src, dst, ttl = packet
        inside, four = not entered.gateway, "." in dst
        translate = False
        if four and dst in router.floating:
            dst, translate = router.floating[dst], True
        if any(dst == address for leg in router.legs for address, _ in leg.addresses):
            return Outcome("nowhere" if cut == "later" else "router")
        if ttl <= 1:
            return Outcome("router")
        found = _route(router, dst)
        if found is None:
            return Outcome("router")
        leg, nexthop = found
        translate |= leg.gateway and four
        if leg is entered and leg.gateway:
            known = nexthop in world.upstream.get(leg.network, ())
            return Outcome("nowhere" if known or _owner(world, leg.network, nexthop) else "router")
        before = src
        if translate and inside and four:
            names = [public for public, fixed in router.floating.items() if fixed == src]
            src = names[0] if names else router.shared() or src
        packet = Packet(src, dst, ttl - 1)
        machine = world.machines.get((leg.network, nexthop))
        if machine is not None:
            return Outcome(machine, packet)
        owner = _owner(world, leg.network, nexthop)
        if owner is None:
            outside = nexthop in world.upstream.get(leg.network, ())
            return (
                Outcome("outside", packet)
                if outside
                else Outcome("router", Packet(before, dst, ttl))
            )
        router, entered = owner
    raise AssertionError("a packet goes in circles")


def _route(router: Router, dst: str) -> tuple[Leg, str] | None:
    """The leg and the next hop of the longest prefix; what is on a link before other routes."""
    address = ip_address(dst)
    candidates: list[tuple[int, bool, Leg, str]] = []
    for leg in router.legs:
        for _, prefix in leg.addresses:
            if address in ip_network(prefix):
                candidates.append((ip_network(prefix).prefixlen, True, leg, dst))
    asked = {prefix for prefix, _ in router.routes}
    defaults = [("0.0.0.0/0" if "." in hop else "::/0", hop) for hop in router.defaults]
    for prefix, hop in router.routes + [each for each in defaults if each[0] not in asked]:
        if address.version == ip_network(prefix).version and address in ip_network(prefix):
            for leg in router.legs:
                if any(ip_address(hop) in ip_network(on) for _, on in leg.addresses):
                    candidates.append((ip_network(prefix).prefixlen, False, leg, hop))
    if not candidates:
        return None
    _, _, leg, hop = max(candidates, key=lambda candidate: candidate[:2])
    return leg, hop


def _owner(world: World, network: str, address: str) -> tuple[Router, Leg] | None:
    """The router that has an address on a network, its floating IPs included, and by which leg."""
    for router in world.routers:
        for leg in router.legs:
            own = {address for address, _ in leg.addresses}
            if leg.gateway:
                own |= set(router.floating)
            if leg.network == network and address in own:
                return router, leg
    return None
