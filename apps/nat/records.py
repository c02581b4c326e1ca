# SPDX-License-Identifier: Apache-2.0

"""The records of port forwardings, conntrack helpers and NDP proxies."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored


@record
class PortForwarding:
    """Ports of a floating IP that lead to ports of a tenant's address."""

    KIND: ClassVar = "port_forwarding"
    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    floatingip_id: str
    router_id: str = stored(empty="")
    protocol: str  # "tcp", "udp"
    external: tuple[int, int] = stored("external_port_range", parse.ports)  # first and last port
    internal: tuple[int, int] = stored("internal_port_range", parse.ports)  # as many, or one
    address: int = stored("internal_ip_address", parse.ip, empty=0)


@record
class ConntrackHelper:
    """A protocol whose connections open others, on the way through a router."""

    KIND: ClassVar = "conntrack_helper"
    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    router_id: str
    protocol: str
    port: int
    helper: str


@record
class NdpProxy:
    """A tenant's IPv6 address for which the router answers on the external network."""

    KIND: ClassVar = "ndp_proxy"
    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    router_id: str
    address: int = stored("ip_address", parse.ip, empty=0)
