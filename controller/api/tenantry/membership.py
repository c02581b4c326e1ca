# SPDX-License-Identifier: Apache-2.0

"""Which hosts there are, as the store's agents say: who becomes one, who is waited for after a
start, who is forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.api.core import agent
from tenantry.controller.api.kind import Kinds
from tenantry.controller.model import BANDWIDTH_INTERFACES, BANDWIDTHS
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.service.start_gate import START_SECONDS
from tenantry.controller.store import Commit, Store, Unavailable
from tenantry.controller.switch.host_report import JOINED, HostReport

LOG = logging.getLogger(__name__)

QUEUEING = "system"
"""The datapath that has queues: a userspace datapath sends all alike."""


class Membership:
    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds

    def joined(self) -> list[agent.Remembered]:
        """The hosts that have connected to us, and have not been removed since."""
        known = agent.remembered(self._store)
        return [each for each in known if each.connection.startswith(JOINED)]

    def note(self, words: HostReport) -> None:
        """A host says something new of itself. It is an agent as soon as it has a switch: nobody is
        remembered for having knocked. Errors: Unavailable."""
        if not words.datapaths and self._store.owner(agent.of_host(words.host)) is None:
            return
        configurations: dict[str, Any] = {
            "tunnel_address": words.tunnel_address,
            "gateway_priority": words.gateway_priority,
            "bridge_mappings": dict(words.bridge_mappings),
            "connection": words.remote,
            "datapaths": [dpid_text(dpid) for dpid in words.datapaths],
        }
        if words.integration_bridge:
            configurations["integration_bridge"] = words.integration_bridge
            configurations["datapath_type"] = words.datapath_type
        if words.datapath_type == QUEUEING and words.bandwidths:
            said = words.bandwidths.items()
            configurations[BANDWIDTHS] = {wire: {"egress": kbps} for wire, (_, kbps) in said}
            configurations[BANDWIDTH_INTERFACES] = {wire: name for wire, (name, _) in said}
        agent.report(
            self._store,
            self._kinds,
            host=words.host,
            availability_zone=words.availability_zone,
            configurations=configurations,
        )

    def look_back(self, heard_of: Callable[[str], object]) -> None:
        """Once after a start, when hosts had their time to come back: the next start does not wait
        for those that nobody has heard of."""
        runtime.sleep(START_SECONDS)
        absent = sorted(e.host for e in self.joined() if e.awaited and not heard_of(e.host))
        if absent:
            LOG.warning("hosts that are not back: %s", ", ".join(absent))
            try:
                agent.await_no_longer(self._store, self._kinds, absent)
            except Unavailable as error:
                LOG.warning("the next start waits for them again: %s", error)

    def on_forgotten(self, forget: Callable[[str], None]) -> None:
        """Call ``forget`` with every host whose agent somebody deletes."""

        def committed(commit: Commit) -> None:
            forgotten: set[str] = set()
            for change in commit.changes:
                if change.kind == agent.AGENT and change.before and change.after is None:
                    forgotten.add(change.before["host"])
            for host in sorted(forgotten):
                forget(host)

        self._store.subscribe(committed)
