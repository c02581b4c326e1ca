"""The Neutron v2.0 API. It writes to the store, and knows nothing of switches.

To start one: make the :func:`kinds` of the apps' extensions, open a store with them as its schema,
and serve :func:`application`.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.api import auth, network, port, subnet
from controller.api.extension import Extension
from controller.api.kind import Kinds
from controller.api.resource import Collection, Computed
from controller.api.versions import Discovery
from controller.api.wsgi import Application, Route
from controller.store import Store

__all__ = ["Application", "Computed", "Extension", "Kinds", "Route", "application", "kinds"]


def kinds(
    extensions: Iterable[Extension] = (),
    *,
    physical_mtu: int = 1500,
    base_mac: str = "fa:16:3e:00:00:00",
) -> Kinds:
    """The core's kinds with what ``extensions`` add to them: a store's schema."""
    core = (network.extension(physical_mtu), subnet.extension(), port.extension(base_mac))
    return Kinds([*core, *extensions])


def application(
    store: Store,
    kinds: Kinds,
    authenticate: auth.Authenticator,
    *,
    computed: Computed = lambda kind, body: {},
    routes: Iterable[Route] = (),
) -> Application:
    """The WSGI application on ``store``, which was opened with ``kinds``.

    ``computed`` supplies observed attributes; ``routes`` are served beside Neutron's.
    """
    for extension in kinds.extensions:
        if extension.committed is not None:
            store.subscribe(extension.committed)
    collections = (Collection(store, kind, computed) for kind in kinds.values())
    return Application(
        [
            *Discovery(kinds).routes(),
            *(route for collection in collections for route in collection.routes()),
            *routes,
        ],
        authenticate,
    )
