# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1``: what Neutron has no words for. How the controller stands, and how far what was
asked for has come about; which flows are wanted beside which are installed is in ``verify.py``.

Every answer is JSON; ``tenantry status|flows|diff|verify`` shows it to people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tenantry.controller.api import wsgi
from tenantry.controller.api.access import Access
from tenantry.controller.api.tenantry import hosts, permissions, reachability, workers
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.tenantry.serving import served
from tenantry.controller.api.tenantry.verify import SETTLE_SECONDS, diff, flows, verify
from tenantry.controller.api.tenantry.waiting import Waiting, wait_until
from tenantry.controller.feature.routes import Route
from tenantry.controller.model import Port, Switch
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.sockets import descriptors

WAIT_SECONDS = 3600.0
"""The longest that ``wait`` may be told to wait."""


def routes(
    running: Running, features: Iterable[Route], access: Access, most_waiting: int
) -> list[wsgi.Route]:
    """What :func:`tenantry.controller.api.application.application` serves beside Neutron's routes:
    the core's, and those of ``features``. No more than ``most_waiting`` clients may wait, for
    something to happen or for switches to answer."""
    waiting = Waiting(most_waiting)

    return [
        *served((*ROUTES, *permissions.routes(access)), waiting, running, access),
        *served(features, waiting, running, access),
    ]


def status(running: Running) -> dict[str, Any]:
    """Revisions, switches, hosts, ports, and what is wrong if anything is."""
    expires, api_expires = running.certificate_expires(), running.api_expires()
    view, connections = running.view, running.progress.connections
    return {
        "revision": running.store.head,
        "realised": running.status.revision(),
        "settled": running.status.settled() and not running.status.absent(),
        "absent": running.status.absent(),
        "waiting_for": running.inventory.waiting_for(),
        "left_alone": sorted(running.inventory.left_alone.values()),
        "failed": {str(unit): error for unit, error in running.engine.failed.items()},
        "switches": [switch_status(running, switch) for switch in running.status.switches()],
        "service_port": running.service_port.state,
        "probes": {
            "asked": len(running.prober),
            "dead": running.prober.dead,
            "under_way": running.prober.under_way,
            "most": running.prober.most,
        },
        "api": {**running.api, "certificate_expires": _date(api_expires)},
        "descriptors": descriptors.limit(),
        "connections": {
            kind: {"connected": len(clients), "most": clients.most}
            for kind, clients in running.clients.items()
        },
        "warnings": [
            *reachability.warnings(view, connections, expires, api_expires),
            *workers.warnings(running),
        ],
        "certificate_expires": _date(expires),
        "hosts": hosts.listed(running),
        "workers": workers.listed(running),
        "ports": [
            running.shown(port)
            for port in running.model.all(Port).values()
            if running.sees("port", port.id)
        ],
    }


def _date(when: datetime | None) -> str | None:
    return when.isoformat(timespec="seconds") if when else None


def switch_status(running: Running, switch: Switch) -> dict[str, Any]:
    """What is told of a switch."""
    reconciler = running.progress.reconcilers.get(switch.id)
    connection = running.progress.connections.get(switch.id)
    wanted = running.engine.wanted.get(switch.id)
    return {
        "id": dpid_text(switch.id),
        "name": switch.name,
        "host": switch.host,
        "connected": connection is not None,
        "peer": connection.peer if connection else None,
        "realised": running.progress.confirmed(switch.id).revision,
        "flows": len(wanted.flows) if wanted else 0,
        "added": reconciler.sent.added if reconciler else 0,
        "deleted": reconciler.sent.deleted if reconciler else 0,
        "audits": reconciler.audits if reconciler else 0,
        "repaired": reconciler.repaired if reconciler else 0,
        "refused": [
            {"unit": refusal.unit, "error": refusal.error}
            for refusal in (reconciler.refused if reconciler else ())
        ],
    }


def engine(running: Running) -> dict[str, Any]:
    """Units and reads, what ran why and for how long, the last passes, the audits."""
    return {
        "nodes": [
            {"app": app, "kind": kind, "count": count, "reads": reads}
            for (app, kind), (count, reads) in sorted(running.engine.size().items())
        ],
        "runs": [
            {"app": app, "kind": kind, "cause": cause, "count": runs.count, "seconds": runs.seconds}
            for (app, kind, cause), runs in sorted(running.engine.runs.items())
        ],
        "passes": [done._asdict() for done in running.loop.passes],
        "audits": running.audit.audits,
        "differences": running.audit.differences,
    }


def wait(
    running: Running,
    port: str | None = None,
    revision: str | None = None,
    seconds: str | None = None,
    gone: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Wait until a port is ACTIVE, or until all switches have confirmed a revision (the newest, if
    none is named) and none is ``absent``, but no longer than ``seconds``, and not for somebody who
    is ``gone``. LookupError if there is no such port, ValueError if a number is none."""
    longest = min(_number("seconds", seconds, SETTLE_SECONDS), WAIT_SECONDS)
    if port is not None:
        port_id = port
        if not running.sees("port", port_id) or running.store.get("port", port_id) is None:
            raise LookupError(f"there is no port {port_id}")
        active = lambda: running.status.port(port_id) == "ACTIVE"  # noqa: E731
        done = wait_until(running, active, longest, gone)
        return {"ok": done, "port": port_id, "status": running.status.port(port_id)}
    wanted = int(_number("revision", revision, running.store.head))
    realised = lambda: running.status.revision() >= wanted and not running.status.absent()  # noqa: E731
    done = wait_until(running, realised, longest, gone)
    return {
        "ok": done,
        "revision": wanted,
        "realised": running.status.revision(),
        "absent": running.status.absent(),
    }


def _number(name: str, text: str | None, default: float) -> float:
    """ValueError, with words, if it is no number."""
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, not {text}")
    return number


ROUTES = (
    Route("status", status),
    Route("flows", flows, ("switch", "app", "object"), waits=True),
    Route("diff", diff, ("switch",), waits=True),
    Route("verify", verify, waits=True),
    Route("engine", engine),
    Route("wait", wait, ("port", "revision", "seconds"), waits=True, gone=True),
)
