# SPDX-License-Identifier: Apache-2.0

"""Flows that take requests for metadata to the service port."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import View
from tenantry.controller.openflow.flow import Flow, Goto, Match
from tenantry.controller.openflow.pipeline import IN_PORT, TENANT, Table
from tenantry.controller.packets.frames import IPV4, IPV6, TCP
from tenantry.controller.packets.own_addresses import METADATA_ADDRESSES

HTTP = 80


def compile_requests(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Whatever network they are on: the answer depends on the port."""
    for version, address in METADATA_ADDRESSES:
        to_metadata: Match = (
            {"eth_type": IPV4, "ipv4_dst": address}
            if version == 4
            else {"eth_type": IPV6, "ipv6_dst": address}
        )
        yield Flow(
            Table.TRAP,
            TrapPriority.TRAPPED,
            {IN_PORT: TENANT, "ip_proto": TCP, "tcp_dst": HTTP, **to_metadata},
            (Goto(Table.SERVICE),),
        )
