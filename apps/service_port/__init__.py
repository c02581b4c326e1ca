# SPDX-License-Identifier: Apache-2.0

"""Service port: where guests' TCP to the controller ends.

What needs TCP (metadata, DNS in TCP) cannot be answered packet by packet. It goes to one internal
interface on the controller's host, where the controller listens. Two tenants may have equal
addresses, so on the way the guest's address is replaced with one that says which port asks: an
address of a range that nobody else uses, with the port's key in its low bits. The guest cannot
forge it, since the switch writes it. The way back is learned by the switch as the packet passes,
at most 16 flows a port and service, so nothing is installed for guests that do not ask.

Guests of other hosts ask through a tunnel: their own switch writes who asks, and learns the way
back to the guest; the one with the service port learns the way back to their host. What it takes
from tunnels comes from the hosts that have joined. A host costs it one flow, a guest none.
"""

from tenantry.apps.service_port import tables
from tenantry.apps.service_port.flows import compile_service_port
from tenantry.controller.feature.app import App, Units, per_switch

SERVICE_PORT = App(
    id=9,
    name="service_port",
    units=(Units("services", per_switch, compile_service_port),),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
