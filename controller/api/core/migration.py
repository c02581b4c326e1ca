# SPDX-License-Identifier: Apache-2.0

"""Ports that move: a guest that runs on another host by now has its port bound there."""

from __future__ import annotations

import logging

from neutron_lib.exceptions import NeutronException

from tenantry.controller import runtime
from tenantry.controller.api.core import port_binding
from tenantry.controller.api.kind import Kinds
from tenantry.controller.feature.effects import Origin, PortMigrated
from tenantry.controller.feature.extension import SYSTEM
from tenantry.controller.store import Draft, Store, Unavailable

LOG = logging.getLogger(__name__)


class Migration:
    """Writes what switches have seen of guests that move."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds

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
