# SPDX-License-Identifier: Apache-2.0

"""Provider networks: flat and VLAN networks on named physical networks.

A switch reaches a physical network by the interfaces that carry its name
(``external_ids:tenantry-physical-network``). There a network's frames bear its 802.1Q tag (or none,
if it is flat); on the ports of tenants they never do. The same VLAN id on two physical networks is
two networks.
"""

from tenantry.apps.provider import configuration, tables
from tenantry.apps.provider.flows import (
    compile_beyond,
    compile_network,
    wired_networks,
    wired_ports,
)
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.network.records import Segment

PROVIDER = App(
    id=2,
    name="provider",
    records=(Segment,),
    units=(
        Units("network", wired_networks, compile_network),
        Units("beyond", wired_ports, compile_beyond),
    ),
    adds_to=tables.ADDS_TO,
    options=configuration.OPTIONS,
    build=lambda conf: Parts(extension=configuration.extension(conf)),
)
