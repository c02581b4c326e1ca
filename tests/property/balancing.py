# SPDX-License-Identifier: Apache-2.0

"""Load balancers in histories: whatever may be had together, over a handful of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from tenantry.apps.load_balancer.records import (
    HTTP,
    HTTPS,
    ROUND_ROBIN,
    SCTP,
    SOURCE_IP,
    TCP,
    TIMEOUTS,
    UDP,
    UNLIMITED,
    HealthMonitor,
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
)
from tenantry.controller.model import FixedIp, Prefix, Record

KINDS: tuple[type[Record], ...] = (
    *(LoadBalancer, Listener, Pool, Member, MemberHealth, HealthMonitor),
)
BALANCERS = ("lb1", "lb2")
LISTENERS = ((TCP, 80), (TCP, 81), (UDP, 53), (HTTPS, 443), (SCTP, 9), (HTTP, 8000))


def _pool_key(balancer: str, number: int) -> int:
    return 10 * BALANCERS.index(balancer) + number + 1


@st.composite
def balancing(
    draw: st.DrawFn,
    networks: Sequence[str],
    ports: Sequence[str],
    address: Callable[[str, str, int], int],
) -> Record:
    """Something of a load balancer's, some of it on another network, or of one that is not there.
    ``address`` is that of a port on a network."""
    balancer = draw(st.sampled_from(BALANCERS))
    number = BALANCERS.index(balancer)
    network, kind = draw(st.sampled_from(networks)), draw(st.sampled_from(KINDS))
    up = draw(st.booleans()) or draw(st.booleans())
    pool = draw(st.integers(0, 1))
    pool_id = f"{balancer}-{pool}"
    if kind is LoadBalancer:
        port = ports[-1 - number]
        versions = draw(st.sampled_from([(4,), (6,), (4, 6)]))
        vips = tuple(FixedIp(f"{network}{v}", v, address(network, port, v)) for v in versions)
        return LoadBalancer(balancer, 20 + number, "project", "", port, network, vips, up)
    if kind is Listener:
        which = draw(st.integers(0, len(LISTENERS) - 1))
        protocol, at = LISTENERS[which]
        key = _pool_key(balancer, which)
        cidrs = draw(st.sampled_from([(), (Prefix(4, 10 << 24, 8),), (Prefix(6, 0, 0),)]))
        of = ("project", balancer, protocol, at, up, UNLIMITED, *TIMEOUTS.values())
        default = draw(st.sampled_from(["", pool_id]))
        return Listener(f"{balancer}-{at}", key, *of, default, allowed_cidrs=cidrs)
    if kind is Pool:
        algorithm = draw(st.sampled_from([ROUND_ROBIN, SOURCE_IP]))
        of_it = ("project", balancer, draw(st.sampled_from([TCP, UDP])), algorithm, up)
        persistence = draw(st.sampled_from([None, SOURCE_IP]))
        return Pool(pool_id, _pool_key(balancer, pool), *of_it, persistence=persistence)
    if kind is HealthMonitor:
        asks = draw(st.sampled_from(["TCP", "HTTPS", "UDP-CONNECT", "PING", "SCTP"]))
        return HealthMonitor(f"{pool_id}-monitor", "project", pool_id, asks, 5, 3, 2, 3, up)
    slot, version = draw(st.integers(0, 2)), draw(st.sampled_from([4, 6]))
    id = f"{pool_id}-{slot}"
    if kind is MemberHealth:
        return MemberHealth(id, up, "")
    at = draw(st.sampled_from([8080, 8081]))
    to = (version, address(network, ports[slot], version), at, draw(st.integers(0, 3)))
    key = 10 * _pool_key(balancer, pool) + slot
    return Member(id, key, slot, "project", "", pool_id, *to, draw(st.booleans()), up)
