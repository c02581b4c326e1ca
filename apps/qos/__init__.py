# SPDX-License-Identifier: Apache-2.0

"""Quality of service: what a port, a floating IP or a router's gateway may send and get, and how
that is marked.

What is wanted is said in policies, lists of rules, and a policy is given to a port, a network, a
floating IP or a gateway. A network's is for all its guests' ports that have none of their own; an
external network's, for the floating IPs and the gateways there.
"""

from tenantry.apps.qos import resources
from tenantry.apps.qos.records import (
    BandwidthLimit,
    DscpMarking,
    MinimumBandwidth,
    PacketRateLimit,
)
from tenantry.controller.feature.app import App, Parts

QOS = App(
    id=22,
    name="qos",
    build=lambda conf: Parts(extension=resources.extension()),
    records=(BandwidthLimit, PacketRateLimit, DscpMarking, MinimumBandwidth),
)
