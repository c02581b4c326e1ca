# SPDX-License-Identifier: Apache-2.0

"""Whether what a proxy is to do has come about: its worker has confirmed what is wanted now."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.apps.haproxy.processes import process_name
from tenantry.apps.load_balancer.records import (
    PROXY_STATUS,
    Listener,
    in_switch,
    needs_proxy,
)
from tenantry.controller.feature.processes import FAILED, READY, REFUSED
from tenantry.controller.feature.routes import Observe, Running
from tenantry.controller.store import Body


def of_load_balancer(running: Running, body: Body) -> Mapping[str, str]:
    return _of(running, body["id"]) if needs_proxy(running.view, body["id"]) else {}


def of_listener(running: Running, body: Body) -> Mapping[str, str]:
    view, id = running.view, body["id"]
    listener = view.get(Listener, id)
    if listener is None or not listener.admin_state_up or in_switch(view, id):
        return {}
    return _of(running, listener.load_balancer_id)


def _of(running: Running, load_balancer_id: str) -> Mapping[str, str]:
    """Nothing, if it has: then switches decide."""
    state = running.process_state(process_name(load_balancer_id))
    if state == READY:
        return {}
    failed = state in (FAILED, REFUSED)
    return {PROXY_STATUS: "ERROR" if failed else "PENDING_UPDATE"}


OBSERVED: Mapping[str, Observe] = {"loadbalancer": of_load_balancer, "listener": of_listener}
