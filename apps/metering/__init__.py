# SPDX-License-Identifier: Apache-2.0

"""Metering: labels, whose rules count what passes the gateways of routers.

A label counts at all routers of its project, or, if it is shared, of all projects: what leaves by
the gateway (egress), and what comes in by it (ingress). Its rules say which packets, by their
addresses as machines behind the router see them: before the source of what leaves is translated,
and after the destination of what comes in. A packet that an excluded rule matches is not counted,
and of other rules one counts it, however many match.

Each packet is counted once, where it is routed: on its machine's own switch, or at whichever
gateway acts. A label's count is the sum of all switches'. What rules count stands in flows, which
outlast a restart of the controller; a change of a label's rules leaves the flows of all others as
they are.
"""

from tenantry.apps.metering import resources, tables
from tenantry.apps.metering.flows import (
    compile_label,
    compile_router,
    labels_on,
    metered_routers_on,
)
from tenantry.apps.metering.records import MeteringLabel, MeteringLabelRule
from tenantry.apps.metering.routes import ROUTES
from tenantry.controller.feature.app import App, Parts, Units

METERING = App(
    id=24,
    name="metering",
    records=(MeteringLabel, MeteringLabelRule),
    units=(
        Units("router", metered_routers_on, compile_router),
        Units("label", labels_on, compile_label),
    ),
    build=lambda conf: Parts(extension=resources.extension(), routes=ROUTES),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
