# SPDX-License-Identifier: Apache-2.0

"""Members of pools in the API: one by one, and all of a pool at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import netaddr
from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import SCTP, UDP
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    address,
    declared,
    flag,
    number,
    reference,
    text,
)
from tenantry.apps.load_balancer.resources.errors import NotFound
from tenantry.apps.load_balancer.resources.parents import POOL, find
from tenantry.apps.load_balancer.resources.pools import MEMBER, listener_ids
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.apps.load_balancer.resources.vips import LOAD_BALANCER, check_reachable, speak
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Reader,
    ResourceSpec,
    is_set,
    may_use,
)
from tenantry.controller.store import Body, Claim, Draft, Link

MAX_WEIGHT = 256

_PLACE, _SLOT = "load balancer member", "load balancer slot"
"""What a member claims in its pool: an address with a port, and a small number."""


class DuplicateMember(exceptions.Conflict):
    message = (
        "Another member on this pool is already using ip %(address)s on protocol_port %(port)s"
    )


class MemberTwice(exceptions.BadRequest):
    message = (
        "Member must be updated only once in the same request: %(address)s port %(port)s is there "
        "twice."
    )


class NoSuchSubnet(exceptions.BadRequest):
    message = "Subnet %(id)s not found."


class NoDirectMembers(exceptions.BadRequest):
    message = (
        "The member's port cannot be of vnic_type direct: leave request_sriov out. A switch that "
        "does not see a member's packets cannot balance them."
    )


_PORT = (1, 0xFFFF)

ATTRIBUTES = declared(
    {
        **COMMON,
        "name": text(""),
        "address": address(fixed=True),
        "protocol_port": number(*_PORT, fixed=True),
        "weight": number(0, MAX_WEIGHT, 1),
        "backup": flag(False),
        "subnet_id": reference(fixed=True),
        "monitor_address": address(None),
        "monitor_port": number(*_PORT, None),
        "request_sriov": flag(False, fixed=True, is_visible=False),
        "vnic_type": SHOWN,
    }
)


class MemberHooks(OctaviaHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if body["request_sriov"]:
            raise NoDirectMembers()
        pool = find(draft, POOL, body["pool_id"])
        balancer = find(draft, LOAD_BALANCER, pool["loadbalancer_id"])
        if listener_ids(draft, pool["id"]):
            check_reachable(balancer, pool["protocol"], [body["address"]])
        if pool["protocol"] not in (UDP, SCTP):
            speak(self.kinds["port"], draft, balancer, body["address"])
        _check_subnet(draft, context, body)
        free = (n for n in count() if draft.owner(_slot(body["pool_id"], n)) is None)
        body["slot"] = next(free)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["subnet_id"] != before["subnet_id"]:
            _check_subnet(draft, context, body)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(_PLACE, body["pool_id"], " ".join(map(str, _place(body))))
        yield _slot(body["pool_id"], body["slot"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != _PLACE:
            return None
        return DuplicateMember(address=body["address"], port=body["protocol_port"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["pool_id"], MEMBER)
        if body["subnet_id"]:
            yield Link(body["subnet_id"], MEMBER)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        shown["vnic_type"] = "normal"

    def replace(
        self, draft: Draft, context: Context, pool: Body, items: list[Body], additive: bool
    ) -> None:
        """Make the members of a pool these: who is there, at this address and port, becomes what is
        said; who is not is made; and all others go, unless it is only to add. Octavia's errors."""
        maker = self.kinds[MEMBER]
        asked = [(item, maker.parse_new(context, item)) for item in items]
        places = [_place(member) for _, member in asked]
        there = {_place(each): each for each in members_of(draft, pool["id"])}
        twice = next((place for place in there if places.count(place) > 1), None)
        if twice:
            raise MemberTwice(address=twice[0], port=twice[1])
        for place, member in there.items():
            if place not in places and not additive:
                maker.delete(draft, context, member)
        maker.check_quota(draft, pool["project_id"], sum(place not in there for place in places))
        for place, (item, parsed) in zip(places, asked, strict=True):
            if place in there:
                said = {
                    name: parsed[name] for name in _CHANGEABLE if name in item or name in _RESET
                }
                maker.update(draft, context, there[place], said)
            else:
                maker.make(draft, context, item, pool)


def _check_subnet(draft: Draft, context: Context, body: Body) -> None:
    if is_set(body["subnet_id"]):
        subnet = draft.get("subnet", body["subnet_id"])
        network = subnet and draft.get("network", subnet["network_id"])
        if network is None or not may_use(draft, context, network):
            raise NoSuchSubnet(id=body["subnet_id"])


def _slot(pool_id: str, number: int) -> Claim:
    return Claim(_SLOT, pool_id, str(number))


_RESET = frozenset({"admin_state_up", "weight", "backup", "monitor_address", "monitor_port"})
"""What is as it is unasked, in a list of all members that does not say otherwise: as in Octavia."""

_CHANGEABLE = ("name", "tags", "subnet_id", *sorted(_RESET))


def members_of(reader: Reader, pool_id: str) -> list[Body]:
    """The members of a pool, the oldest first."""
    found = (reader.get(MEMBER, id) for id in reader.linked(pool_id, MEMBER))
    return [member for member in found if member is not None]


def _place(member: Body) -> tuple[str, int]:
    """Address and port, however the address is written."""
    return str(netaddr.IPAddress(member["address"])), member["protocol_port"]


_HOOKS = MemberHooks()

SPEC = ResourceSpec(
    name=MEMBER,
    collection="members",
    attributes=ATTRIBUTES,
    not_found=lambda id: NotFound(resource="Member", id=id),
    keys=range(1, 1 << 20),
    parent=POOL,
    standard=STANDARD,
    service=OCTAVIA,
    batch=_HOOKS.replace,
)

RULES = {MEMBER: _HOOKS}
