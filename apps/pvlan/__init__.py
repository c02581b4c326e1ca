# SPDX-License-Identifier: Apache-2.0

"""Private VLANs (RFC 5517): ports of one network that do not hear each other.

On a network with ``pvlan`` a port is *promiscuous* (it talks with all; so are routers' ports), of a
*community* (with its like, and with promiscuous ones), or *isolated* (with promiscuous ones): an
isolated port is a community of one. Whatever is for a port, alone or in a flood, and what a router
leads back into the network, is judged where TO_PORT_CT gets it, before security groups are asked.
PVLAN_SENDER says of which community the sender is: on its own switch that is known by its port,
beyond it by its MAC address, for which port security vouches (networks with ``pvlan`` have it).
PVLAN says who may get the packet, which then goes back to TO_PORT_CT, marked.

Networks without ``pvlan`` never meet these tables.
"""

from tenantry.apps.pvlan import resources, tables
from tenantry.apps.pvlan.flows import (
    communities_beyond,
    compile_beyond,
    compile_common,
    compile_network,
    compile_port,
    private_networks,
    private_ports,
)
from tenantry.controller.feature.app import App, Parts, Units, per_switch

PVLAN = App(
    id=17,
    name="pvlan",
    units=(
        Units("all", per_switch, compile_common),
        Units("network", private_networks, compile_network),
        Units("port", private_ports, compile_port),
        Units("beyond", communities_beyond, compile_beyond),
    ),
    build=lambda conf: Parts(extension=resources.extension()),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
