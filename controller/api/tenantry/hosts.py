# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/hosts``: the hosts that have joined, what their tunnels say of each other, and how
one is removed, or taken over."""

from __future__ import annotations

import logging
from typing import Any

from webob import Request
from webob.exc import HTTPConflict, HTTPNotFound

from tenantry.controller.api.core import agent
from tenantry.controller.api.policy import Policy
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.log import EACH, printable
from tenantry.controller.model import Agent, Binding, Health, Switch, View
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.records import HeldDown
from tenantry.controller.network.routers import may_be_gateway
from tenantry.controller.switch.hosts import Hosts
from tenantry.controller.switch.ovsdb_replica import OvsdbError

LOG = logging.getLogger(__name__)


def routes(running: Running, hosts: Hosts, policy: Policy) -> list[Route]:
    """A list, and a way to take one out of it."""

    def index(request: Request, context: Context) -> Answer:
        policy.check_any(context, "get_tenantry_hosts")
        return 200, listed(running)

    def remove(request: Request, context: Context, host: str) -> Answer:
        policy.check_any(context, "delete_tenantry_host")
        view = View(running.model)
        if not view.find(Agent, host=host):
            raise HTTPNotFound(f"there is no host {host}; `tenantry host list` shows all")
        bound = [
            b.id for switch in switches_of(view, host) for b in view.find(Binding, switch=switch)
        ]
        if bound and not request.GET.get("force"):
            raise HTTPConflict(
                f"host {host} has {len(bound)} ports, {bound[0]} for one; unplug them or move them "
                "to other hosts first, or use --force"
            )
        try:
            told = hosts.remove(host)
        except OvsdbError as error:
            if not request.GET.get("force"):
                raise HTTPConflict(f"host {host}: {error}; try again, or use --force") from error
            told = False
        agent.forget(running.store, host, context.actor)
        return 200, {"host": host, "tidied": told}

    def adopt(request: Request, context: Context, host: str) -> Answer:
        policy.check_any(context, "adopt_tenantry_host")
        database = hosts.of(host)
        if database is None:
            raise HTTPNotFound(
                f"host {host} is not here: run `tenantry host invite {host}`, and what that prints"
            )
        refusal = database.refusal
        try:
            if refusal:
                database.adopt()
        except OvsdbError as error:
            raise HTTPConflict(f"host {host}: {error}; try again") from error
        if refusal:
            LOG.info("%s: takes host %s over", context.actor, printable(host), extra=EACH)
        return 200, {"host": host, "adopted": bool(refusal)}

    return [
        Route("GET", "/tenantry/v1/hosts", index),
        Route("DELETE", "/tenantry/v1/hosts/{host}", remove),
        Route("POST", "/tenantry/v1/hosts/{host}/adopt", adopt),
    ]


def listed(running: Running) -> list[dict[str, Any]]:
    """Every host that has joined: where it is, whether it is there (one of its switches is
    connected), whether it may be a gateway, and what its tunnels say of others."""
    view = View(running.model)
    agents = sorted(view.find(Agent, l3=False), key=lambda agent: agent.host)
    names = {agent.tunnel: agent.host for agent in agents if agent.tunnel}
    found = []
    for record in agents:
        switches = switches_of(view, record.host)
        healths = [h for h in running.model.all(Health).values() if h.switch in switches]
        found.append(
            {
                "name": record.host,
                "alive": any(switch in running.progress.connections for switch in switches),
                "tunnel_address": address_text(*record.tunnel) if record.tunnel else None,
                "availability_zone": record.availability_zone,
                "gateway": may_be_gateway(view, record.host)
                and not any(view.get(HeldDown, s) for s in switches),
                "switches": [
                    s.name for s in map(view.get, [Switch] * len(switches), switches) if s
                ],
                "ports": sum(len(view.ids(Binding, switch=switch)) for switch in switches),
                "tunnels": [
                    {
                        "peer": names.get(health.peer) or address_text(*health.peer),
                        "state": "up" if health.forwarding else "resting" if health.up else "down",
                    }
                    for health in sorted(healths, key=lambda h: h.peer)
                ],
            }
        )
    return found


def switches_of(view: View, host: str) -> list[int]:
    """The switches on a host, by datapath id."""
    return sorted(view.ids(Switch, host=host))
