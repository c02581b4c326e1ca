# SPDX-License-Identifier: Apache-2.0

"""``network-ip-availability``: how many addresses each network has, and how many are taken.

Used are all that somebody owns, also outside the allocation pools; so there may be more of them
than there are in total, as in Neutron.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from neutron_lib import exceptions
from neutron_lib.api.definitions import network_ip_availability as definition
from webob import Request

from tenantry.controller import runtime
from tenantry.controller.api.query import Query, Test
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Store

_COLLECTION = definition.RESOURCE_PLURAL
_ATTRIBUTES = MappingProxyType(
    {
        **definition.RESOURCE_ATTRIBUTE_MAP[_COLLECTION],
        "project_id": definition.RESOURCE_ATTRIBUTE_MAP[_COLLECTION]["tenant_id"],
    }
)
_VISIBLE = [name for name, spec in _ATTRIBUTES.items() if spec["is_visible"]]


class Availability:
    """The two read-only requests. A project sees its own networks, an admin all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> Iterator[Route]:
        path = f"/v2.0/{definition.COLLECTION_NAME}"
        yield Route("GET", path, self.index)
        yield Route("GET", path + "/{id}", self.show)

    def index(self, request: Request, context: Context) -> Answer:
        query = Query(request, _ATTRIBUTES)
        of_version = [test for name, test in query.filters if name == "ip_version"]
        filters = [(name, test) for name, test in query.filters if name != "ip_version"]
        self._store.catch_up()
        items = []
        for network in runtime.paced([*self._store.read("network").values()]):
            if context.owns(network):
                item = self._count(network, of_version)
                if all(test(item[name]) for name, test in filters) and (
                    item["subnet_ip_availability"] or not of_version
                ):
                    items.append(item)
        return 200, query.answer(_COLLECTION, items, lambda item: _output(item, query.fields))

    def show(self, request: Request, context: Context, id: str) -> Answer:
        self._store.catch_up()
        network = self._store.get("network", id)
        if network is None or not context.owns(network):
            raise exceptions.NetworkNotFound(net_id=id)
        fields = [name for name in request.GET.getall("fields") if name]
        return 200, {definition.RESOURCE_NAME: _output(self._count(network, []), fields)}

    def _count(self, network: Body, of_version: list[Test]) -> Body:
        """A network's numbers, of those subnets whose IP version passes."""
        ids = self._store.linked(network["id"], "subnet")
        found = (self._store.get("subnet", id) for id in ids)
        subnets = [
            {
                "subnet_id": subnet["id"],
                "subnet_name": subnet["name"],
                "cidr": subnet["cidr"],
                "ip_version": subnet["ip_version"],
                "total_ips": ipam.pool_size(subnet["allocation_pools"]),
                "used_ips": len(self._store.claimed(ipam.ADDRESS, subnet["id"])),
            }
            for subnet in found
            if subnet and all(test(subnet["ip_version"]) for test in of_version)
        ]
        return {
            "id": network["id"],  # pages go by it; it is not shown
            "network_id": network["id"],
            "network_name": network["name"],
            "project_id": network["project_id"],
            "tenant_id": network["project_id"],
            "total_ips": sum(subnet["total_ips"] for subnet in subnets),
            "used_ips": sum(subnet["used_ips"] for subnet in subnets),
            "subnet_ip_availability": subnets,
        }


def _output(item: Body, fields: list[str]) -> Body:
    return {name: item[name] for name in _VISIBLE if not fields or name in fields}


def extension() -> Extension:
    """What ``/v2.0/extensions`` lists of this module; it has no kind of resource."""
    return Extension(definitions=(definition,))
