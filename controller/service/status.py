# SPDX-License-Identifier: Apache-2.0

"""What has become of what was asked for: the truth about ports, networks and switches."""

from __future__ import annotations

from neutron_lib.constants import DEVICE_OWNER_FLOATINGIP, DEVICE_OWNER_LOCAL_IP

from tenantry.controller.engine.engine import Engine
from tenantry.controller.model import Agent, Binding, Host, Port, Switch, View
from tenantry.controller.model.binding import switch_text
from tenantry.controller.network.records import Router
from tenantry.controller.network.tunnels import Unreachable, unreachable
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.service.inbox import Inbox
from tenantry.controller.service.progress import Progress
from tenantry.controller.switch.inventory import Inventory

_ADDRESSES = (DEVICE_OWNER_FLOATINGIP, DEVICE_OWNER_LOCAL_IP)
"""Owners of ports that stand for an address alone."""


class Status(Follower):
    """Reads; changes nothing."""

    def __init__(
        self, engine: Engine, inbox: Inbox, inventory: Inventory, progress: Progress
    ) -> None:
        self._engine = engine
        self._model = engine.model
        self._inbox = inbox
        self._inventory = inventory
        self._progress = progress
        self._apart: dict[str, Unreachable | None] = {}  # by network, as of the last pass

    def passed(self, passed: Passed) -> None:
        self._apart.clear()

    def port(self, port_id: str) -> str:
        """ACTIVE once the switch has confirmed the pass that wired the port; BUILD before that;
        ERROR if the switch refused its flows; DOWN if it is not plugged in or switched off. A
        router's port is on every switch, so it is as its router; that of a floating IP or a
        local IP has none (N/A)."""
        port, binding = self._model.get(Port, port_id), self._model.get(Binding, port_id)
        if port is not None and port.device_owner in _ADDRESSES:
            return "N/A"
        if port is not None and port.router_id:
            router = self._model.get(Router, port.router_id)
            up = router is not None and router.admin_state_up and port.admin_state_up
            return "ACTIVE" if up else "DOWN"
        if port is None or binding is None or not port.admin_state_up:
            return "DOWN"
        if self.cut_off(binding):
            return "ERROR"
        reconciler = self._progress.reconcilers.get(binding.switch)
        if reconciler and any(port_id in refusal.unit for refusal in reconciler.refused):
            return "ERROR"
        confirmed = self._progress.confirmed(binding.switch).generation
        return "ACTIVE" if confirmed >= self._progress.wired[port_id] else "BUILD"

    def cut_off(self, binding: Binding) -> bool:
        """Whether a port is on a host that does not reach the one of its network's first port.
        (Bridges of one host may be joined by a wire that nobody has told us of.)"""
        id = binding.network_id
        if id not in self._apart:
            self._apart[id] = unreachable(View(self._model), id)
        parts = self._apart[id]
        if parts is None or binding.switch not in parts.others:
            return False
        first = self._model.get(Switch, parts.first)
        return first is not None and first.host != binding.host

    def network(self, network_id: str, up: bool) -> str:
        """ACTIVE once every switch that has the network has confirmed its newest change, as when
        none has it; BUILD before that; DOWN if it is not ``up``, but switched off."""
        if not up:
            return "DOWN"
        changed = self._progress.wired.get(network_id, 0)
        switches = self._model.distinct(Binding, ("network_id", "switch"), (network_id,))
        behind = (self._progress.confirmed(dpid).generation < changed for dpid in switches)
        return "BUILD" if any(behind) else "ACTIVE"

    def revision(self) -> int:
        """The newest commit that every connected switch has confirmed."""
        progress = self._progress
        switches = [dpid for dpid in self._engine.wanted if dpid in progress.connections]
        confirmed = [progress.confirmed(dpid).revision for dpid in switches]
        return min(confirmed, default=progress.target.revision)

    def absent(self) -> list[str]:
        """The switches that should hold flows and are not connected, in words: whatever they hold,
        what is asked for has not come about there."""
        gone = self._engine.wanted.keys() - self._progress.connections.keys()
        silent = {agent.host for agent in self._model.all(Agent).values()}
        silent -= {host.id for host in self._model.all(Host).values()}
        return sorted(
            [
                *(switch_text(self._model, dpid) for dpid in gone),
                *self._inventory.unseen(),
                *(f"the one on {host}" for host in silent),
            ]
        )

    def settled(self) -> bool:
        """Nothing is under way: all that happened is computed, and confirmed where connected."""
        progress = self._progress
        return not (len(self._inbox) or progress.computing) and all(
            dpid in progress.reconcilers and progress.realised.get(dpid) == progress.target
            for dpid in self._engine.wanted
            if dpid in progress.connections
        )

    def wait_settled(self, seconds: float) -> bool:
        """Wait until :meth:`settled`; False if that takes longer than ``seconds``."""
        return self._progress.wait_until(self.settled, seconds)

    def switches(self) -> list[Switch]:
        """The switches that are known, by name."""
        return sorted(self._model.all(Switch).values(), key=lambda switch: (switch.name, switch.id))
