# SPDX-License-Identifier: Apache-2.0

"""Quality of service: what a port, a floating IP or a router's gateway may send and get, and how
that is marked.

What is wanted is said in policies, lists of rules, and a policy is given to a port, a network, a
floating IP or a gateway. A network's is for all its guests' ports that have none of their own; an
external network's, for the floating IPs and the gateways there.

A limit is a meter in the switch: of a port where its packets come in (FROM_PORT_QOS) and where they
leave (TO_PORT_QOS), of what passes a gateway where addresses are translated (ROUTER_QOS). A meter
that changes is changed in its place, under the packets that pass it.

A minimum is a queue of the interface by which a host sends to a physical network, where the host
says how much that carries.
"""

from tenantry.apps.qos import flows, resources, tables
from tenantry.apps.qos.records import (
    BandwidthLimit,
    DscpMarking,
    MinimumBandwidth,
    PacketRateLimit,
)
from tenantry.apps.qos.rows import rows
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.model import ports_on
from tenantry.controller.network.routers import routers_on

QOS = App(
    id=22,
    name="qos",
    units=(
        Units("port", ports_on, flows.compile_port),
        Units("floating", flows.floating_ips_on, flows.compile_floating),
        Units("gateway", routers_on, flows.compile_gateway),
    ),
    build=lambda conf: Parts(extension=resources.extension(), rows=rows),
    records=(BandwidthLimit, PacketRateLimit, DscpMarking, MinimumBandwidth),
    tables=tables.TABLES,
)
