"""From an exception to the error that Neutron would answer, and Neutron's own exceptions that
neutron-lib does not have."""

from __future__ import annotations

import json
import logging

from neutron_lib import exceptions
from neutron_lib.api.faults import FAULT_MAP
from webob import Response
from webob.exc import HTTPException, HTTPPreconditionFailed

from controller.store import Behind, LinkBroken

LOG = logging.getLogger(__name__)


class IpAddressAlreadyAllocated(exceptions.Conflict):  # type: ignore[misc]
    message = "IP address %(ip)s already allocated in subnet %(subnet_id)s."


class AllocationOnAutoAddressSubnet(exceptions.InvalidInput):  # type: ignore[misc]
    message = (
        "IPv6 address %(ip)s cannot be directly assigned to a port on subnet %(subnet_id)s as "
        "the subnet is configured for automatic addresses"
    )


class TagNotFound(exceptions.NotFound):  # type: ignore[misc]
    message = "Tag %(tag)s could not be found."


class ResourceInUse(exceptions.InUse):  # type: ignore[misc]
    """What no feature has a better error for."""

    message = "%(reason)s. Delete or detach what uses it first."


class RevisionNumberConstraintFailed(HTTPPreconditionFailed):  # type: ignore[misc]
    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"Constrained to {expected}, but current revision is {current}")


def response(error: Exception) -> Response:
    """The answer to a request that ended in ``error``; 500, logged, for what nobody foresaw."""
    if isinstance(error, HTTPException):
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _response(
            error.status_int, type(error).__name__, error.detail or str(error), headers
        )
    if isinstance(error, LinkBroken):
        error = ResourceInUse(reason=str(error)) if error.users else _vanished(error)
    if isinstance(error, Behind):
        error = exceptions.ServiceUnavailable()
    for foreseen, fault in FAULT_MAP.items():
        if isinstance(error, foreseen):
            return _response(fault.code, type(error).__name__, str(error))
    LOG.error("request failed", exc_info=error)
    return _response(
        500,
        "HTTPInternalServerError",
        "Request Failed: internal server error while processing your request.",
    )


def _vanished(error: LinkBroken) -> Exception:
    not_found: Exception = exceptions.ObjectNotFound(id=error.target)
    return not_found


def _response(
    status: int, kind: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    body = {"NeutronError": {"type": kind, "message": message, "detail": ""}}
    return Response(
        json.dumps(body).encode(),
        status=status,
        content_type="application/json",
        headerlist=None,
        **({"headers": headers} if headers else {}),
    )
