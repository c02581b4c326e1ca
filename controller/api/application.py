# SPDX-License-Identifier: Apache-2.0

"""The application: the core's resources and the features', their routes, discovery.

To start one: make the :func:`kinds` of the apps' extensions, open a store with them as its schema,
and serve :func:`application`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api import auth, writes
from tenantry.controller.api.access import Access
from tenantry.controller.api.alias import AliasedCollection
from tenantry.controller.api.core import (
    address_scope,
    agent,
    availability,
    mtu,
    network,
    port,
    port_attributes,
    port_binding,
    quota,
    rbac,
    service_address,
    service_quota,
    subnet,
    subnetpool,
    worker,
)
from tenantry.controller.api.kind import Kinds, ResourceType
from tenantry.controller.api.policy import Policy
from tenantry.controller.api.resource import Collection, Computed
from tenantry.controller.api.service import ServiceCollection
from tenantry.controller.api.tenantry import policies
from tenantry.controller.api.versions import Discovery
from tenantry.controller.api.wsgi import Answer, Application, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ApiRoute, Extension, Listed
from tenantry.controller.store import Body, Store


def kinds(
    extensions: Iterable[Extension] = (),
    *,
    physical_mtu: int = 1500,
    physical_mtus: Mapping[str, int] | None = None,
    overlay_ip_version: int = 4,
    base_mac: str = "fa:16:3e:00:00:00",
    policy_file: str = "",
) -> Kinds:
    """The core's kinds with what ``extensions`` add to them: a store's schema.

    ``physical_mtus`` are those of physical networks that differ from ``physical_mtu``, in octets of
    IP packet. Tunnels are in packets of ``overlay_ip_version``. Generated MAC addresses begin like
    ``base_mac``. ``policy_file`` is the operator's, if there is one. Errors: PolicyFileError.
    """
    core = (
        network.extension(),
        address_scope.extension(),
        subnetpool.extension(),
        subnet.extension(),
        service_address.extension(),
        port.extension(base_mac),
        port_attributes.extension(),
        port_binding.extension(),
        availability.extension(),
        agent.extension(),
        rbac.extension(),
        quota.extension(),
        worker.extension(),
        Extension(policies=policies.POLICIES),
    )
    # What a network carries depends on what the apps make of it.
    last = mtu.extension(physical_mtu, physical_mtus or {}, overlay_ip_version)
    return Kinds([*core, *extensions, last], policy_file)


def application(
    store: Store,
    kinds: Kinds,
    authenticate: auth.Authenticator,
    *,
    computed: Computed = lambda kind, body: {},
    routes: Iterable[Route] = (),
    quotas: Mapping[str, int] | None = None,
) -> Application:
    """The WSGI application on ``store``, which was opened with ``kinds``.

    ``computed`` supplies observed attributes; ``routes`` are served beside Neutron's. ``quotas`` by
    kind are for projects that have none of their own; without one, there is no limit.
    """
    store.subscribe(writes.tell)
    for extension in kinds.extensions:
        if extension.committed is not None:
            store.subscribe(extension.committed)
        if extension.upgrade is not None:
            extension.upgrade(store)
    for name, limit in (quotas or {}).items():
        kinds[name].limit = limit
    access = Access(kinds)
    open_to_all = [kind for kind in kinds.values() if not kind.internal]
    collections = [
        *(_collection(store, kind, computed, access) for kind in open_to_all),
        *(AliasedCollection(store, kind, computed, access) for kind in open_to_all if kind.alias),
    ]
    return Application(
        [
            *Discovery(kinds).routes(),
            *(route for collection in collections for route in collection.routes()),
            *availability.Availability(store, kinds.policy).routes(),
            *port_binding.PortBindings(store, kinds).routes(),
            *quota.Quotas(store, kinds).routes(),
            *(
                route
                for service in kinds.services
                for route in service_quota.ServiceQuotas(store, kinds, service).routes()
            ),
            *(
                Route("GET", f"/v2.0/{path}", partial(_list, store, kinds.policy, path, listed))
                for extension in kinds.extensions
                for path, listed in extension.lists.items()
            ),
            *(
                Route(
                    route.method,
                    f"{route.service.path if route.service else '/v2.0'}/{route.path}",
                    partial(_answer, store, kinds.policy, route),
                )
                for extension in kinds.extensions
                for route in extension.routes
            ),
            *routes,
        ],
        lambda request: kinds.policy.recognised(authenticate(request)),
        kinds.services,
    )


def _collection(store: Store, kind: ResourceType, computed: Computed, access: Access) -> Collection:
    if kind.service is None:
        return Collection(store, kind, computed, access)
    return ServiceCollection(store, kind, computed, access)


def _answer(
    store: Store, policy: Policy, route: ApiRoute, request: Request, context: Context, **names: str
) -> Answer:
    if names.get("project_id") == "None":  # so writes a client that names no project
        names["project_id"] = context.project_id
    policy.check(context, route.rule, {"project_id": context.project_id, **names}.get)
    if request.method == "GET":
        store.catch_up()
        said = {name: request.GET.getall(name) for name in request.GET}
    else:
        said = read_json(request) if request.body else {}
        if not isinstance(said, dict):
            raise HTTPBadRequest("Resource body required")
    return route.answer(store, context, said, **names)


def _list(
    store: Store, policy: Policy, path: str, listed: Listed, request: Request, context: Context
) -> Answer:
    """What a list has that passes the request's filters: attributes as they are shown."""
    name = path.rpartition("/")[2].replace("-", "_")
    own: Body = {"project_id": context.project_id}
    wanted = {key: request.GET.getall(key) for key in request.GET if key != "fields"}
    store.catch_up()
    may = policy.allows(context, f"get_{name.removesuffix('s')}", own.get)
    items = list(listed(store, context)) if may else []
    unknown = sorted(name for name in wanted if any(name not in item for item in items))
    if unknown:
        raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
    return 200, {
        name: [i for i in items if all(str(i.get(k)) in values for k, values in wanted.items())]
    }
