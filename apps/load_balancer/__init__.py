# SPDX-License-Identifier: Apache-2.0

"""Load balancers: an address that stands for many who answer there.

People ask for them by Octavia's API. Connections that a switch can judge by their ports are
balanced where they start, on the client's own switch; what is to be read is read by a proxy.
"""

from tenantry.apps.load_balancer import records, resources
from tenantry.controller.feature.app import App, Parts

LOAD_BALANCER = App(
    id=29,
    name="load_balancer",
    records=records.STORED,
    build=lambda conf: Parts(extension=resources.extension()),
)
