# SPDX-License-Identifier: Apache-2.0

"""Which host does what: Neutron's ``l3_agent_scheduler``, ``dhcp_agent_scheduler`` and
``availability_zones``, answered out of the model.

All of it can be read, and none of it written: where a router has its gateways, and who answers
DHCP, is a pure function of the model. Who tries to assign by hand is told what it follows from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from neutron_lib import exceptions
from neutron_lib.api.definitions import availability_zone
from webob import Request

from tenantry.controller import runtime
from tenantry.controller.api.core.agent import AGENT, of_host
from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.query import Query
from tenantry.controller.api.resource import Computed
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import SYSTEM
from tenantry.controller.model import Binding, Model, Switch, View, networks_with_ports
from tenantry.controller.network.records import HeldDown
from tenantry.controller.network.routers import gateways
from tenantry.controller.store import Body, Store

Related: TypeAlias = Callable[[Body], Iterable[Body]]
"""What belongs to a resource, as it is shown."""

Find: TypeAlias = Callable[[Context, str], Body]
"""The resource of an id, if the caller may ask for what belongs to it."""

_ZONES = availability_zone.COLLECTION_NAME
_ZONE_ATTRIBUTES = availability_zone.RESOURCE_ATTRIBUTE_MAP[_ZONES]


class RouterSchedulingFailed(exceptions.Conflict):
    message = (
        "Routers are not assigned to agents by hand: a router is on every host that needs it, and "
        "its gateways are chosen by availability zone, gateway_priority and load. To influence "
        "that, name zones (openstack router create --availability-zone-hint ZONE), let a host "
        "have no gateways (openstack network agent set --disable AGENT), or prefer one (on the "
        "host: ovs-vsctl set Open_vSwitch . external_ids:tenantry-gateway-priority=10)."
    )


class NetworkSchedulingFailed(exceptions.Conflict):
    message = (
        "Networks are not assigned to agents by hand: every host answers DHCP itself, for the "
        "ports that are plugged in there. To have no DHCP on a subnet, say so: openstack subnet "
        "set --no-dhcp SUBNET."
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
        dhcp = NetworkSchedulingFailed
        yield from self._relation("network", "dhcp-agents", self._dhcp_agents, dhcp)
        yield from self._relation(AGENT, "dhcp-networks", self._dhcp_networks, dhcp)
        if "router" in self._kinds:  # not without routing
            l3 = RouterSchedulingFailed
            yield from self._relation("router", "l3-agents", self._l3_agents, l3)
            yield from self._relation(AGENT, "l3-routers", self._l3_routers, l3)

    def _relation(
        self, kind: str, name: str, related: Related, refusal: type[Exception]
    ) -> Iterator[Route]:
        """The routes of what belongs to a resource: ``/v2.0/COLLECTION/ID/NAME``."""
        path = f"{self._kinds[kind].path}/{{id}}/{name}"
        find = partial(self._find, f"get_{name}", kind)
        refuse = partial(self._refuse, find, refusal)
        yield Route("GET", path, partial(self._index, find, name.partition("-")[2], related))
        yield Route("POST", path, refuse)
        yield Route("PUT", path + "/{other}", refuse)
        yield Route("DELETE", path + "/{other}", refuse)

    def _index(
        self,
        find: Find,
        collection: str,
        related: Related,
        request: Request,
        context: Context,
        id: str,
    ) -> Answer:
        return 200, {collection: list(related(find(context, id)))}

    def _refuse(
        self,
        find: Find,
        refusal: type[Exception],
        request: Request,
        context: Context,
        id: str,
        other: str = "",
    ) -> Answer:
        find(context, id)
        raise refusal()

    def _find(self, rule: str, kind: str, context: Context, id: str) -> Body:
        self._kinds.policy.check_any(context, rule)
        self._store.catch_up()
        body = self._store.get(kind, id)
        if body is None:
            raise self._kinds[kind].not_found(id)
        return body

    # --- who does what -----------------------------------------------------------------------

    def _l3_agents(self, router: Body) -> Iterator[Body]:
        """The hosts that can be a router's gateway, the first choice first: the active one is the
        first that is alive and does not rest, the others stand by."""
        view = View(self._model)
        several = gateways(view, router["id"])
        resting = [
            agent["id"] for agent in self._agents(s for s in several if view.get(HeldDown, s))
        ]
        active = None
        for agent in self._agents(several):
            if active is None and agent["alive"] and agent["id"] not in resting:
                active = agent
            yield {**agent, "ha_state": "active" if agent is active else "standby"}

    def _l3_routers(self, agent: Body) -> Iterator[Body]:
        """The routers that can have their gateway at a host."""
        view = View(self._model)
        switches = self._switches(view, agent)
        # A snapshot: others may write while this one lets them work.
        for router in runtime.paced([*self._store.read("router").values()]):
            if not switches.isdisjoint(gateways(view, router["id"])):
                yield self._shown("router", router)

    def _dhcp_agents(self, network: Body) -> Iterator[Body]:
        """The hosts that have ports of a network: each answers DHCP itself."""
        view = View(self._model)
        return self._agents(sorted(view.distinct(Binding, "switch", network_id=network["id"])))

    def _dhcp_networks(self, agent: Body) -> Iterator[Body]:
        """The networks that have ports at a host."""
        view = View(self._model)
        parts = [networks_with_ports(view, switch) for switch in self._switches(view, agent)]
        for id in sorted(frozenset[str]().union(*parts)):
            network = self._store.get("network", id)
            if network is not None:
                yield self._shown("network", network)

    def zones(self, request: Request, context: Context) -> Answer:
        """The zones of agents, each for networks and for routers, as everybody may know. A zone is
        available if one of its hosts is alive; for routers, one that may have gateways."""
        query = Query(request, _ZONE_ATTRIBUTES)
        self._store.catch_up()
        available: dict[tuple[str, str], bool] = {}
        for body in self._store.read(AGENT).values():
            zone, alive = body["availability_zone"], self._shown(AGENT, body)["alive"]
            usable = {"network": alive, "router": alive and body["admin_state_up"]}
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

    def _agents(self, switches: Iterable[int]) -> Iterator[Body]:
        """The agents of the hosts that these switches are on, each once, in their order."""
        found = (self._model.get(Switch, switch) for switch in switches)
        for host in dict.fromkeys(switch.host for switch in found if switch is not None):
            id = self._store.owner(of_host(host))
            body = self._store.get(AGENT, id) if id is not None else None
            if body is not None:
                yield self._shown(AGENT, body)

    @staticmethod
    def _switches(view: View, agent: Body) -> frozenset[int]:
        return view.ids(Switch, host=agent["host"])

    def _shown(self, kind: str, body: Body) -> Body:
        return {**self._kinds[kind].shown(self._store, SYSTEM, body), **self._computed(kind, body)}


_STATE = {True: "available", False: "unavailable"}
