# SPDX-License-Identifier: Apache-2.0

"""What a request names that something is to be of: a pool's load balancer, a monitor's pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import PROMETHEUS, PROXY, PROXYV2
from tenantry.apps.load_balancer.refusals import NoChildren, NotFound
from tenantry.controller.feature.extension import Reader
from tenantry.controller.store import Body

LOAD_BALANCER, LISTENER, POOL = "loadbalancer", "listener", "pool"

_CALLED = {LOAD_BALANCER: "Load Balancer", LISTENER: "Listener", POOL: "Pool"}


class WrongPoolProtocol(exceptions.BadRequest):
    message = (
        "Validation failure: The pool protocol '%(pool)s' is invalid while the listener protocol "
        "is '%(listener)s'."
    )


def find(reader: Reader, kind: str, id: Any) -> Body:
    """What a request names. Whether the caller may build on it is for policies to say, which ask of
    the project that it is of. Errors: NotFound."""
    body = reader.get(kind, id)
    if body is None:
        raise NotFound(resource=_CALLED[kind], id=id)
    return body


POOL_PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "TCP": ("HTTP", "HTTPS", PROXY, PROXYV2, "TCP"),
    "HTTP": ("HTTP", PROXY, PROXYV2),
    "HTTPS": ("HTTPS", PROXY, PROXYV2, "TCP"),
    "TERMINATED_HTTPS": ("HTTP", PROXY, PROXYV2),
    "UDP": ("UDP",),
    "SCTP": ("SCTP",),
    PROMETHEUS: (),
}
"""By protocol of a listener: of which protocols the pools behind it may be."""


def check_fits(listener: Body, pool_protocol: str) -> None:
    """Whether a listener may have a pool of a protocol. Errors: NoChildren, WrongPoolProtocol."""
    protocol = listener["protocol"]
    if protocol == PROMETHEUS:
        raise NoChildren(protocol=protocol)
    if pool_protocol not in POOL_PROTOCOLS[protocol]:
        raise WrongPoolProtocol(pool=pool_protocol, listener=protocol)
