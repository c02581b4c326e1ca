# SPDX-License-Identifier: Apache-2.0

"""Which ports a project may tap, and tap to: its own."""

from __future__ import annotations

from neutron_lib.exceptions import PortNotFound, taas

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Maker, Reader
from tenantry.controller.store import Body


def own_port(ports: Maker, reader: Reader, context: Context, id: str, project_id: str) -> Body:
    """A project's port. Errors: PortNotFound if the caller sees none; PortDoesNotBelongToTenant if
    it is another's, though the network, or all that the caller may do, would show it."""
    port = reader.get("port", id)
    if port is None or not ports.may_see(reader, context, port):
        raise PortNotFound(port_id=id)
    if port["project_id"] != project_id:
        raise taas.PortDoesNotBelongToTenant()
    return port
