# SPDX-License-Identifier: Apache-2.0

"""Flavors: what an operator offers by name, and what stands behind it.

A flavor has service profiles, of which each names a driver, or has notes for people (``metainfo``).
There
is one driver of routers, ours. So a router may have a flavor that an admin made, with a profile of
that driver; a flavor that is disabled, or has no such profile, gives no routers.
"""

from tenantry.apps.flavors import resources
from tenantry.controller.feature.app import App, Parts

FLAVORS = App(
    id=21,
    name="flavors",
    build=lambda conf: Parts(extension=resources.extension()),
)
