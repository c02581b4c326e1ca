# SPDX-License-Identifier: Apache-2.0

"""``auto-allocated-topology``: a network that leads outside, for a project that asks for no more.

It is made when it is first asked for: a network, a subnet of it out of each default subnet pool,
and a router to the default external network. All of it is there, or nothing; and it is the
project's, which may change it and delete it like what it has made itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import auto_allocated_topology as definition

from tenantry.apps.routing.external import DEFAULT
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ApiRoute,
    Maker,
    Reader,
    ResourceHooks,
    ResourceSpec,
    claimant,
    may_use,
)
from tenantry.controller.network.ipam import default_pool
from tenantry.controller.store import Body, Claim, Draft, Store

DEFINITION = definition
TOPOLOGY = definition.RESOURCE_NAME
CHECK = "dry-run"
"""The field that asks whether it could be made."""


class AutoAllocationFailure(exceptions.Conflict):
    message = "Deployment error: %(reason)s."


class TopologyHooks(ResourceHooks):
    """What was made for a project is known by a resource that nobody sees. It needs neither the
    network nor the router: both may be deleted like any other."""

    def claims(self, body: Body) -> Iterable[Claim]:
        yield _of_project(body["project_id"])

    # --- what is answered ----------------------------------------------------------------------

    def get(
        self, store: Store, context: Context, said: Mapping[str, list[str]], project_id: str
    ) -> tuple[int, Any]:
        fields = said.get("fields", [])
        if CHECK in fields:
            _external(store)
            _pools(store, context)
            return 200, _answer("dry-run=pass", project_id)
        if fields:
            raise exceptions.BadRequest(resource="auto_allocate", msg="Unrecognized field")
        found = _found(store, project_id)
        if found is None:
            found = store.write(lambda draft: self._make(draft, context, project_id), context.actor)
        return 200, _answer(found["network_id"], project_id)

    def delete_all(
        self, store: Store, context: Context, said: Body, project_id: str
    ) -> tuple[int, Any]:
        def change(draft: Draft) -> None:
            topology = claimant(draft, TOPOLOGY, _of_project(project_id))
            if topology is not None:
                self._take_down(draft, context, topology)

        store.write(change, context.actor)
        return 204, None

    # --- what is done --------------------------------------------------------------------------

    def _make(self, draft: Draft, context: Context, project: str) -> Body:
        found = _found(draft, project)
        if found is not None:
            return found  # somebody was faster
        external, pools = _external(draft), _pools(draft, context)
        of = {"tenant_id": project, "project_id": project}
        try:
            network = self.kinds["network"].make(
                draft, context, {**of, "name": "auto_allocated_network"}
            )
            subnets = [
                self.kinds["subnet"].make(draft, context, {**of, **_subnet(network, pool)})
                for pool in pools
            ]
            outside = {"external_gateway_info": {"network_id": external}}
            routers, name = self.kinds["router"], "auto_allocated_router"
            router = routers.make(draft, context, {**of, **outside, "name": name})
            for subnet in subnets:
                routers.actions["add_router_interface"](
                    draft, context, router, {"subnet_id": subnet["id"]}
                )
        except (exceptions.BadRequest, exceptions.NotFound, exceptions.SubnetAllocationError) as e:
            raise AutoAllocationFailure(reason=f"Unable to provide a network: {e}") from e
        body = {"id": f"{TOPOLOGY}-{project}", "project_id": project, "revision_number": 1}
        topology: Body = {**body, "network_id": network["id"], "router_id": router["id"]}
        draft.put(TOPOLOGY, topology)
        return topology

    def _take_down(self, draft: Draft, context: Context, topology: Body) -> None:
        routers, networks = self.kinds["router"], self.kinds["network"]
        router = draft.get("router", topology["router_id"])
        network = draft.get("network", topology["network_id"])
        if router is not None and network is not None:
            for id in self._connected(draft, router, network):
                asked = {"subnet_id": id}
                routers.actions["remove_router_interface"](draft, context, router, asked)
        if router is not None:
            _delete(routers, draft, context, router)
        if network is not None:
            _delete(networks, draft, context, network)
        draft.delete(TOPOLOGY, topology["id"])

    @staticmethod
    def _connected(draft: Draft, router: Body, network: Body) -> list[str]:
        """The subnets of the network to which the router leads."""
        found = (draft.get("port", id) for id in draft.linked(network["id"], "port"))
        ports = [port for port in found if port and port["device_id"] == router["id"]]
        return [ip["subnet_id"] for port in ports for ip in port["fixed_ips"]]


def _delete(kind: Maker, draft: Draft, context: Context, body: Body) -> None:
    current = draft.get(kind.name, body["id"])
    if current is not None:
        kind.delete(draft, context, current)


def _of_project(project_id: str) -> Claim:
    return Claim(TOPOLOGY, "", project_id)


def _found(reader: Reader, project: str) -> Body | None:
    """What was made for a project, if its network is still there."""
    topology = claimant(reader, TOPOLOGY, _of_project(project))
    if topology is None or reader.get("network", topology["network_id"]) is None:
        return None
    return topology


def _external(reader: Reader) -> str:
    id = reader.owner(DEFAULT)
    if id is None:
        raise AutoAllocationFailure(
            reason="No default router:external network: an admin sets is_default on one"
        )
    return id


def _pools(reader: Reader, context: Context) -> list[Body]:
    """The default subnet pools, of IPv4 and of IPv6."""
    found = (default_pool(reader, version) for version in (4, 6))
    pools = [pool for pool in found if pool is not None and may_use(reader, context, pool)]
    if not pools:
        raise AutoAllocationFailure(
            reason="No default subnetpools defined: an admin sets is_default on one that is shared"
        )
    return pools


def _subnet(network: Body, pool: Body) -> Body:
    version = pool["ip_version"]
    return {
        "name": f"auto_allocated_subnet_v{version}",
        "network_id": network["id"],
        "ip_version": version,
        "subnetpool_id": pool["id"],
    }


def _answer(id: str, project: str) -> Body:
    return {TOPOLOGY: {"id": id, "tenant_id": project, "project_id": project}}


def routes(hooks: TopologyHooks) -> tuple[ApiRoute, ...]:
    path = "auto-allocated-topology/{project_id}"
    return (
        ApiRoute("GET", path, f"get_{TOPOLOGY}", hooks.get),
        ApiRoute("DELETE", path, f"delete_{TOPOLOGY}", hooks.delete_all),
    )


KIND = ResourceSpec(
    name=TOPOLOGY,
    collection=definition.COLLECTION_NAME,
    attributes={"tenant_id": {"allow_post": False, "allow_put": False}},
    not_found=lambda id: exceptions.NotFound(),
    internal=True,
)
