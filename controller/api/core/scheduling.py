# SPDX-License-Identifier: Apache-2.0

"""Which host does what: Neutron's ``l3_agent_scheduler`` and ``availability_zones``.

Where a router has its gateways is a pure function of the model, and what somebody has assigned by
hand is part of that: it is kept in the router's body, as ``gateway_hosts`` and ``gateway_not_on``,
which the API does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neutron_lib import exceptions
from neutron_lib.api.definitions import availability_zone
from neutron_lib.constants import AGENT_TYPE_L3
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller import runtime
from tenantry.controller.api.core.agent import AGENT, agent_of
from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.query import Query
from tenantry.controller.api.resource import Computed
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import SYSTEM, Reader
from tenantry.controller.model import Model, Switch, View
from tenantry.controller.network.records import HeldDown
from tenantry.controller.network.routers import (
    MOST_GATEWAYS,
    gateways,
    may_be_gateway,
    switches_at,
)
from tenantry.controller.store import Body, Draft, Store

_ZONES = availability_zone.COLLECTION_NAME
_ZONE_ATTRIBUTES = availability_zone.RESOURCE_ATTRIBUTE_MAP[_ZONES]


PREFERRED, EXCLUDED = "gateway_hosts", "gateway_not_on"
"""Of a router: the hosts where somebody has put it, the first choice first; those that somebody has
taken it off. A router that was never assigned lacks them."""


class InvalidL3Agent(exceptions.NotFound):
    message = "Agent %(id)s is not a L3 Agent or has been disabled"


class RouterSchedulingFailed(exceptions.Conflict):
    message = (
        "Failed scheduling router %(router_id)s to the L3 Agent %(agent_id)s: host %(host)s does "
        "not reach external network %(network_id)s (tenantry-bridge-mappings of the host say which "
        "bridges lead to physical networks)."
    )


def routes(store: Store, model: Model, kinds: Kinds, computed: Computed) -> list[Route]:
    """What :func:`tenantry.controller.api.application.application` serves beside Neutron's
    resources. ``kinds`` and ``computed`` are those that it has: an agent is the same here and
    there."""
    return list(_Scheduling(store, model, kinds, computed).routes())


class _Scheduling:
    def __init__(self, store: Store, model: Model, kinds: Kinds, computed: Computed) -> None:
        self._store = store
        self._model = model
        self._kinds = kinds
        self._computed = computed

    def routes(self) -> Iterator[Route]:
        yield Route("GET", f"/v2.0/{_ZONES}", self.zones)
        if "router" in self._kinds:  # not without routing
            routers = f"{self._kinds[AGENT].path}/{{id}}/l3-routers"
            yield Route("GET", routers, self.routers_of)
            yield Route("POST", routers, self.add)
            yield Route("DELETE", routers + "/{router_id}", self.remove)
            agents = f"{self._kinds['router'].path}/{{id}}/l3-agents"
            yield Route("GET", agents, self.agents_of)

    def routers_of(self, request: Request, context: Context, id: str) -> Answer:
        self._kinds.policy.check_any(context, "get_l3-routers")
        self._store.catch_up()
        agent = self._find(self._store, AGENT, id)
        return 200, {"routers": list(self._l3_routers(agent))}

    def agents_of(self, request: Request, context: Context, id: str) -> Answer:
        self._kinds.policy.check_any(context, "get_l3-agents")
        self._store.catch_up()
        router = self._find(self._store, "router", id)
        return 200, {"agents": list(self._l3_agents(router))}

    def add(self, request: Request, context: Context, id: str) -> Answer:
        """The router's gateway is on this host from now on, before all others."""
        self._kinds.policy.check_any(context, "create_l3-router")
        payload = read_json(request)
        router_id = payload.get("router_id") if isinstance(payload, dict) else None
        if not isinstance(router_id, str):
            raise HTTPBadRequest('the request must be of the form {"router_id": ID}')

        def change(draft: Draft) -> None:
            agent = self._l3_agent(draft, id)
            router = self._find(draft, "router", router_id)
            self._check_reaches(agent, router)
            host = agent["host"]
            self._assign(draft, context, router, host, prefer=[host], exclude=[])

        self._store.write(change, context.actor)
        return 201, {}  # the client reads JSON

    def remove(self, request: Request, context: Context, id: str, router_id: str) -> Answer:
        """The router has no gateway on this host any more."""
        self._kinds.policy.check_any(context, "delete_l3-router")

        def change(draft: Draft) -> None:
            host = self._l3_agent(draft, id)["host"]
            router = self._find(draft, "router", router_id)
            self._assign(draft, context, router, host, prefer=[], exclude=[host])

        self._store.write(change, context.actor)
        return 204, None

    def _assign(
        self,
        draft: Draft,
        context: Context,
        router: Body,
        host: str,
        *,
        prefer: list[str],
        exclude: list[str],
    ) -> None:
        preferred = [other for other in router.get(PREFERRED, ()) if other != host]
        most = MOST_GATEWAYS if router.get("ha", True) else 1
        excluded = [other for other in router.get(EXCLUDED, ()) if other != host]
        assigned = {PREFERRED: [*prefer, *preferred][:most], EXCLUDED: [*excluded, *exclude]}
        self._kinds["router"].update(draft, context, router, assigned)

    def _l3_agent(self, reader: Reader, id: str) -> Body:
        agent = self._find(reader, AGENT, id)
        if agent["agent_type"] != AGENT_TYPE_L3:
            raise InvalidL3Agent(id=id)
        return agent

    def _check_reaches(self, agent: Body, router: Body) -> None:
        """A router is not put where it could not be."""
        view, outside = View(self._model), router["external_gateway_info"]
        if not may_be_gateway(view, agent["host"]) or not agent["admin_state_up"]:
            raise InvalidL3Agent(id=agent["id"])
        if outside and self._switches(view, agent).isdisjoint(
            switches_at(view, outside["network_id"])
        ):
            raise RouterSchedulingFailed(
                router_id=router["id"],
                agent_id=agent["id"],
                host=agent["host"],
                network_id=outside["network_id"],
            )

    def _find(self, reader: Reader, kind: str, id: str) -> Body:
        body = reader.get(kind, id)
        if body is None:
            raise self._kinds[kind].not_found(id)
        return body

    # --- who does what -----------------------------------------------------------------------

    def _l3_agents(self, router: Body) -> Iterator[Body]:
        """The hosts that can be a router's gateway, the first choice first: the active one is the
        first that is alive and does not rest, the others stand by. Last are those where somebody
        has put it, and it cannot be for now: it has no gateway, or they do not reach it."""
        view = View(self._model)
        several = gateways(view, router["id"])
        resting = set(self._hosts(s for s in several if view.get(HeldDown, s)))
        active = None
        for host in dict.fromkeys((*self._hosts(several), *router.get(PREFERRED, ()))):
            body = agent_of(self._store, host, AGENT_TYPE_L3)
            if body is None:
                continue
            agent = self._shown(AGENT, body)
            if active is None and agent["alive"] and host not in resting:
                active = agent
            state = "active" if agent is active else "standby"
            yield {**agent, "ha_state": state if router.get("ha", True) else None}

    def _l3_routers(self, agent: Body) -> Iterator[Body]:
        """The routers that can have their gateway at a host, or that somebody has put there."""
        view = View(self._model)
        switches = self._switches(view, agent) if agent["agent_type"] == AGENT_TYPE_L3 else set()
        host = agent["host"] if switches else None
        # A snapshot: others may write while this one lets them work.
        for router in runtime.paced([*self._store.read("router").values()]):
            if host in router.get(PREFERRED, ()) or not switches.isdisjoint(
                gateways(view, router["id"])
            ):
                yield self._shown("router", router)

    def zones(self, request: Request, context: Context) -> Answer:
        """The zones of hosts, each for networks and for routers, as everybody may know. A zone is
        available if one of its hosts is alive; for routers, one that may have gateways."""
        view = View(self._model)
        query = Query(request, _ZONE_ATTRIBUTES)
        self._store.catch_up()
        available: dict[tuple[str, str], bool] = {}
        for body in self._store.read(AGENT).values():
            zone, alive = body["availability_zone"], self._shown(AGENT, body)["alive"]
            usable = {"network": alive, "router": alive and may_be_gateway(view, body["host"])}
            for resource, here in usable.items() if zone else ():
                available[zone, resource] = here or available.get((zone, resource), False)
        zones = [
            {"name": name, "resource": resource, "state": _STATE[here]}
            for (name, resource), here in sorted(available.items())
        ]
        found = (z for z in zones if all(test(z[name]) for name, test in query.filters))
        return 200, {
            _ZONES: [{n: z[n] for n in z if not query.fields or n in query.fields} for z in found]
        }

    def _hosts(self, switches: Iterable[int]) -> list[str]:
        """The hosts that these switches are on, each once, in their order."""
        found = (self._model.get(Switch, switch) for switch in switches)
        return list(dict.fromkeys(switch.host for switch in found if switch is not None))

    @staticmethod
    def _switches(view: View, agent: Body) -> frozenset[int]:
        return view.ids(Switch, host=agent["host"])

    def _shown(self, kind: str, body: Body) -> Body:
        return {**self._kinds[kind].shown(self._store, SYSTEM, body), **self._computed(kind, body)}


_STATE = {True: "available", False: "unavailable"}
