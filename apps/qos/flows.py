# SPDX-License-Identifier: Apache-2.0

"""Limits and marks of ports, floating IPs and gateways; see the package.

A limit is a meter, the first action of one flow: it drops what is beyond, wherever the packet would
have gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tenantry.apps.nat.records import PortForwarding
from tenantry.apps.qos.records import (
    NO_RULES,
    Rates,
    Rules,
    queue_of,
    rules_of_floating_ip,
    rules_of_gateway,
    rules_of_port,
)
from tenantry.apps.qos.tables import FromPortQosPriority, RouterQosPriority
from tenantry.controller.model import Network, Port, View
from tenantry.controller.network.records import FloatingIp, Router
from tenantry.controller.network.routers import (
    RouterInterface,
    gateway,
    gateways,
    routers_on,
    switches_at,
    translating_switches,
)
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.flow import (
    Actions,
    Flow,
    Goto,
    Item,
    Limit,
    Match,
    Meter,
    Of,
    SetField,
    SetQueue,
)
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.masks import port_masks
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLOATING,
    IN_PORT,
    INSIDE,
    OUT_PORT,
    ROUTER,
    SOURCE,
    Table,
)
from tenantry.controller.packets.frames import IPV4, IPV6, TCP, UDP

_FAMILIES: tuple[Match, ...] = ({"eth_type": IPV4}, {"eth_type": IPV6})
_PROTOCOLS = {"tcp": TCP, "udp": UDP}

FRAME_OVERHEAD = 18
"""Octets of a frame beside its packet: the Ethernet header, and a VLAN tag."""


def smallest_burst(mtu: int) -> int:
    """Kilobits: two of the largest frames. With less, none of them would ever pass."""
    return -(-2 * 8 * (mtu + FRAME_OVERHEAD) // 1000)


class _Way(NamedTuple):
    """One direction of a policy's user: its meters, and in which tables they stand."""

    rates: Rates
    bits: int  # meters by use and key
    packets: int
    first: Table
    then: Table

    def limits(self, mtu: int) -> list[Limit]:
        """At most one of each unit. Without a word on bursts, what comes in a second may come at
        once, which a single TCP connection needs to keep up the rate."""
        rates, found = self.rates, []
        if rates.kbps:
            burst = max(rates.burst or rates.kbps, smallest_burst(mtu))
            found.append(Limit(self.bits, rates.kbps, burst, Of.KILOBITS))
        if rates.pps:
            found.append(Limit(self.packets, rates.pps, rates.packet_burst or rates.pps))
        return found

    def flow(
        self, limits: list[Limit], priority: int, match: Match, *marks: SetField | SetQueue
    ) -> Flow:
        """What packets of this way meet first."""
        meters: Actions = tuple(Meter(limit.meter) for limit in limits[:1])
        after = Goto(self.then if len(limits) > 1 else self.first.next)
        return Flow(self.first, priority, match, (*meters, *marks, after))

    def second(self, limits: list[Limit], priority: int, match: Match) -> Iterator[Flow]:
        """A flow has one meter: the second is in a table of its own."""
        for limit in limits[1:]:
            on = Goto(self.first.next)
            yield Flow(self.then, priority, match, (Meter(limit.meter), on))


def _from(rules: Rules, key: int, first: Table, then: Table) -> _Way:
    use = MeterUse
    bits, packets = use.FROM_PORT_BITS.meter(key), use.FROM_PORT_PACKETS.meter(key)
    return _Way(rules.egress, bits, packets, first, then)


def _to(rules: Rules, key: int, first: Table, then: Table) -> _Way:
    use = MeterUse
    bits, packets = use.TO_PORT_BITS.meter(key), use.TO_PORT_PACKETS.meter(key)
    return _Way(rules.ingress, bits, packets, first, then)


def _marks(rules: Rules) -> tuple[SetField, ...]:
    return () if rules.dscp is None else (SetField("ip_dscp", rules.dscp),)


# --- ports -----------------------------------------------------------------------------------


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Item]:
    """What a port sends, and what it gets."""
    rules, port = rules_of_port(view, port_id), view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port and rules != NO_RULES else None
    if port is None or network is None or not port.admin_state_up:
        return
    sent = _from(rules, port.key, Table.FROM_PORT_QOS, Table.FROM_PORT_PACKETS)
    limits, match = sent.limits(network.mtu), Match({IN_PORT: port.key})
    queue = queue_of(view, switch, port_id)
    queued = () if queue is None else (SetQueue(queue.number),)
    yield from limits
    if limits or queued:
        yield sent.flow(limits, FromPortQosPriority.ORDINARY, match, *queued)
        yield from sent.second(limits, OneRung.ORDINARY, match)
    marks = _marks(rules)
    for family in _FAMILIES if marks else ():
        yield sent.flow(limits, FromPortQosPriority.MARKED, {**match, **family}, *queued, *marks)
    got = _to(rules, port.key, Table.TO_PORT_QOS, Table.TO_PORT_PACKETS)
    limits, match = got.limits(network.mtu), {OUT_PORT: port.key}
    yield from limits
    if limits:
        yield got.flow(limits, OneRung.ORDINARY, match)
        yield from got.second(limits, OneRung.ORDINARY, match)


