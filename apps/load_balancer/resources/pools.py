# SPDX-License-Identifier: Apache-2.0

"""Pools in the API: members among which one is chosen, behind a listener or waiting for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import (
    HTTP,
    HTTPS,
    LEAST_CONNECTIONS,
    PROXY,
    PROXYV2,
    ROUND_ROBIN,
    SCTP,
    SOURCE_IP,
    SOURCE_IP_PORT,
    TCP,
    UDP,
)
from tenantry.apps.load_balancer.resources import session_persistence, tls
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    DESCRIPTION,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    choice,
    declared,
    flag,
    ids,
    reference,
    text,
    texts,
)
from tenantry.apps.load_balancer.resources.errors import NotFound, invalid, unsupported
from tenantry.apps.load_balancer.resources.listeners import DEFAULT_OF, LISTENER
from tenantry.apps.load_balancer.resources.parents import POOL, check_leads, find
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.apps.load_balancer.resources.vips import LOAD_BALANCER
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Reader,
    ResourceSpec,
    is_set,
)
from tenantry.controller.store import Body, Draft, Link

PROTOCOLS = (HTTP, HTTPS, PROXY, PROXYV2, SCTP, TCP, UDP)
ALGORITHMS = (LEAST_CONNECTIONS, ROUND_ROBIN, SOURCE_IP, SOURCE_IP_PORT)

MEMBER, MONITOR, POLICY = "member", "healthmonitor", "l7policy"
"""Kinds of what has a pool, and the roles in which it sees them."""


class ListenerHasDefaultPool(exceptions.Conflict):
    message = "This listener already has a default pool"


class PoolInUse(exceptions.Conflict):
    message = "Pool %(id)s is in use by L7 policy %(policy)s"


ATTRIBUTES = declared(
    {
        **COMMON,
        **DESCRIPTION,
        "loadbalancer_id": reference(fixed=True, is_visible=False),
        "listener_id": reference(fixed=True, is_visible=False),
        "protocol": choice(PROTOCOLS, fixed=True),
        "lb_algorithm": choice(ALGORITHMS),
        "session_persistence": session_persistence.ATTRIBUTE,
        "tls_enabled": flag(False),
        "tls_container_ref": text(None),
        "ca_tls_container_ref": text(None),
        "crl_container_ref": text(None),
        "tls_ciphers": text(None, 2048),
        "tls_versions": texts(None),
        "alpn_protocols": texts(None),
        "loadbalancers": SHOWN,
        "listeners": SHOWN,
        "members": SHOWN,
        "healthmonitor_id": SHOWN,
    }
)


class PoolHooks(OctaviaHooks):
    def project(self, reader: Reader, body: Body) -> str:
        return str(_balancer(reader, body)["project_id"])

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        balancer = _balancer(draft, body)
        body |= {"loadbalancer_id": balancer["id"], "project_id": balancer["project_id"]}
        if is_set(body["listener_id"]):
            listener = find(draft, LISTENER, body["listener_id"])
            check_leads(listener, body["protocol"])
            if listener["default_pool_id"]:
                raise ListenerHasDefaultPool()
        asked = body["session_persistence"]
        body["session_persistence"] = session_persistence.completed(asked, None)
        self._check(body)

    def created(self, draft: Draft, body: Body) -> None:
        if is_set(body["listener_id"]):
            listener = draft.get(LISTENER, body["listener_id"])
            assert listener is not None  # it was asked in create
            default = {"default_pool_id": body["id"]}
            self.kinds[LISTENER].update(draft, SYSTEM, listener, default)
            draft.put(POOL, {**body, "listener_id": None})  # from now on the listener says it

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        asked, there = body["session_persistence"], before["session_persistence"]
        body["session_persistence"] = session_persistence.completed(asked, there)
        self._check(body)

    @staticmethod
    def _check(body: Body) -> None:
        """What is said fits together. Errors: Octavia's."""
        session_persistence.check(body["session_persistence"], body["protocol"])
        if body["crl_container_ref"] and not body["ca_tls_container_ref"]:
            raise invalid("A CA certificate reference is required to specify a revocation list.")
        if body["tls_enabled"] and body["protocol"] in (UDP, SCTP):
            raise unsupported(f"TLS of {body['protocol']} pools: it goes over TCP")
        tls.check_ciphers(body["tls_ciphers"])
        tls.check_versions(body["tls_versions"])
        tls.check_alpn(body["alpn_protocols"])
        if body["tls_enabled"]:
            body |= {name: body[name] or usual for name, usual in _USUAL.items()}

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], POLICY):
            raise PoolInUse(id=body["id"], policy=id)
        for listener in listeners_with(draft, body["id"]):
            self.kinds[LISTENER].update(draft, SYSTEM, listener, {"default_pool_id": None})
        for kind in (MEMBER, MONITOR):
            for id in draft.linked(body["id"], kind):
                draft.delete(kind, id)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["loadbalancer_id"], POOL)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        id = body["id"]
        monitors = reader.linked(id, MONITOR)
        shown["loadbalancers"] = ids([body["loadbalancer_id"]])
        shown["listeners"] = ids(listener_ids(reader, id))
        shown["members"] = ids(reader.linked(id, MEMBER))
        shown["healthmonitor_id"] = next(iter(monitors), None)


def _balancer(reader: Reader, body: Body) -> Body:
    """The load balancer that a new pool is of, by what its request names."""
    asked, listener_id = body["loadbalancer_id"], body["listener_id"]
    if is_set(listener_id):
        listener = find(reader, LISTENER, listener_id)
        if is_set(asked) and asked != listener["loadbalancer_id"]:
            raise invalid(f"listener {listener_id} is not of load balancer {asked}")
        asked = listener["loadbalancer_id"]
    if not is_set(asked):
        raise invalid("Must provide at least one of: loadbalancer_id, listener_id")
    return find(reader, LOAD_BALANCER, asked)


def listeners_with(reader: Reader, pool_id: str) -> Iterator[Body]:
    """The listeners whose default pool it is."""
    for id in [*reader.linked(pool_id, DEFAULT_OF)]:
        listener = reader.get(LISTENER, id)
        if listener is not None:
            yield listener


def listener_ids(reader: Reader, pool_id: str) -> list[str]:
    """The listeners that lead to a pool: always, or by one of their policies."""
    found = [each["id"] for each in listeners_with(reader, pool_id)]
    policies = (reader.get(POLICY, id) for id in reader.linked(pool_id, POLICY))
    return [*dict.fromkeys([*found, *(each["listener_id"] for each in policies if each)])]


_USUAL = {
    "tls_ciphers": tls.CIPHERS,
    "tls_versions": tls.VERSIONS,
    "alpn_protocols": tls.ALPN,
}
"""What is meant where TLS is enabled and nothing is said of these."""


SPEC = ResourceSpec(
    name=POOL,
    collection="pools",
    attributes=ATTRIBUTES,
    not_found=lambda id: NotFound(resource="Pool", id=id),
    keys=range(1, 1 << 16),
    standard=STANDARD,
    service=OCTAVIA,
)

RULES = {POOL: PoolHooks()}
