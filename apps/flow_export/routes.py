# SPDX-License-Identifier: Apache-2.0

"""What the numbers in IPFIX records are called."""

from __future__ import annotations

from typing import Any

from tenantry.controller.feature.routes import Route, Running
from tenantry.controller.model import Port


def observation_points(running: Running, id: str | None = None) -> list[dict[str, Any]]:
    """The ports that records are about, or the one of this number, of those that the caller sees.
    Errors: ValueError, if it is no number; LookupError, if there is none."""
    if id is not None and not (id.isascii() and id.isdecimal()):
        raise ValueError(f"id must be a number, not {id}")
    view = running.view
    ids = view.ids(Port) if id is None else view.ids(Port, key=int(id))
    found = [port for each in sorted(ids) if (port := view.get(Port, each))]
    seen = [port for port in found if running.sees("port", port.id)]
    if id is not None and not seen:
        raise LookupError(f"there is no observation point {id}")
    return [
        {
            "id": port.key,
            "port_id": port.id,
            "name": port.name,
            "project_id": port.project_id,
            "network_id": port.network_id,
        }
        for port in seen
    ]


ROUTES = (Route("observation-points", observation_points, ("id",)),)
