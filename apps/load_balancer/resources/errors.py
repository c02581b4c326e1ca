# SPDX-License-Identifier: Apache-2.0

"""Refusals, in Octavia's words."""

from __future__ import annotations

from neutron_lib import exceptions

PROVIDER = "tenantry"


class NotFound(exceptions.NotFound):
    message = "%(resource)s %(id)s not found."


class ValidationException(exceptions.BadRequest):
    message = "Validation failure: %(detail)s"


class VipMissing(exceptions.BadRequest):
    message = (
        "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."
    )


class InvalidSubresource(exceptions.BadRequest):
    message = "%(resource)s %(id)s not found."


class InvalidOption(exceptions.BadRequest):
    message = "%(value)s is not a valid option for %(option)s"


class DisabledOption(exceptions.BadRequest):
    message = "The selected %(option)s is not allowed in this deployment: %(value)s"


class ProviderNotEnabled(exceptions.BadRequest):
    message = "Provider '%(prov)s' is not enabled."


class ListenerNoChildren(exceptions.BadRequest):
    message = "Protocol %(protocol)s listeners cannot have child objects."


class SingleCreateDetailsMissing(exceptions.BadRequest):
    message = "Missing details for %(type)s object: %(name)s"


class DuplicateListenerEntry(exceptions.Conflict):
    message = (
        "Another Listener on this Load Balancer is already using protocol %(protocol)s and "
        "protocol_port %(port)s"
    )


class UnsupportedOptionError(exceptions.NeutronException, NotImplementedError):
    """501: what can be asked for, and cannot work here."""

    message = f"Provider '{PROVIDER}' does not support a requested option: %(user_msg)s"


def invalid(detail: str) -> Exception:
    error: Exception = ValidationException(detail=detail)
    return error


def unsupported(words: str) -> Exception:
    error: Exception = UnsupportedOptionError(user_msg=words)
    return error
