# SPDX-License-Identifier: Apache-2.0

"""Network logging: a line for each connection that the security groups of chosen ports accept, and
for each packet that they, or a firewall there, drop.

The switch sends what is to be logged to the controller, so many packets a second and no more (a
meter of its own: what is beyond it is judged as ever, and not logged). The controller says whose
packet it was, and for what was accepted which rule allows it.
"""

from tenantry.apps.network_log import resources, tables
from tenantry.apps.network_log.flows import compile_common, compile_port, logged_ports
from tenantry.apps.network_log.packets import handle
from tenantry.controller.feature.app import App, Parts, Units, per_switch

NETWORK_LOG = App(
    id=14,
    name="network_log",
    units=(Units("all", per_switch, compile_common), Units("port", logged_ports, compile_port)),
    build=lambda conf: Parts(extension=resources.extension(), packet_in=handle),
    tables=tables.TABLES,
)
