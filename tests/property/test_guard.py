# SPDX-License-Identifier: Apache-2.0

"""What no router passes on, whatever anybody's routes are: the lookup in ROUTE, packet by packet.

Priorities decide here, so this is told by the flows themselves: what the highest of those that
match does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantry.apps import APPS
from tenantry.apps.routing.tables import OF_ONE_LINK as WHY
from tenantry.apps.routing.tables import RoutePriority
from tenantry.controller.engine.engine import Engine
from tenantry.controller.model import Change, Model, Port, Route
from tenantry.controller.network.records import Router
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Flow, Goto
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    FLAGS,
    INSIDE,
    NAT,
    OUTSIDE,
    ROUTER,
    SOURCE,
    Table,
)
from tenantry.controller.sample.topology import sample

OF_ONE_LINK = ("fe80::1", "fe80::ffff:1", "febf::1", "ff02::1", "ff0e::1", "224.0.0.1", "239.1.1.1")
ELSEWHERE = ("2001:db8:7::7", "198.51.100.7")


def matches(flow: Flow, packet: dict[str, int]) -> bool:
    def same(value: Value, found: int) -> bool:
        wanted, mask = value if isinstance(value, tuple) else (value, -1)
        return found & mask == wanted

    return all(name in packet and same(value, packet[name]) for name, value in flow.match.items())


def chosen(flows: Iterable[Flow], packet: dict[str, int]) -> Flow:
    return max((flow for flow in flows if matches(flow, packet)), key=lambda flow: flow.priority)


def packet(port: Port, router_key: int, source: int, to: str) -> dict[str, int]:
    """What a router looks at of a packet that came in by one of its ports."""
    destination = ip_address(to)
    version = destination.version
    return {
        ROUTER: router_key,
        ENTERED: port.key,
        SOURCE: source,
        NAT: 0,
        FLAGS: 0,
        "eth_type": 0x0800 if version == 4 else 0x86DD,
        "ip_proto": 17,
        "ip_ttl": 64,
        "ip_frag": 0,
        "udp_src": 5000,
        "udp_dst": 5000,
        f"ipv{version}_src": int(ip_address("192.0.2.9" if version == 4 else "2001:db8::9")),
        f"ipv{version}_dst": int(destination),
    }


def _routers(model: Model) -> Iterator[tuple[Router, dict[int, int]]]:
    """Those of the sample on links of both families, each with an address on such a link."""
    for router in model.all(Router).values():
        own = [
            ip for p in model.all(Port).values() if p.router_id == router.id for ip in p.fixed_ips
        ]
        hops = {ip.version: ip.address ^ 0x40 for ip in own}
        if hops.keys() == {4, 6}:
            yield router, hops


PREFIXES = st.tuples(st.sampled_from([*OF_ONE_LINK, *ELSEWHERE]), st.integers(0, 128))


@settings(max_examples=30)
@example(drawn=[("fe80::1", 128)])
@given(drawn=st.lists(PREFIXES, min_size=1, max_size=8))
def test_what_is_for_one_link_is_dropped_whatever_the_routes(drawn: list[tuple[str, int]]) -> None:
    model = sample()
    routed = [*_routers(model)]
    assert routed
    for router, hops in routed:
        routes = []
        for text, length in drawn:
            address = ip_address(text)
            bits = address.max_prefixlen
            shift = bits - min(length, bits)
            first = int(address) >> shift << shift
            routes.append(Route(first, bits - shift, hops[address.version], address.version))
        changed = replace(router, routes=tuple(routes))
        model.apply([Change(Router, router.id, changed)])
    engine = Engine(model, APPS)
    for _ in engine.run():
        pass
    assert engine.failed == {}
    ports = {port.key: port for port in model.all(Port).values()}
    for switch in engine.wanted:
        items = [item for _, item, _ in engine.flows(switch)]
        flows = [item for item in items if isinstance(item, Flow) and item.table is Table.ROUTE]
        ends = {(f.match[ROUTER], f.match[ENTERED]) for f in flows if ENTERED in f.match}
        for router_key, entered in ends:
            assert isinstance(router_key, int)
            assert isinstance(entered, int)
            for source, to in product((INSIDE, OUTSIDE), OF_ONE_LINK):
                flow = chosen(flows, packet(ports[entered], router_key, source, to))
                assert flow.actions == drop(WHY), (to, flow.text())


@pytest.mark.parametrize("length", range(129))
def test_a_lookup_finds_the_longest_prefix_below_every_guard(length: int) -> None:
    """So the above can fail: a route that no guard covers is found."""
    first = int(ip_address("2001:db8::1")) >> 128 - length << 128 - length
    mask = (1 << 128) - (1 << 128 - length)
    match: dict[str, Value] = {ROUTER: 1, "eth_type": 0x86DD, "ipv6_dst": (first, mask)}
    route = Flow(Table.ROUTE, RoutePriority.PREFIX[length], match, (Goto(Table.NEXT_HOP),))
    guard = Flow(Table.ROUTE, RoutePriority.LINK_LOCAL, {"ipv6_dst": (0xFE80 << 112, mask)}, ())
    miss = Flow(Table.ROUTE, RoutePriority.MISS, {}, ())
    port = Port("p", 7, "n", "", "", 0, (), True, True, "", "")
    assert chosen([miss, guard, route], packet(port, 1, INSIDE, "2001:db8::1")) is route
    assert RoutePriority.PREFIX[length] < RoutePriority.LINK_LOCAL < RoutePriority.NEVER_ROUTED
