# SPDX-License-Identifier: Apache-2.0

"""Subnet pools: their prefixes, their limits, and which address scope they are in.

What comes out of them is in ``prefixes.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

import netaddr
from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.definitions import (
    default_subnetpools,
    subnet_onboard,
    subnetpool,
    subnetpool_prefix_ops,
)
from neutron_lib.constants import ATTR_NOT_SPECIFIED, SUBNET_ALLOCATION_EXT_ALIAS
from webob.exc import HTTPBadRequest

from tenantry.controller.api.core.address_scope import POOL, scope_of
from tenantry.controller.api.core.prefixes import (
    ALLOCATION,
    allocated,
    check_quota,
    check_same_pool,
)
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    RBAC_POLICY,
    TAGGED,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    granted,
    is_set,
    may_use,
)
from tenantry.controller.network import ipam
from tenantry.controller.packets.addresses import BITS
from tenantry.controller.store import Body, Claim, Draft, Link

_LENGTHS = ("min_prefixlen", "default_prefixlen", "max_prefixlen")

_DEFAULT_MIN = {4: 8, 6: 64}

_SUBNET_ALLOCATION = NewDefinition(
    SUBNET_ALLOCATION_EXT_ALIAS,
    "Subnet Allocation",
    "Enables allocation of subnets from a subnet pool",
    "2015-03-30T10:00:00-00:00",
)


class SubnetPoolHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        for name in ("default_quota", "address_scope_id"):
            if not is_set(body[name]):
                body[name] = None
        _settle_prefixes(body)
        _settle_lengths(body)
        _check_scope(draft, context, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["prefixes"] != before["prefixes"]:
            _settle_prefixes(body)
            if not netaddr.IPSet(before["prefixes"]).issubset(netaddr.IPSet(body["prefixes"])):
                raise exceptions.IllegalSubnetPoolPrefixUpdate(
                    msg="Existing prefixes must be a subset of the new prefixes"
                )
        _settle_lengths(body)
        self._check_update(draft, context, before, body)

    def _check_update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        scope_id = before["address_scope_id"]
        scope = draft.get("address_scope", scope_id) if scope_id else None
        if scope and not context.owns(scope):
            raise exceptions.IllegalSubnetPoolUpdate(
                reason=f"subnetpool {body['id']} cannot be updated when associated with shared "
                f"address scope {scope_id}"
            )
        if body["address_scope_id"] != scope_id:
            _check_affinity(draft, body)
        _check_scope(draft, context, body)

    def add_prefixes(self, draft: Draft, context: Context, body: Body, request: Body) -> Body:
        """The action of that name: also what is there already may be added."""
        return self._put(draft, context, body, [*body["prefixes"], *_requested(request)])

    def remove_prefixes(self, draft: Draft, context: Context, body: Body, request: Body) -> Body:
        """The action of that name. Refused if a subnet has any of it."""
        removed = netaddr.IPSet(_requested(request))
        used = netaddr.IPSet(str(net) for net in allocated(draft, body))
        if not removed.isdisjoint(used):
            raise exceptions.IllegalSubnetPoolPrefixUpdate(
                msg="prefixes of existing subnets cannot be removed"
            )
        left = netaddr.IPSet(body["prefixes"]) - removed
        return self._put(draft, context, body, [str(prefix) for prefix in left.iter_cidrs()])

    def onboard_network_subnets(
        self, draft: Draft, context: Context, body: Body, request: Body
    ) -> list[Body]:
        """The action of that name: all subnets of a network, of the pool's family, are out of the
        pool from now on, as if they had been from the start; their prefixes become the pool's."""
        network_id = request.get("network_id")
        network = draft.get("network", network_id) if isinstance(network_id, str) else None
        if network is None or not may_use(draft, context, network):
            if not isinstance(network_id, str):
                raise exceptions.InvalidInput(error_message="network_id must be specified.")
            raise exceptions.NetworkNotFound(net_id=network_id)
        if not context.owns(network):
            raise exceptions.NotAuthorized()
        found = (draft.get("subnet", id) for id in draft.linked(network["id"], "subnet"))
        subnets = [s for s in found if s and s["ip_version"] == body["ip_version"]]
        used = netaddr.IPSet(str(net) for net in allocated(draft, body))
        for subnet in subnets:
            if not used.isdisjoint(netaddr.IPSet([subnet["cidr"]])):
                raise exceptions.IllegalSubnetPoolUpdate(
                    reason=f"Onboarding subnet {subnet['id']}: {subnet['cidr']} conflicts with "
                    f"allocated prefixes in subnet pool {body['id']}"
                )
        self._put(draft, context, body, [*body["prefixes"], *(s["cidr"] for s in subnets)])
        for subnet in subnets:
            check_quota(
                draft, body, subnet["project_id"], ipam.parse_cidr(subnet["cidr"]).prefixlen
            )
            draft.put("subnet", changed(subnet, subnetpool_id=body["id"]))
        return [{"id": subnet["id"], "cidr": subnet["cidr"]} for subnet in subnets]

    def _put(self, draft: Draft, context: Context, before: Body, prefixes: list[str]) -> Body:
        body = {**before, "prefixes": prefixes}
        _settle_prefixes(body)
        if body != before:
            self._check_update(draft, context, before, body)
            draft.put("subnetpool", changed(before, prefixes=body["prefixes"]))
        return {"prefixes": body["prefixes"]}

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], ALLOCATION):
            raise exceptions.SubnetPoolDeleteError(reason="Subnet pool has existing allocations")

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["is_default"]:
            yield Claim(ipam.DEFAULT_POOL, "", str(body["ip_version"]))

    def links(self, body: Body) -> Iterable[Link]:
        if body["address_scope_id"]:
            yield Link(body["address_scope_id"], POOL)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        """Neutron's older clients were written for lengths in quotes."""
        shown.update({name: str(body[name]) for name in _LENGTHS})

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != ipam.DEFAULT_POOL:
            return None
        error: Exception = exceptions.InvalidInput(
            error_message="A default subnetpool for this IP family has already been set. Only one "
            "default may exist per IP family"
        )
        return error


