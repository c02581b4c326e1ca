# SPDX-License-Identifier: Apache-2.0

"""Load balancers with all that is part of them: made in one request, shown, and their statuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.apps.load_balancer.resources.errors import SingleCreateDetailsMissing, invalid
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Maker, Reader, Sight
from tenantry.controller.store import Body, Draft

_NAME_ONLY = {"name"}


def make(
    kinds: Mapping[str, Maker],
    draft: Draft,
    context: Context,
    balancer: Body,
    listeners: list[Body],
    pools: list[Body],
) -> None:
    """Make the parts that a request for a load balancer says. Pools are named; where one is used it
    is said in full, or its name. Errors: Octavia's 400s, and those of the parts."""
    pools = [dict(pool) for pool in pools]
    listeners = [dict(listener) for listener in listeners]
    users = [
        *((listener, "default_pool") for listener in listeners),
        *((policy, "redirect_pool") for listener in listeners for policy in _policies(listener)),
    ]
    wanted = []
    for user, role in users:
        pool = user.get(role)
        if not pool:
            continue
        if not isinstance(pool, dict) or not pool.get("name"):
            raise invalid("Pools must be named when creating a fully populated loadbalancer.")
        if pool.keys() - _NAME_ONLY:
            pools.append(dict(pool))
        wanted.append(pool["name"])
    names = [pool.get("name") for pool in pools]
    if len(set(names)) < len(names):
        raise invalid("Pool names must be unique when creating a fully populated loadbalancer.")
    for name in wanted:
        if name not in names:
            raise invalid(f"Pool '{name}' was referenced but no full definition was found.")
    parts = _Parts(kinds, draft, context, balancer["project_id"])
    made = {str(pool.get("name")): parts.pool(balancer, pool) for pool in pools}
    for listener in listeners:
        parts.listener(balancer, listener, made)


def _policies(listener: Body) -> list[Body]:
    policies = [dict(policy) for policy in listener.get("l7policies") or ()]
    listener["l7policies"] = policies
    return policies


class _Parts:
    """Makes parts."""

    def __init__(
        self, kinds: Mapping[str, Maker], draft: Draft, context: Context, project_id: str
    ) -> None:
        self._kinds, self._draft, self._context = kinds, draft, context
        self._project_id = project_id

    def _make(self, kind: str, attributes: Body, whole: Body | None = None) -> Body:
        maker = self._kinds[kind]
        maker.check_quota(self._draft, self._project_id)
        return maker.make(self._draft, self._context, attributes, whole)

    def pool(self, balancer: Body, said: Body) -> Body:
        for name in ("protocol", "lb_algorithm"):
            if name not in said:
                raise invalid(
                    f"Pool definition for '{said.get('name')}' missing required attribute: {name}"
                )
        members, monitor = said.pop("members", None), said.pop("healthmonitor", None)
        pool = self._make("pool", {**said, "loadbalancer_id": balancer["id"]})
        for member in members or ():
            self._make("member", dict(member), pool)
        if monitor:
            self._make("healthmonitor", {**monitor, "pool_id": pool["id"]})
        return pool

    def listener(self, balancer: Body, said: Body, pools: Mapping[str, Body]) -> None:
        policies, default = said.pop("l7policies"), said.pop("default_pool", None)
        if default:
            said["default_pool_id"] = _named(pools, default)["id"]
        listener = self._make("listener", {**said, "loadbalancer_id": balancer["id"]})
        for policy in policies:
            rules, redirect = policy.pop("rules", None), policy.pop("redirect_pool", None)
            if redirect:
                policy["redirect_pool_id"] = _named(pools, redirect)["id"]
            made = self._make("l7policy", {**policy, "listener_id": listener["id"]})
            for rule in rules or ():
                self._make("l7rule", dict(rule), made)


def _named(pools: Mapping[str, Body], reference: Body) -> Body:
    try:
        return pools[reference["name"]]
    except KeyError:
        raise SingleCreateDetailsMissing(type="Pool", name=reference["name"]) from None


def parts(reader: Reader, whole: Body, kind: str) -> Iterator[Body]:
    """What is part of something, by kind, oldest first."""
    for id in reader.linked(whole["id"], kind):
        body = reader.get(kind, id)
        if body is not None:
            yield body


def created(sight: Sight, body: Body) -> Body:
    """A new load balancer: what a GET shows, but its parts in full."""
    shown = sight.shown("loadbalancer", body)
    shown["listeners"] = [_listener(sight, each) for each in parts(sight.reader, body, "listener")]
    shown["pools"] = [_pool(sight, each) for each in parts(sight.reader, body, "pool")]
    return shown


def _listener(sight: Sight, body: Body) -> Body:
    policies = [
        {
            **sight.shown("l7policy", policy),
            "rules": [sight.shown("l7rule", r) for r in parts(sight.reader, policy, "l7rule")],
        }
        for policy in parts(sight.reader, body, "l7policy")
    ]
    return {**_without(sight.shown("listener", body), "loadbalancers"), "l7policies": policies}


def _pool(sight: Sight, body: Body) -> Body:
    monitors = [sight.shown("healthmonitor", m) for m in parts(sight.reader, body, "healthmonitor")]
    return {
        **_without(sight.shown("pool", body), "loadbalancers", "listeners", "healthmonitor_id"),
        "members": [sight.shown("member", each) for each in parts(sight.reader, body, "member")],
        "healthmonitor": monitors[0] if monitors else None,
    }


def _without(shown: Body, *names: str) -> Body:
    return {name: value for name, value in shown.items() if name not in names}


def status(sight: Sight, balancer: Body) -> Body:
    """The statuses of a load balancer and of all that is part of it."""
    reader = sight.reader
    return {
        **_said(sight, "loadbalancer", balancer),
        "listeners": [
            {
                **_said(sight, "listener", listener),
                "pools": [_pool_status(sight, pool) for pool in _pools(reader, listener)],
            }
            for listener in parts(reader, balancer, "listener")
        ],
    }


def _pools(reader: Reader, listener: Body) -> list[Body]:
    """Those that a listener uses: by default, or by a policy."""
    policies = parts(reader, listener, "l7policy")
    ids = [listener["default_pool_id"], *(policy["redirect_pool_id"] for policy in policies)]
    found = (reader.get("pool", id) for id in dict.fromkeys(filter(None, ids)))
    return [pool for pool in found if pool is not None]


def _pool_status(sight: Sight, pool: Body) -> Body:
    said = {
        **_said(sight, "pool", pool),
        "members": [
            _said(sight, "member", member, "address", "protocol_port")
            for member in parts(sight.reader, pool, "member")
        ],
    }
    for monitor in parts(sight.reader, pool, "healthmonitor"):
        said["healthmonitor"] = _said(sight, "healthmonitor", monitor, "type")
    return said


_STATUS = ("id", "name", "operating_status", "provisioning_status")


def _said(sight: Sight, kind: str, body: Body, *more: str) -> dict[str, Any]:
    shown = sight.shown(kind, body)
    return {name: shown[name] for name in (*_STATUS, *more)}
