# SPDX-License-Identifier: Apache-2.0

"""What has become of taps: ACTIVE if copies arrive, else DOWN."""

from __future__ import annotations

from neutron_lib.constants import ACTIVE, DOWN

from tenantry.apps.tap.records import TapService
from tenantry.controller.feature.routes import Running
from tenantry.controller.model import Binding
from tenantry.controller.network.tunnels import endpoint
from tenantry.controller.store import Body


def _status(up: bool) -> dict[str, str]:
    return {"status": ACTIVE if up else DOWN}


def service_status(running: Running, body: Body) -> dict[str, str]:
    """Whether its port is wired."""
    return _status(running.port_status(body["port_id"]) == ACTIVE)


def flow_status(running: Running, body: Body) -> dict[str, str]:
    """Whether both ports are, and there is a way from one to the other."""
    service = running.view.get(TapService, body["tap_service_id"])
    ports = (body["source_port"], service.port_id) if service else ()
    if not ports or any(running.port_status(id) != ACTIVE for id in ports):
        return _status(False)
    switches = {at.switch for id in ports if (at := running.view.get(Binding, id))}
    return _status(len(switches) == 1 or all(endpoint(running.view, switch) for switch in switches))
