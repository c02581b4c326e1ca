# SPDX-License-Identifier: Apache-2.0

"""Records of local IPs."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored


@record
class LocalIp:
    """An address that leads, on each host, to a port there."""

    KIND: ClassVar = "local_ip"
    INDEXES: ClassVar[Indexes] = (("network_id",), ("local_port_id",))

    id: str
    key: int  # small, unique among routers' too, permanent: its zone follows from it
    network_id: str
    local_port_id: str  # whose the address is, where no associated port is
    address: int = stored("local_ip_address", parse.ip)
    ip_mode: str  # "translate" or "passthrough"


@record
class LocalIpAssociation:
    """A port that is behind a local IP, on its own host."""

    KIND: ClassVar = "port_association"
    INDEXES: ClassVar[Indexes] = (("local_ip_id",), ("port_id",))

    id: str
    local_ip_id: str
    port_id: str = stored("fixed_port_id")
    address: int = stored("fixed_ip", parse.ip)
