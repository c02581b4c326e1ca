# SPDX-License-Identifier: Apache-2.0

"""Punt: what goes to the controller, and how much of it.

TRAP stands where a tenant's packet has been judged and not yet forwarded: features (DHCP, DNS,
metadata) put flows there that take to the controller what it answers. Each port may send so many
packets a second that way, held by a meter of its own in the switch, so that a guest that floods
loses its own packets and nobody else's, and the controller does not see them. The meter ends the
packet, which is right for what would have ended at the controller anyway.
"""

from tenantry.apps.punt import tables
from tenantry.apps.punt.flows import compile_others, compile_port
from tenantry.controller.feature.app import App, Units, per_switch
from tenantry.controller.model import ports_on

PUNT = App(
    id=5,
    name="punt",
    units=(Units("others", per_switch, compile_others), Units("port", ports_on, compile_port)),
    tables=tables.TABLES,
)
