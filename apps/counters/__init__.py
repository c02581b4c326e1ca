# SPDX-License-Identifier: Apache-2.0

"""Counters: what ports, networks, routers, floating IPs and rules have sent and received, at what
rate, and what was dropped, why.

Nothing is installed for it: the flows that do the work count anyhow. Who asks about one thing has
its flows read by their cookies, and no others (``controller/switch/reading.py``).
"""

from tenantry.apps.counters.commands import COMMANDS
from tenantry.apps.counters.policies import POLICIES
from tenantry.apps.counters.routes import ROUTES
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.extension import Extension

COUNTERS = App(
    id=28,
    name="counters",
    build=lambda conf: Parts(extension=Extension(policies=POLICIES), routes=ROUTES),
    commands=COMMANDS,
)
