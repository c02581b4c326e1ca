# SPDX-License-Identifier: Apache-2.0

"""A meter for each port; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.controller.model import Port, View
from tenantry.controller.network.broadcasts import broadcast_limit
from tenantry.controller.openflow.flow import Limit


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Limit]:
    """The meter of what a port says to many; the flow that uses it is l2's."""
    port = view.get(Port, port_id)
    limit = broadcast_limit(view, port) if port is not None and port.admin_state_up else None
    if limit is not None:
        yield limit
