# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/load-balancers``: who stands behind each, and how they are, with reasons."""

from __future__ import annotations

from typing import Any

import netaddr

from tenantry.apps.load_balancer import operating_status
from tenantry.apps.load_balancer.records import (
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
    in_rotation,
    in_switch,
)
from tenantry.controller.feature.routes import Route, Running
from tenantry.controller.model import View


def load_balancers(running: Running) -> list[dict[str, Any]]:
    """The load balancers that who asks sees, by name, with their listeners, pools and members."""
    view = running.view
    found = [view.get(LoadBalancer, id) for id in view.ids(LoadBalancer)]
    seen = [each for each in found if each is not None and running.sees(each.KIND, each.id)]
    return [_balancer(view, each) for each in sorted(seen, key=lambda each: (each.name, each.id))]


def _balancer(view: View, balancer: LoadBalancer) -> dict[str, Any]:
    listeners = view.find(Listener, load_balancer_id=balancer.id)
    pools = view.find(Pool, load_balancer_id=balancer.id)
    return {
        "id": balancer.id,
        "name": balancer.name,
        "project_id": balancer.project_id,
        "vips": [_address(vip.version, vip.address) for vip in balancer.vips],
        "operating_status": operating_status.of_load_balancer(view, balancer),
        "listeners": [_listener(view, each) for each in sorted(listeners, key=lambda x: x.port)],
        "pools": [_pool(view, each) for each in sorted(pools, key=lambda pool: pool.key)],
    }


def _listener(view: View, listener: Listener) -> dict[str, Any]:
    return {
        "id": listener.id,
        "protocol": listener.protocol,
        "port": listener.port,
        "pool_id": listener.default_pool_id or None,
        "by": "switch" if in_switch(view, listener.id) else "proxy",
        "operating_status": operating_status.of_listener(view, listener),
    }


def _pool(view: View, pool: Pool) -> dict[str, Any]:
    members = sorted(view.find(Member, pool_id=pool.id), key=lambda member: member.slot)
    rotating = {member.id for member in in_rotation(view, pool.id)}
    return {
        "id": pool.id,
        "protocol": pool.protocol,
        "lb_algorithm": pool.lb_algorithm,
        "operating_status": operating_status.of_pool(view, pool),
        "members": [_member(view, each, each.id in rotating) for each in members],
    }


def _member(view: View, member: Member, rotating: bool) -> dict[str, Any]:
    health = view.get(MemberHealth, member.id)
    return {
        "id": member.id,
        "name": member.name,
        "address": _address(member.version, member.address),
        "port": member.port,
        "weight": member.weight,
        "backup": member.backup,
        "in_rotation": rotating,
        "operating_status": operating_status.of_member(view, member),
        "reason": health.reason if health is not None else "",
    }


def _address(version: int, address: int) -> str:
    return str(netaddr.IPAddress(address, version))


ROUTES = (Route("load-balancers", load_balancers),)
