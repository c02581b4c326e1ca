# SPDX-License-Identifier: Apache-2.0

"""The door of the worker that the controller has started itself: it brings what it was given."""

from __future__ import annotations

import hmac

from webob import Request

from tenantry.controller.api.auth.caller import Authenticator, caller
from tenantry.controller.feature.context import Context

OWN_WORKER = "X-Tenantry-Worker"


def own_worker(token: str, others: Authenticator) -> Authenticator:
    """Whoever brings the ``token`` is our own worker, a service; the ``others`` come by their
    door."""

    def authenticate(request: Request) -> Context:
        brought = request.headers.get(OWN_WORKER)
        if brought is not None and hmac.compare_digest(brought.encode(), token.encode()):
            return caller(request, "own worker", project_id="", roles=("service",))
        return others(request)

    return authenticate
