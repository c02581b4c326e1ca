# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/counters``: what ports send, and whether it is as themselves."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tenantry.apps.l2.tables import ClassifyPriority
from tenantry.controller.feature.routes import Counted, Route, Running
from tenantry.controller.model import Port
from tenantry.controller.openflow.pipeline import Table


def counters(running: Running, switch: str | None = None) -> list[dict[str, Any]]:
    """What each port has sent since its flows were installed, in packets: all, those that the whole
    network hears (a storm shows here first), and those that were for the controller. A port is an
    ``impostor`` if it has sent something, but never by one of its own addresses: port security has
    dropped all of it.

    Errors: LookupError if there is no such switch, Silent if one does not answer.
    """
    found = []
    for counted in running.counted((Table.CLASSIFY, Table.PUNT_LIMIT, Table.IDENTITY), switch):
        by_port: dict[str, Counter[str]] = {}
        for count in counted:
            if count.kind == "port":
                by_port.setdefault(count.id, Counter())[_what(count)] += count.packets
        for port_id, counts in by_port.items():
            port = running.view.get(Port, port_id)
            if port is not None and running.sees("port", port_id):
                sent = counts["unicast"] + counts["broadcasts"]
                found.append(
                    {
                        **running.shown(port),
                        "packets": sent,
                        "broadcasts": counts["broadcasts"],
                        "punted": counts["punted"],
                        "impostor": bool(port.port_security and sent and not counts["identified"]),
                    }
                )
    return sorted(found, key=lambda port: (-port["broadcasts"], port["id"]))


def _what(count: Counted) -> str:
    """What a flow of a port counts; that for group addresses is the more special one."""
    if count.table == Table.PUNT_LIMIT.id:
        return "punted"
    if count.table == Table.IDENTITY.id:
        return "identified"
    return "broadcasts" if count.priority == ClassifyPriority.BROADCAST else "unicast"


ROUTES = (Route("counters", counters, ("switch",), waits=True),)
