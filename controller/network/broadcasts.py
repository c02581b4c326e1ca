# SPDX-License-Identifier: Apache-2.0

"""How much a port may say to many at once: broadcasts and multicast, held by a meter of its own.

Each of these packets is copied to the ports of a network, so one guest could keep all of them, and
the switches between, busy. Who says too much loses of its own packets, and of nobody else's.
"""

from __future__ import annotations

from tenantry.controller.model import Option, Port, View
from tenantry.controller.openflow.flow import Actions, Limit, Meter
from tenantry.controller.openflow.keys import MeterUse

PER_SECOND = "broadcasts_per_second"
"""The Option: 0, or that there is none, is no limit."""


def broadcast_limit(view: View, port: Port) -> Limit | None:
    """The meter of what a port says to many; a second's worth of it may come at once."""
    option = view.get(Option, PER_SECOND)
    if option is None or not option.value:
        return None
    return Limit(MeterUse.TO_MANY.meter(port.key), option.value, option.value)


def broadcast_meter(view: View, port: Port) -> Actions:
    """What holds it to that: the first of the actions on such packets."""
    limit = broadcast_limit(view, port)
    return (Meter(limit.meter),) if limit else ()
