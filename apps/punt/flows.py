# SPDX-License-Identifier: Apache-2.0

"""A meter for each port; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.punt.tables import PuntLimitPriority
from tenantry.controller.model import Port, View
from tenantry.controller.openflow.flow import Flow, Limit, Meter
from tenantry.controller.openflow.keys import OTHERS_METER, MeterUse
from tenantry.controller.openflow.pipeline import IN_PORT, Table

PACKETS_PER_SECOND = 100
"""What a host may ask of the controller: DHCP takes four packets, a busy resolver some dozens a
second; the controller answers tens of thousands."""

BURST = 100

OTHERS_PER_SECOND = 1000
"""Of what comes from no port of a tenant: from the physical network, or out of a router."""


def compile_others(view: View, switch: int, id: str) -> Iterator[Flow | Limit]:
    """One meter for all that is nobody's."""
    yield Limit(OTHERS_METER, OTHERS_PER_SECOND, OTHERS_PER_SECOND)
    yield Flow(Table.PUNT_LIMIT, PuntLimitPriority.MISS, {}, (Meter(OTHERS_METER),))


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow | Limit]:
    """The port's meter, and the flow that uses it."""
    port = view.get(Port, port_id)
    if port is None or not port.admin_state_up:
        return
    meter = MeterUse.PUNT.meter(port.key)
    yield Limit(meter, PACKETS_PER_SECOND, BURST)
    yield Flow(Table.PUNT_LIMIT, PuntLimitPriority.PORT, {IN_PORT: port.key}, (Meter(meter),))
