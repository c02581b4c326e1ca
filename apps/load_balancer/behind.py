# SPDX-License-Identifier: Apache-2.0

"""The load balancers behind a router that leads outside, and which members they have in common."""

from __future__ import annotations

from tenantry.apps.load_balancer.places import Service, services
from tenantry.apps.load_balancer.records import LoadBalancer
from tenantry.controller.model import View, derived
from tenantry.controller.network.routers import gateway, gateways, networks_of, routers_on
from tenantry.controller.packets.frames import TCP


@derived
def balancers_behind(view: View, router_id: str) -> frozenset[str]:
    """The load balancers on the networks of a router that leads outside."""
    if gateway(view, router_id) is None:
        return frozenset()
    inside = (id for id, outside in networks_of(view, router_id) if not outside)
    return frozenset[str]().union(*(view.ids(LoadBalancer, vip_network_id=id) for id in inside))


def routed_on(view: View, switch: int) -> frozenset[str]:
    """The ids of routers that packets can meet on a switch, each with that of a load balancer
    behind it."""
    return frozenset(
        f"{router_id} {id}"
        for router_id in routers_on(view, switch)
        for id in balancers_behind(view, router_id)
    )


def routed_balancers_on(view: View, switch: int) -> frozenset[str]:
    """The load balancers for which this switch is a gateway."""
    behind = (
        balancers_behind(view, router_id)
        for router_id in routers_on(view, switch)
        if switch in gateways(view, router_id)
    )
    return frozenset[str]().union(*behind)


@derived
def sharing(view: View, router_id: str, service: Service) -> tuple[int, ...]:
    """The keys of the load balancers behind a router that have a member there."""
    return tuple(key for key, one in _members_behind(view, router_id) if one == service)


@derived
def sharing_address(
    view: View, router_id: str, version: int, address: int, *, errors: bool = False
) -> tuple[int, ...]:
    """Likewise, at any of its ports; or (``errors``) at any that is not TCP's."""
    there = (
        key
        for key, one in _members_behind(view, router_id)
        if (one.version, one.address) == (version, address) and not (errors and one.protocol == TCP)
    )
    return tuple(dict.fromkeys(there))


@derived
def _members_behind(view: View, router_id: str) -> tuple[tuple[int, Service], ...]:
    """Keys of load balancers behind a router, each with where a member answers."""
    found = []
    for id in balancers_behind(view, router_id):
        balancer = view.get(LoadBalancer, id)
        if balancer is not None and balancer.admin_state_up:
            versions = {vip.version for vip in balancer.vips}
            there = (one for one in services(view, id) if one.version in versions)
            found += [(balancer.key, one) for one in there]
    return tuple(sorted(found))