# --- floating IPs and gateways ---------------------------------------------------------------


def floating_ips_on(view: View, switch: int) -> frozenset[str]:
    """The floating IPs whose routers are on a switch."""
    routers = routers_on(view, switch)
    return frozenset[str]().union(*(view.ids(FloatingIp, router_id=id) for id in routers))


def compile_floating(view: View, switch: int, id: str) -> Iterator[Item]:
    """A floating IP, where it is translated. Without a policy, its packets are still not under that
    of the gateway."""
    floating = view.get(FloatingIp, id)
    if floating is None or switch not in translating_switches(view, floating):
        return
    rules, others = rules_of_floating_ip(view, id), rules_of_gateway(view, floating.router_id)
    port, router = view.get(Port, floating.port_id), view.get(Router, floating.router_id)
    if port is None or router is None or {rules, others} == {NO_RULES}:
        return
    if (leg := gateway(view, router.id)) is None:
        return
    if floating.fixed_port_id:
        rung = RouterQosPriority.FLOATING
        address, source = floating.fixed_address, FLOATING
        there: list[Match] = [{"eth_type": IPV4, "ipv4_src": address}]
        back: list[Match] = [{"eth_type": IPV4, "ipv4_dst": address}]
    else:
        rung, source = RouterQosPriority.FORWARDED, INSIDE
        there, back = _forwarded(view, floating)
    which = _Which(rung, source, there, back)
    yield from _outside(router, leg, port.key, rules, which)


def _forwarded(view: View, floating: FloatingIp) -> tuple[list[Match], list[Match]]:
    """What is forwarded of a floating IP, as seen inside: from there, and to there."""
    there: list[Match] = []
    back: list[Match] = []
    for forwarding in view.find(PortForwarding, router_id=floating.router_id):
        protocol = _PROTOCOLS.get(forwarding.protocol)
        if forwarding.floatingip_id != floating.id or protocol is None:
            continue
        name, of = forwarding.protocol, Match({"eth_type": IPV4, "ip_proto": protocol})
        for ports in port_masks(*forwarding.internal):
            there.append({**of, "ipv4_src": forwarding.address, f"{name}_src": ports})
            back.append({**of, "ipv4_dst": forwarding.address, f"{name}_dst": ports})
    return there, back


def compile_gateway(view: View, switch: int, router_id: str) -> Iterator[Item]:
    """What passes a router's gateway on a switch, but for floating IPs."""
    rules, router = rules_of_gateway(view, router_id), view.get(Router, router_id)
    leg = gateway(view, router_id)
    if router is None or leg is None or rules == NO_RULES:
        return
    leaves = router.distributed and switch in switches_at(view, leg.network.id)
    if leaves or switch in gateways(view, router_id):
        there = _FAMILIES if rules.dscp is not None else ({},)
        which = _Which(RouterQosPriority.GATEWAY, INSIDE, there, ({},))
        yield from _outside(router, leg, leg.port.key, rules, which)


class _Which(NamedTuple):
    """Whose packets, of all that pass a gateway: at which rung, from which SOURCE, and how they
    look on the way out and in."""

    priority: int
    source: int
    there: Iterable[Match]
    back: Iterable[Match]


def _outside(
    router: Router, leg: RouterInterface, key: int, rules: Rules, which: _Which
) -> Iterator[Item]:
    """What leaves a router by its gateway, and what comes in."""
    ways: tuple[tuple[_Way, Match, Iterable[Match], tuple[SetField, ...]], ...] = (
        (
            _from(rules, key, Table.ROUTER_QOS, Table.ROUTER_PACKETS),
            {EXIT: leg.port.key, SOURCE: which.source},
            which.there,
            _marks(rules),
        ),
        (
            _to(rules, key, Table.ROUTER_QOS, Table.ROUTER_PACKETS),
            {ENTERED: leg.port.key},
            which.back,
            (),
        ),
    )
    for way, ends, matches, marks in ways:
        limits = way.limits(leg.network.mtu)
        yield from limits
        for match in matches:
            whole: Match = {ROUTER: router.key, **ends, **match}
            yield way.flow(limits, which.priority, whole, *marks)
            yield from way.second(limits, which.priority, whole)
