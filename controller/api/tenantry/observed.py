# SPDX-License-Identifier: Apache-2.0

"""What resources show that nobody wrote: where they are, and what has become of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from neutron_lib.api.definitions.portbindings import VIF_TYPE_BINDING_FAILED, VIF_TYPE_OVS

from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.feature.routes import Observe
from tenantry.controller.model import Binding, Switch
from tenantry.controller.store import Body
from tenantry.controller.switch.hosts import Hosts


class Observed:
    """The core's, and the features' own."""

    def __init__(
        self, running: Running, hosts: Hosts, features: Iterable[Mapping[str, Observe]]
    ) -> None:
        """``features``: by kind of resource."""
        self._running = running
        self._hosts = hosts
        core: dict[str, Observe] = {
            "network": lambda _, body: {
                "status": self._running.status.network(body["id"], body["admin_state_up"])
            },
            "port": lambda _, body: self._port(body),
            "agent": lambda _, body: self._agent(body["host"]),
        }
        self._by_kind: dict[str, list[Observe]] = {}
        for each in (core, *features):
            for kind, observe in each.items():
                self._by_kind.setdefault(kind, []).append(observe)

    def __call__(self, kind: str, body: Body) -> Mapping[str, Any]:
        seen: dict[str, Any] = {}
        for observe in self._by_kind.get(kind, ()):
            seen |= observe(self._running, body)
        return seen

    def _port(self, body: Body) -> dict[str, Any]:
        observed: dict[str, Any] = {"status": self._running.status.port(body["id"])}
        binding = self._running.model.get(Binding, body["id"])
        if binding is not None and not body["binding:host_id"]:
            observed["binding:host_id"] = binding.host
        if binding is not None:
            cut_off = self._running.status.cut_off(binding)
            observed["binding:vif_type"] = VIF_TYPE_BINDING_FAILED if cut_off else VIF_TYPE_OVS
        return observed

    def _agent(self, host: str) -> dict[str, Any]:
        """Whether a host is there, and since and until when it was."""
        database = self._hosts.of(host)
        if database is None:
            return {"alive": False}
        switches = self._running.model.ids(Switch, ("host",), (host,))
        alive = database.alive and not switches.isdisjoint(self._running.progress.connections)
        seen = datetime.now(timezone.utc) if alive else database.seen
        return {
            "alive": alive,
            "heartbeat_timestamp": _shown(seen),
            "started_at": _shown(database.since),
        }


def _shown(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%d %H:%M:%S") if time else None
