# SPDX-License-Identifier: Apache-2.0

"""Octavia's errors that more than one of its kinds has, in its words."""

from __future__ import annotations

from neutron_lib import exceptions


class NotFound(exceptions.NotFound):
    message = "%(resource)s %(id)s not found."


class InvalidOption(exceptions.BadRequest):
    message = "%(value)s is not a valid option for %(option)s"


class ObjectInUse(exceptions.Conflict):
    message = "%(object)s %(id)s is in use and cannot be modified."


class NoChildren(exceptions.BadRequest):
    message = "Protocol %(protocol)s listeners cannot have child objects."


class UnsupportedOptionError(NotImplementedError):
    """What Octavia's API has and we do not do: 501. The message says what we do instead."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Provider 'tenantry' does not support a requested option: {message}")
