# SPDX-License-Identifier: Apache-2.0

"""Ports that move: a guest that runs on another host by now has its port bound there."""

from __future__ import annotations

import logging

from neutron_lib.api.definitions.portbindings import HOST_ID
from neutron_lib.exceptions import NeutronException

from tenantry.controller import runtime
from tenantry.controller.api.core import port_binding
from tenantry.controller.api.core.port import DEFERRED, IP_ALLOCATION
from tenantry.controller.api.kind import Kinds
from tenantry.controller.feature.effects import Origin, PortMigrated
from tenantry.controller.feature.extension import SYSTEM
from tenantry.controller.model import Binding
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.store import Body, Draft, Store, Unavailable

LOG = logging.getLogger(__name__)


class Migration(Follower):
    """Writes what switches have seen of guests that move; and of those that are plugged in before
    somebody has said where, if they have no address until then."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds

    def passed(self, passed: Passed) -> None:
        for change in passed.changes:
            binding = change.record
            port = self._store.get("port", str(change.id)) if isinstance(binding, Binding) else None
            if isinstance(binding, Binding) and port is not None and _waits(port):
                runtime.spawn(self._place, binding.id, binding.host)

    def _place(self, port_id: str, host: str) -> None:
        def change(draft: Draft) -> None:
            port = draft.get("port", port_id)
            if port is not None and _waits(port):
                self._kinds["port"].update(draft, SYSTEM, port, {HOST_ID: host})

        try:
            self._store.write(change, SYSTEM.actor)
        except (NeutronException, Unavailable) as error:
            LOG.warning("port %s gets no address on %s: %s", port_id, host, error)

    def arrived(self, arrived: PortMigrated, origin: Origin) -> None:
        """A guest runs on another host. Never waits: writing does."""
        runtime.spawn(self._bind, arrived)

    def _bind(self, arrived: PortMigrated) -> None:
        def change(draft: Draft) -> None:
            port = draft.get("port", arrived.port_id)
            if port is not None:
                port_binding.activate(self._kinds, draft, SYSTEM, port, arrived.host)

        try:
            self._store.write(change, SYSTEM.actor)
        except (NeutronException, Unavailable) as error:
            LOG.warning("port %s stays where it is: %s", arrived.port_id, error)


def _waits(port: Body) -> bool:
    """Whether a port has no address until it is somewhere, and is nowhere yet."""
    return port.get(IP_ALLOCATION) == DEFERRED and not port[HOST_ID]
