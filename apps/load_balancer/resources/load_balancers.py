# SPDX-License-Identifier: Apache-2.0

"""The API of load balancers themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenantry.apps.load_balancer.resources import graph, offers, vips
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    DESCRIPTION,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    Wrong,
    address,
    declared,
    ids,
    reference,
    spec,
    text,
    texts,
)
from tenantry.apps.load_balancer.resources.errors import (
    InvalidSubresource,
    NotFound,
    invalid,
    unsupported,
)
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.apps.load_balancer.resources.vips import LOAD_BALANCER
from tenantry.apps.load_balancer.statistics import stats
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Reader,
    ResourceSpec,
    Sight,
    changed,
    may_use,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.store import Body, Draft, Link

PARTS = ("listener", "pool")
"""What is part of a load balancer: kinds, and roles in which it sees them."""


class LoadBalancerHooks(OctaviaHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        networks = offers.choose(draft, body)
        _check_judges(draft, context, body)
        vips.take(self.kinds["port"], draft, context, body)
        offers.check_network(networks, body)
        body["failovers"] = 0
        body["graph"] = (context, body.pop("listeners"), body.pop("pools"))

    def created(self, draft: Draft, body: Body) -> None:
        context, listeners, pools = body.pop("graph")
        graph.make(self.kinds, draft, context, body, listeners, pools)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        judges = ("vip_sg_ids", "vip_qos_policy_id")
        if all(body[name] == before[name] for name in judges):
            return
        _check_judges(draft, context, body)
        if body["vip_sg_ids"] or body["vip_qos_policy_id"]:
            for id in draft.linked(body["id"], "listener"):
                listener = draft.get("listener", id)
                assert listener is not None
                check_judged(body, listener)
        vips.change(self.kinds["port"], draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if any(draft.linked(body["id"], role) for role in PARTS):
            raise invalid(
                f"Cannot delete Load Balancer {body['id']} - it has children: delete them first, "
                "or ask for cascade=true"
            )
        draft.delete(LOAD_BALANCER, body["id"])  # or its port would be in use
        vips.give_back(self.kinds["port"], draft, body)

    def cascade(self, draft: Draft, context: Context, body: Body) -> None:
        for kind in PARTS:
            for id in draft.linked(body["id"], kind):
                part = draft.get(kind, id)
                assert part is not None  # it links
                self.kinds[kind].delete(draft, context, part)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["vip_port_id"], LOAD_BALANCER)
        yield from offers.links(body)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        for kind in PARTS:
            shown[f"{kind}s"] = ids(reader.linked(body["id"], kind))
        shown["vip_vnic_type"] = "normal"


def _check_judges(draft: Draft, context: Context, body: Body) -> None:
    """The caller may use the groups and the QoS policy that are to judge what goes to the port."""
    for id in body["vip_sg_ids"]:
        _usable(draft, context, "security_group", id, "Security Group")
    if body["vip_qos_policy_id"]:
        _usable(draft, context, "policy", body["vip_qos_policy_id"], "qos_policy")


def _usable(draft: Draft, context: Context, kind: str, id: str, called: str) -> None:
    found = draft.get(kind, id)
    if found is None or not may_use(draft, context, found):
        raise InvalidSubresource(resource=called, id=id)


def check_judged(balancer: Body, listener: Body) -> None:
    """Groups and QoS judge what goes through a port, and so through a proxy there: there is none of
    UDP and SCTP. Errors: UnsupportedOptionError."""
    judged = balancer["vip_sg_ids"] or balancer["vip_qos_policy_id"]
    if judged and listener["protocol"] in ("UDP", "SCTP"):
        raise unsupported(
            f"{listener['protocol']} is balanced by switches where it starts, and never comes by a "
            "port that vip_sg_ids or vip_qos_policy_id could judge: use allowed_cidrs of the "
            "listener, or the security groups of the members"
        )


def _fail_over(draft: Draft, context: Context, body: Body, request: Any) -> None:
    """Switches have nothing to fail over; a proxy goes to another worker, if there is one."""
    draft.put(LOAD_BALANCER, changed(body, failovers=body["failovers"] + 1))


def _status(sight: Sight, body: Body) -> Any:
    return {"statuses": {"loadbalancer": graph.status(sight, body)}}


_HOOKS = LoadBalancerHooks()


def _vips_given(values: Any, valid: Any = None) -> str | None:
    """What is wrong with additional_vips, in words."""
    known = {"subnet_id", "ip_address", "port_id"}
    for vip in values if isinstance(values, list) else [None]:
        if not isinstance(vip, dict) or not vip.get("subnet_id") or vip.keys() - known:
            return f"'{vip}' is not an object of subnet_id and perhaps ip_address"
    return None


def _vips_of(values: Any) -> list[Body]:
    wrong = _vips_given(values)
    if wrong:
        raise Wrong(f"additional_vips: {wrong}")
    convert = address(None)["convert_to"]
    return [
        {"subnet_id": vip["subnet_id"], "ip_address": convert(vip.get("ip_address"))}
        for vip in values
    ]


def _objects(values: Any) -> list[Body]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Wrong("listeners and pools are lists of objects")
    return values


_SPECIFIED = spec(_objects, [], fixed=True, is_filter=False)

SPEC = ResourceSpec(
    name=LOAD_BALANCER,
    collection="loadbalancers",
    attributes=declared(
        {
            **COMMON,
            **DESCRIPTION,
            "vip_address": address(None, fixed=True),
            "vip_port_id": reference(fixed=True),
            "vip_subnet_id": reference(fixed=True),
            "vip_network_id": reference(fixed=True),
            "vip_qos_policy_id": reference(),
            "vip_sg_ids": texts([], enforce_policy=True),
            "vip_vnic_type": SHOWN,
            "additional_vips": spec(_vips_of, [], fixed=True, is_filter=False),
            "provider": text(None, 64, fixed=True),
            "flavor_id": reference(fixed=True),
            "availability_zone": text(None, fixed=True),
            "listeners": _SPECIFIED,
            "pools": _SPECIFIED,
        }
    ),
    not_found=lambda id: NotFound(resource="Load Balancer", id=id),
    keys=Zone.ROUTERS,
    key_space="router",
    standard=STANDARD,
    service=OCTAVIA,
    actions={"failover": _fail_over},
    views={
        "status": _status,
        "statuses": _status,
        "stats": stats("loadbalancer/stats", "loadbalancer/proxied"),
    },
    created=graph.created,
    cascade=_HOOKS.cascade,
)

RULES = {LOAD_BALANCER: _HOOKS, "port": vips.PortHooks()}
