# SPDX-License-Identifier: Apache-2.0

"""What a request names that something is to be of: a pool's load balancer, a monitor's pool."""

from __future__ import annotations

from typing import Any

from tenantry.apps.load_balancer.records import PROMETHEUS
from tenantry.apps.load_balancer.resources.errors import ListenerNoChildren, NotFound
from tenantry.apps.load_balancer.resources.listeners import LISTENER, check_fits
from tenantry.apps.load_balancer.resources.vips import LOAD_BALANCER
from tenantry.controller.feature.extension import Reader
from tenantry.controller.store import Body

POOL = "pool"

_CALLED = {LOAD_BALANCER: "Load Balancer", LISTENER: "Listener", POOL: "Pool"}


def find(reader: Reader, kind: str, id: Any) -> Body:
    """What a request names. Whether the caller may build on it is for policies to say, which ask of
    the project that it is of. Errors: NotFound."""
    body = reader.get(kind, id)
    if body is None:
        raise NotFound(resource=_CALLED[kind], id=id)
    return body


def check_leads(listener: Body, pool_protocol: str) -> None:
    """Whether a listener may lead to pools of a protocol. Errors: NoChildren, Octavia's 400."""
    if listener["protocol"] == PROMETHEUS:
        raise ListenerNoChildren(protocol=PROMETHEUS)
    check_fits(listener["protocol"], pool_protocol)
