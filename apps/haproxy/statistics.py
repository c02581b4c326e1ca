# SPDX-License-Identifier: Apache-2.0

"""What HAProxy has counted of a listener: its frontend, as HAProxy itself tells it (Management
Guide, 9.1). It begins anew when the proxy does: when it is told something new, or moves."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO

from tenantry.apps.haproxy.processes import STATISTICS, process_name
from tenantry.apps.load_balancer.records import Listener, in_switch, needs_proxy
from tenantry.controller.feature.routes import Running, Silent
from tenantry.controller.store import Body

COLUMNS = {
    "bytes_in": "bin",
    "bytes_out": "bout",
    "active_connections": "scur",
    "total_connections": "stot",
    "request_errors": "ereq",
}
"""By Octavia's name: HAProxy's."""


def of_listener(running: Running, body: Body) -> Mapping[str, int]:
    """Nothing, if no proxy does it, or if that cannot be asked now."""
    view, id = running.view, body["id"]
    listener = view.get(Listener, id)
    if listener is None or in_switch(view, id):
        return {}
    return frontend(_asked(running, listener.load_balancer_id), id)


def of_load_balancer(running: Running, body: Body) -> Mapping[str, int]:
    """All that its proxy does, likewise."""
    if not needs_proxy(running.view, body["id"]):
        return {}
    table = _asked(running, body["id"])
    found = [frontend(table, id) for id in running.view.ids(Listener, load_balancer_id=body["id"])]
    return {name: sum(each.get(name, 0) for each in found) for name in COLUMNS}


def _asked(running: Running, load_balancer_id: str) -> str:
    try:
        return running.ask_process(process_name(load_balancer_id), STATISTICS)
    except Silent:
        return ""


def frontend(table: str, name: str) -> Mapping[str, int]:
    """What a table of statistics, in CSV, says of a frontend."""
    for row in csv.DictReader(StringIO(table.removeprefix("# "))):
        if (row["pxname"], row["svname"]) == (name, "FRONTEND"):
            return {ours: int(row[its] or 0) for ours, its in COLUMNS.items()}
    return {}


OBSERVED = {"listener/stats": of_listener, "loadbalancer/proxied": of_load_balancer}