class SharedPoolHooks(ResourceHooks):
    """Whom a pool is shared with has access to the address scope that its subnets will be in."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if body["object_type"] != "subnetpool":
            return
        pool = draft.get("subnetpool", body["object_id"])
        scope = draft.get("address_scope", pool["address_scope_id"] or "") if pool else None
        target = body["target_tenant"]
        if scope and scope["project_id"] != target and not granted(draft, target, scope["id"]):
            raise exceptions.InvalidInput(
                error_message=f"project {target} has no access to address scope {scope['id']} of "
                "this subnet pool: share that first"
            )

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self.create(draft, context, body)


def _requested(request: Body) -> list[str]:
    prefixes = request.get("prefixes")
    wrong = validators.validate_subnet_list(prefixes)
    if wrong or not isinstance(prefixes, list):
        raise HTTPBadRequest(f"Invalid input for prefixes. Reason: {wrong or prefixes}.")
    return prefixes


def _settle_prefixes(body: Body) -> None:
    """Prefixes that touch are merged, and what is in another goes."""
    if not body["prefixes"]:
        raise exceptions.EmptySubnetPoolPrefixList()
    versions = {ipam.parse_cidr(prefix).version for prefix in body["prefixes"]}
    if len(versions) > 1:
        raise exceptions.PrefixVersionMismatch()
    (body["ip_version"],) = versions
    body["prefixes"] = [str(prefix) for prefix in netaddr.cidr_merge(body["prefixes"])]


def _settle_lengths(body: Body) -> None:
    """Prefix lengths: what the family allows >= max >= default >= min."""
    bits = BITS[body["ip_version"]]
    if body["min_prefixlen"] is ATTR_NOT_SPECIFIED:
        body["min_prefixlen"] = _DEFAULT_MIN[body["ip_version"]]
    if body["max_prefixlen"] is ATTR_NOT_SPECIFIED:
        body["max_prefixlen"] = bits
    if body["default_prefixlen"] is ATTR_NOT_SPECIFIED:
        body["default_prefixlen"] = body["min_prefixlen"]
    for name, comparison, base in (
        ("min_prefixlen", "max_prefixlen", body["max_prefixlen"]),
        ("max_prefixlen", "ip_version_max", bits),
        ("default_prefixlen", "max_prefixlen", body["max_prefixlen"]),
    ):
        if body[name] > base:
            raise _illegal_bounds(name, body[name], comparison, base)
    if body["default_prefixlen"] < body["min_prefixlen"]:
        raise _illegal_bounds(
            "default_prefixlen", body["default_prefixlen"], "min_prefixlen", body["min_prefixlen"]
        )


def _illegal_bounds(name: str, length: int, base_name: str, base: int) -> Exception:
    error: Exception = exceptions.IllegalSubnetPoolPrefixBounds(
        prefix_type=name, prefixlen=length, base_prefix_type=base_name, base_prefixlen=base
    )
    return error


def _check_scope(draft: Draft, context: Context, body: Body) -> None:
    """Whether the pool may be in its scope: one of the caller's or shared, of the same family, and
    with no other pool that has any of the same addresses."""
    scope_id = body["address_scope_id"]
    if not scope_id:
        return
    scope = scope_of(draft, context, scope_id)
    if scope["ip_version"] != body["ip_version"]:
        raise exceptions.IllegalSubnetPoolIpVersionAssociationToAddressScope(
            subnetpool_id=body["id"], address_scope_id=scope_id, ip_version=scope["ip_version"]
        )
    prefixes = netaddr.IPSet(body["prefixes"])
    for id in draft.linked(scope_id, POOL):
        other = draft.get("subnetpool", id)
        if other and id != body["id"] and not prefixes.isdisjoint(netaddr.IPSet(other["prefixes"])):
            raise exceptions.AddressScopePrefixConflict()


def _check_affinity(draft: Draft, pool: Body) -> None:
    """A pool takes its subnets along into another scope, so no network of theirs may have a subnet
    of the same family that stays behind."""
    subnets = (draft.get("subnet", id) for id in draft.linked(pool["id"], ALLOCATION))
    for network_id in {subnet["network_id"] for subnet in subnets if subnet}:
        for id in draft.linked(network_id, "subnet"):
            check_same_pool(draft.get("subnet", id), pool["ip_version"], pool["id"])


def extension() -> Extension:
    """The kind ``subnetpool``, and what a new subnet may say of one."""
    rules = SubnetPoolHooks()
    return Extension(
        definitions=(
            subnetpool,
            subnetpool_prefix_ops,
            default_subnetpools,
            subnet_onboard,
            _SUBNET_ALLOCATION,
        ),
        kinds=(
            ResourceSpec(
                name="subnetpool",
                collection="subnetpools",
                attributes=subnetpool.RESOURCE_ATTRIBUTE_MAP["subnetpools"],
                not_found=lambda id: exceptions.SubnetPoolNotFound(subnetpool_id=id),
                standard=TAGGED,
                actions={
                    "add_prefixes": rules.add_prefixes,
                    "remove_prefixes": rules.remove_prefixes,
                    subnet_onboard.ONBOARD_SUBNETS: rules.onboard_network_subnets,
                },
            ),
        ),
        rules={"subnetpool": rules, RBAC_POLICY: SharedPoolHooks()},
    )
