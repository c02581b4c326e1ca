# SPDX-License-Identifier: Apache-2.0

"""What is ours in every host's OVSDB, whatever features want there: the integration bridge, the
service port, and the patch ports to bridges that lead to physical networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from tenantry.controller.feature.ovsdb_rows import BridgeRow, InterfaceRow
from tenantry.controller.openflow.oxm import value_text
from tenantry.controller.packets.own_addresses import SERVICE_PORT_MAC, SERVICE_PORT_MTU
from tenantry.controller.switch.inventory import PHYSICAL_NETWORK, SERVICE
from tenantry.controller.switch.ovsdb_tables import controller_columns

MAX_BACKOFF = 1000
"""Milliseconds between two tries of Open vSwitch to reach us: we are found within a second."""


@dataclass(frozen=True)
class IntegrationBridge:
    """The bridge to make where it is missing, and to keep as it must be."""

    name: str
    datapath_type: str  # "system" or "netdev"; "" is what the host can do
    service_port: str = ""  # an interface to make there, if the host is ours; "" makes none


def bridge_row(
    bridge: IntegrationBridge, there: BridgeRow | None, store: str, target: str
) -> BridgeRow:
    """What the integration bridge must be: connected to us as ``target``, e.g. tcp:127.0.0.1:6653,
    never through itself, and found again within a second."""
    type_there = there.datapath_type if there else "system"
    controller = {
        "target": target,
        "connection_mode": "out-of-band",
        "max_backoff": MAX_BACKOFF,
    }
    return BridgeRow(
        bridge.name,
        bridge.datapath_type or type_there,
        store,
        frozenset({controller_columns(controller)}),
    )


def service_port_row(bridge: IntegrationBridge) -> InterfaceRow:
    return InterfaceRow(
        bridge.service_port,
        bridge.name,
        "internal",
        external_ids=((SERVICE, "true"),),
        mac=value_text("eth_src", SERVICE_PORT_MAC),
        mtu=SERVICE_PORT_MTU,
    )


def patch_rows(bridge: IntegrationBridge, network: str, to: str) -> Iterator[InterfaceRow]:
    """The two ends of the way to the bridge ``to``, which leads to a physical network."""
    tag = blake2b(network.encode(), digest_size=5).hexdigest()
    ours, theirs = f"to-{tag}", f"of-{tag}"
    leads = ((PHYSICAL_NETWORK, network),)
    yield InterfaceRow(ours, bridge.name, "patch", (("peer", theirs),), leads)
    yield InterfaceRow(theirs, to, "patch", (("peer", ours),))
