# SPDX-License-Identifier: Apache-2.0

"""Which prefix a subnet gets out of a subnet pool: the pool's limits, its quota, what is free.

What a pool has given out is what its subnets say; nothing else is stored.
"""

from __future__ import annotations

from collections.abc import Iterable

import netaddr
from neutron_lib import exceptions
from neutron_lib.constants import IPV6_PD_POOL_ID

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import is_set, may_use
from tenantry.controller.network import ipam
from tenantry.controller.packets.addresses import BITS
from tenantry.controller.store import Body, Draft

ALLOCATION = "allocation"
"""The role in which a pool sees the subnets that are out of it."""

_QUOTA_UNIT = {4: 32, 6: 64}
"""A quota counts single IPv4 addresses, and IPv6 prefixes of this length."""


def check_same_pool(subnet: Body | None, ip_version: int, pool_id: str | None) -> None:
    """All subnets of one family on a network are out of the same pool, or none is."""
    if subnet and subnet["ip_version"] == ip_version and subnet["subnetpool_id"] != pool_id:
        raise exceptions.NetworkSubnetPoolAffinityError()


def pool_of(draft: Draft, context: Context, subnet: Body) -> Body | None:
    """The pool that a new subnet is to be out of; None if it has a cidr of its own."""
    id, use_default = subnet["subnetpool_id"], subnet["use_default_subnetpool"]
    if id == IPV6_PD_POOL_ID:
        raise _bad_request("prefix delegation is not supported; name a subnet pool or a cidr")
    if use_default and is_set(id):
        raise _bad_request("subnetpool_id and use_default_subnetpool cannot both be specified")
    if use_default:
        pool = ipam.default_pool(draft, subnet["ip_version"])
    elif is_set(id):
        pool = draft.get("subnetpool", id)
    else:
        return None
    if pool is None or not may_use(draft, context, pool):
        if use_default:
            raise _bad_request(f"No default subnetpool found for IPv{subnet['ip_version']}")
        raise exceptions.SubnetPoolNotFound(subnetpool_id=id)
    if pool["ip_version"] != subnet["ip_version"]:
        raise _bad_request(
            f"Cannot allocate IPv{subnet['ip_version']} subnet from "
            f"IPv{pool['ip_version']} subnet pool"
        )
    return pool


def allocate(draft: Draft, pool: Body, project_id: str, wanted: ipam.Net | int) -> ipam.Net:
    """A prefix out of ``pool``: the one that is ``wanted``, or the lowest free one of that length.
    Neutron's errors if the pool does not allow it, or does not have it."""
    length = wanted if isinstance(wanted, int) else wanted.prefixlen
    if length > pool["max_prefixlen"]:
        raise exceptions.MaxPrefixSubnetAllocationError(
            prefixlen=length, max_prefixlen=pool["max_prefixlen"]
        )
    if length < pool["min_prefixlen"]:
        raise exceptions.MinPrefixSubnetAllocationError(
            prefixlen=length, min_prefixlen=pool["min_prefixlen"]
        )
    check_quota(draft, pool, project_id, length)
    taken = allocated(draft, pool)
    if isinstance(wanted, int):
        free = first_free([ipam.parse_cidr(text) for text in pool["prefixes"]], taken, length)
        if free is None:
            raise exceptions.SubnetAllocationError(
                reason=f"Insufficient prefix space to allocate subnet size /{length}"
            )
        return free
    inside = netaddr.IPSet([str(wanted)]).issubset(netaddr.IPSet(pool["prefixes"]))
    if not inside or any(wanted.overlaps(net) for net in taken):
        raise exceptions.SubnetAllocationError(
            reason="Cannot allocate requested subnet from the available set of prefixes"
        )
    return wanted


def first_free(
    prefixes: Iterable[ipam.Net], taken: Iterable[ipam.Net], length: int
) -> ipam.Net | None:
    """The lowest prefix of this length in ``prefixes`` that overlaps none of ``taken``, which do
    not overlap each other. Takes the time of sorting both, however large they are."""
    holes = sorted(map(_range, taken), reverse=True)  # the lowest is the last
    for net in sorted(prefixes, key=_range):
        size = 1 << (net.max_prefixlen - length)
        at, end = _range(net)
        while at + size <= end:
            while holes and holes[-1][1] <= at:
                holes.pop()
            if not holes or at + size <= holes[-1][0]:
                return type(net)((at, length))
            at = -(-holes[-1][1] // size) * size  # behind the hole, rounded up
    return None


def _range(net: ipam.Net) -> tuple[int, int]:
    """The first address, and the one behind the last."""
    first = int(net.network_address)
    return first, first + net.num_addresses


def allocated(draft: Draft, pool: Body, project_id: str | None = None) -> list[ipam.Net]:
    """The prefixes that subnets have out of the pool; those of one project, or of all."""
    subnets = (draft.get("subnet", id) for id in draft.linked(pool["id"], ALLOCATION))
    return [
        ipam.parse_cidr(subnet["cidr"])
        for subnet in subnets
        if subnet and project_id in (None, subnet["project_id"])
    ]


def check_quota(draft: Draft, pool: Body, project_id: str, length: int) -> None:
    """SubnetPoolQuotaExceeded, if a subnet of this length is too much for a project. Counted in
    addresses: an IPv6 subnet smaller than the unit counts for a part of it."""
    if not pool["default_quota"]:
        return
    bits, unit = BITS[pool["ip_version"]], _QUOTA_UNIT[pool["ip_version"]]
    used = sum(net.num_addresses for net in allocated(draft, pool, project_id))
    if used + (1 << (bits - length)) > pool["default_quota"] << (bits - unit):
        raise exceptions.SubnetPoolQuotaExceeded()


def _bad_request(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="subnets", msg=message)
    return error
