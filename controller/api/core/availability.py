# SPDX-License-Identifier: Apache-2.0

"""``network-ip-availability``: how many addresses each network has, and how many are taken.

Used are all that somebody owns, also outside the allocation pools; so there may be more of them
than there are in total, as in Neutron. The details tell those inside the pools from those outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from neutron_lib import exceptions
from neutron_lib.api.definitions import network_ip_availability as definition
from neutron_lib.api.definitions import network_ip_availability_details as details_definition
from webob import Request

from tenantry.controller import runtime
from tenantry.controller.api.policy import Policy
from tenantry.controller.api.query import Query, Test
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Store

_RULE = "get_network_ip_availability"
_COLLECTION = definition.RESOURCE_PLURAL
_ATTRIBUTES = MappingProxyType(
    {
        **definition.RESOURCE_ATTRIBUTE_MAP[_COLLECTION],
        **details_definition.RESOURCE_ATTRIBUTE_MAP[_COLLECTION],
        "project_id": definition.RESOURCE_ATTRIBUTE_MAP[_COLLECTION]["tenant_id"],
    }
)
_VISIBLE = [name for name, spec in _ATTRIBUTES.items() if spec["is_visible"]]
_DETAILS = details_definition.IP_AVAILABILITY_DETAILS

_NAMES = (
    *("total_ips_in_subnet", "total_ips_in_allocation_pool"),
    *("used_ips_in_subnet", "used_ips_in_allocation_pool"),
)
"""What the details count, of each subnet and of the whole network."""


class Availability:
    """The two read-only requests, of whose answer a caller sees what the policy lets them see."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy

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
            if self._policy.allows(context, _RULE, network.get):
                item = self._count(network, of_version)
                if all(test(item[name]) for name, test in filters) and (
                    item["subnet_ip_availability"] or not of_version
                ):
                    items.append(item)
        return 200, query.answer(_COLLECTION, items, lambda item: _output(item, query.fields))

    def show(self, request: Request, context: Context, id: str) -> Answer:
        self._store.catch_up()
        network = self._store.get("network", id)
        if network is None or not self._policy.allows(context, _RULE, network.get):
            raise exceptions.NetworkNotFound(net_id=id)
        fields = [name for name in request.GET.getall("fields") if name]
        return 200, {definition.RESOURCE_NAME: _output(self._count(network, []), fields)}

    def _count(self, network: Body, of_version: list[Test]) -> Body:
        """A network's numbers, of those subnets whose IP version passes."""
        ids = self._store.linked(network["id"], "subnet")
        found = (self._store.get("subnet", id) for id in ids)
        subnets = [
            self._count_subnet(subnet)
            for subnet in found
            if subnet and all(test(subnet["ip_version"]) for test in of_version)
        ]
        details = [subnet[_DETAILS] for subnet in subnets]
        return {
            "id": network["id"],  # pages go by it; it is not shown
            "network_id": network["id"],
            "network_name": network["name"],
            "project_id": network["project_id"],
            "tenant_id": network["project_id"],
            "total_ips": sum(subnet["total_ips"] for subnet in subnets),
            "used_ips": sum(subnet["used_ips"] for subnet in subnets),
            "subnet_ip_availability": subnets,
            _DETAILS: {name: sum(one[name] for one in details) for name in _NAMES},
        }

    def _count_subnet(self, subnet: Body) -> Body:
        used = self._store.claimed(ipam.ADDRESS, subnet["id"])
        total = ipam.pool_size(subnet["allocation_pools"])
        pooled = ipam.in_pools(subnet["allocation_pools"], used)
        whole = ipam.parse_cidr(subnet["cidr"])
        # The network's own and the broadcast address, of IPv4, as Neutron counts.
        no_hosts = 2 if whole.version == 4 and whole.prefixlen < whole.max_prefixlen - 1 else 0
        return {
            "subnet_id": subnet["id"],
            "subnet_name": subnet["name"],
            "cidr": subnet["cidr"],
            "ip_version": subnet["ip_version"],
            "total_ips": total,
            "used_ips": len(used),
            _DETAILS: dict(
                zip(_NAMES, (whole.num_addresses - no_hosts, total, len(used), pooled), strict=True)
            ),
        }


def _output(item: Body, fields: list[str]) -> Body:
    return {name: item[name] for name in _VISIBLE if not fields or name in fields}


def extension() -> Extension:
    """What ``/v2.0/extensions`` lists of this module; it has no kind of resource."""
    return Extension(definitions=(definition, details_definition))
