# SPDX-License-Identifier: Apache-2.0

"""Load balancers: an address that stands for many who answer there.

People ask for them by Octavia's API. Connections that a switch can judge by their ports are
balanced where they start, on the client's own switch, or at the gateway of a router for who asks
from outside; what is to be read is read by a proxy.
"""

from oslo_config import cfg

from tenantry.apps.load_balancer import (
    commands,
    packets,
    records,
    resources,
    routes,
    statistics,
    tables,
)
from tenantry.apps.load_balancer.behind import routed_on
from tenantry.apps.load_balancer.choice import compile_parts
from tenantry.apps.load_balancer.flows import compile_balancer, compile_common, splits_on
from tenantry.apps.load_balancer.places import balancers_on
from tenantry.apps.load_balancer.provisioning_status import Provisioning
from tenantry.apps.load_balancer.routed import compile_routed
from tenantry.controller.feature.app import App, Parts, Units, per_switch


def _build(conf: cfg.ConfigOpts) -> Parts:
    provisioning = Provisioning()
    return Parts(
        extension=resources.extension(provisioning),
        packet_in=packets.handle,
        observed={**provisioning.observed(), **statistics.OBSERVED},
        routes=routes.ROUTES,
    )


LOAD_BALANCER = App(
    id=29,
    name="load_balancer",
    units=(
        Units("all", per_switch, compile_common),
        Units("split", splits_on, compile_parts),
        Units("load_balancer", balancers_on, compile_balancer),
        Units("behind_router", routed_on, compile_routed),
    ),
    records=records.STORED,
    build=_build,
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
    commands=commands.COMMANDS,
)
