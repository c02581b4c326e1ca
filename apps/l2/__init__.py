# SPDX-License-Identifier: Apache-2.0

"""L2 switching: from port to port of one network, on one switch.

Known MAC addresses come from the model. Ports without port security may have any address, so the
switch learns theirs by itself (OVS ``learn``, no controller involved). Broadcast, multicast and
unknown unicast go to the network's ports and nowhere else. What lies beyond the switch is for other
features (``provider``), who meet this one in L2_LOOKUP, FLOOD_PART and OUTPUT.
"""

from tenantry.apps.l2 import tables
from tenantry.apps.l2.flows import compile_frames, compile_network, compile_part, compile_port
from tenantry.apps.l2.packets import handle
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.model import parts_on, ports_on
from tenantry.controller.network.routers import networks_on

L2 = App(
    id=1,
    name="l2",
    units=(
        Units("frames", per_switch, compile_frames),
        Units("network", networks_on, compile_network),
        Units("part", parts_on, compile_part),
        Units("port", ports_on, compile_port),
    ),
    build=lambda conf: Parts(packet_in=handle),
    tables=tables.TABLES,
)
