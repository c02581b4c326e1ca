# SPDX-License-Identifier: Apache-2.0

"""The doors: who is asking. Each makes a :class:`Context` of a request, or raises 401.

``none`` trusts everybody, ``basic`` knows accounts of its own, ``keystone`` asks a Keystone.
Nothing else in the API knows the difference.
"""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from tenantry.controller.api.auth.basic import Basic
from tenantry.controller.api.auth.caller import ANYBODY, Authenticator, name_request
from tenantry.controller.api.auth.none import none

__all__ = ["ANYBODY", "Authenticator", "door", "name_request", "none"]


def door(conf: cfg.ConfigOpts) -> Authenticator:
    """The one that the options ask for."""
    if conf.api.auth_type == "basic":
        return Basic(Path(conf.api.accounts))
    if conf.api.auth_type == "keystone":
        from tenantry.controller.api.auth.keystone import Keystone  # a third of a second to load

        return Keystone(conf.keystone_authtoken)
    return none(conf.api.default_project)
