# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/workers``: the hosts that run processes for features; what each is to run, and
what it says of that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from webob import Request
from webob.exc import HTTPBadRequest, HTTPConflict, HTTPNotFound

from tenantry.controller.api.core import worker
from tenantry.controller.api.policy import Policy
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.tenantry.waiting import hung_up
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.processes import FAILED, REFUSED, Process
from tenantry.controller.model import ProcessState, Worker
from tenantry.controller.service.desk import Desk


def routes(running: Running, policy: Policy) -> list[Route]:
    """For people: a list, and a way to take one out of it. For workers: the rest; a rule may read
    which worker it is about, as ``%(worker)s``."""

    def index(request: Request, context: Context) -> Answer:
        policy.check_any(context, "get_tenantry_workers")
        return 200, listed(running)

    def remove(request: Request, context: Context, host: str) -> Answer:
        policy.check_any(context, "delete_tenantry_worker")
        record = running.model.get(Worker, host)
        if record is not None and record.alive:
            raise HTTPConflict(f"worker {host} is alive: stop `tenantry worker` there first")
        try:
            worker.forget(running.store, host, context.actor)
        except LookupError as error:
            raise HTTPNotFound(str(error)) from error
        return 200, {"worker": host, "removed": True}

    def processes(request: Request, context: Context, host: str) -> Answer:
        policy.check(context, "get_tenantry_worker_processes", {"worker": host}.get)
        generation = request.GET.get("generation", "")
        try:
            return 200, running.workers.news(host, generation, hung_up(request))
        except LookupError as error:
            raise HTTPNotFound(str(error)) from error

    def report(request: Request, context: Context, host: str) -> Answer:
        policy.check(context, "update_tenantry_worker", {"worker": host}.get)
        said = read_json(request)
        if not isinstance(said, dict):
            raise HTTPBadRequest("an object is wanted: states, missing, answers")
        try:
            running.workers.report(host, said)
        except LookupError as error:
            raise HTTPNotFound(str(error)) from error
        except ValueError as error:
            raise HTTPBadRequest(str(error)) from error
        return 200, {}

    return [
        Route("GET", "/tenantry/v1/workers", index),
        Route("PUT", "/tenantry/v1/workers/{host}", report),
        Route("DELETE", "/tenantry/v1/workers/{host}", remove),
        Route("GET", "/tenantry/v1/workers/{host}/processes", processes),
    ]


def warnings(running: Running) -> Iterator[str]:
    """What is not as it should be, in words."""
    for record in _workers(running):
        if not record.alive:
            yield (
                f"worker {record.id} is silent: what it had is with others, if there are any; "
                f"`tenantry worker remove {record.id}`, if it does not come back"
            )
    states = running.model.all(ProcessState).values()
    for state in sorted(states, key=lambda state: state.id):
        if state.state in (FAILED, REFUSED):
            yield f"{state.id} on {state.worker} is {state.state}: {state.reason}"


def listed(running: Running) -> list[dict[str, Any]]:
    """Every worker, with what it says of its processes. What is in their files is nobody's to
    see."""
    found, now = [], time.monotonic()
    for record in _workers(running):
        desk = running.workers.desks.get(record.id, Desk())
        told = desk.told
        found.append(
            {
                "name": record.id,
                "alive": record.alive,
                "heard_seconds": round(now - desk.heard, 1),
                "processes": [
                    _shown(process, told.get(name, {}))
                    for name, process in sorted(desk.wanted.items())
                ],
            }
        )
    return found


def _workers(running: Running) -> list[Worker]:
    return sorted(running.model.all(Worker).values(), key=lambda record: record.id)


def _shown(process: Process, told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": process.name,
        "state": told.get("state"),
        "reason": told.get("reason", ""),
        "confirmed": told.get("confirmed") == process.digest,
        "pid": told.get("pid"),
        "restarts": told.get("restarts"),
        "ports": [plug.port_id for plug in process.plugs],
    }
