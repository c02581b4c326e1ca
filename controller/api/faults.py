# SPDX-License-Identifier: Apache-2.0

"""From an exception to the error that Neutron would answer, and Neutron's own exceptions that
neutron-lib does not have."""

from __future__ import annotations

import json
import logging

from neutron_lib import exceptions
from neutron_lib.api.faults import FAULT_MAP
from webob import Response
from webob.exc import (
    HTTPConflict,
    HTTPException,
    HTTPInternalServerError,
    HTTPNotImplemented,
    HTTPPreconditionFailed,
)

from tenantry.controller.api.policy import PolicyNotAuthorized
from tenantry.controller.feature.service import Service
from tenantry.controller.store import ClaimTaken, LinkBroken, StaleDraft, Unavailable

LOG = logging.getLogger(__name__)

MALFORMED = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
"""What neutron-lib's converters and validators may raise beside their own errors: they are written
for well-formed values of the right type."""


class TagNotFound(exceptions.NotFound):
    message = "Tag %(tag)s could not be found."


class AlreadyTaken(exceptions.Conflict):
    """What no feature has a better error for."""

    message = "%(reason)s"


class ResourceInUse(exceptions.InUse):
    """What no feature has a better error for."""

    message = "%(reason)s. Delete or detach what uses it first."


class DatabaseUnavailable(exceptions.ServiceUnavailable):
    message = "%(reason)s"


class RevisionNumberConstraintFailed(HTTPPreconditionFailed):  # type: ignore[misc]
    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"Constrained to {expected}, but current revision is {current}")


RETRY_SECONDS = 5
"""When whom we could not serve for now may try again."""

_TOLD = ("Allow", "Retry-After", "WWW-Authenticate")
"""Headers of errors that mean something to a client."""

_FAULTS = {
    **FAULT_MAP,
    # Neutron answers 500 to this one, as if it had not foreseen that a subnet pool is exhausted.
    exceptions.SubnetAllocationError: HTTPConflict,
    NotImplementedError: HTTPNotImplemented,
}


def response(error: Exception, service: Service | None = None) -> Response:
    """The answer to a request that ended in ``error``; 500, logged, for what nobody foresaw. It has
    the form of the ``service``, if it is not Neutron's."""
    if service is not None and isinstance(error, PolicyNotAuthorized):
        error = service.forbidden(error.rule)
    if isinstance(error, HTTPException):
        answer = _answer(error.status_int, error, error.detail or error.explanation, service)
        answer.headers.update({n: error.headers[n] for n in _TOLD if n in error.headers})
        return answer
    if isinstance(error, LinkBroken):
        error = (
            ResourceInUse(reason=str(error))
            if error.users
            else exceptions.ObjectNotFound(id=error.target)
        )
    elif isinstance(error, ClaimTaken):
        error = AlreadyTaken(reason=str(error))
    elif isinstance(error, StaleDraft):
        error = exceptions.ServiceUnavailable()
    elif isinstance(error, Unavailable):
        error = DatabaseUnavailable(reason=str(error))
    for foreseen, fault in _FAULTS.items():
        if isinstance(error, foreseen):
            answer = _answer(fault.code, error, str(error), service)
            if fault.code == 503:
                answer.headers["Retry-After"] = str(RETRY_SECONDS)
            return answer
    LOG.error("a request failed in a way that nobody foresaw", exc_info=error)
    return _answer(
        500,
        HTTPInternalServerError(),
        "Request Failed: internal server error while processing your request.",
        service,
    )


def _answer(status: int, error: Exception, message: str, service: Service | None) -> Response:
    fault = {"type": type(error).__name__, "message": message, "detail": ""}
    said = service.fault(status, message) if service else {"NeutronError": fault}
    return Response(
        json.dumps(said).encode(),
        status=status,
        content_type="application/json",
    )
