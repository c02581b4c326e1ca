# SPDX-License-Identifier: Apache-2.0

"""What the log says of the model's changes: ports that came up, ports that went, gateways that
moved. A few are named; of many at once there is one line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import cast

from tenantry.controller import runtime
from tenantry.controller.feature.app import Unit
from tenantry.controller.log import called
from tenantry.controller.model import Agent, Binding, Model, Network, Port, Switch, View
from tenantry.controller.model.binding import dpid_text, switch_text
from tenantry.controller.network.records import HeldDown, Router
from tenantry.controller.network.routers import active, gateway
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.reconcile import Push

LOG = logging.getLogger(__name__)

FEW = 3
"""So many of a kind, at one moment and in one place, get a line each."""


_LOST = "is no gateway for now: by their tunnels, its peers have lost it"
_BACK = "may be a gateway again"


class Journal(Follower):
    """Told of every pass, and of what switches have confirmed."""

    def __init__(
        self,
        model: Model,
        status: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``status``: of a port."""
        self._model = model
        self._status = status
        self._clock = clock
        self._bound: dict[str, Binding] = {}
        # By switch: its ports that are not ACTIVE yet, with the pass that wired them, and when.
        self._coming: dict[int, dict[str, tuple[int, float]]] = {}
        self._gateways: dict[str, int] = {}

    def passed(self, passed: Passed) -> None:
        changes, generation = passed.changes, passed.generation
        now, gone = self._clock(), dict[int, list[Binding]]()
        routers: dict[str, None] = {}
        for change in changes:
            if change.type is Binding:
                left = self._follow(str(change.id), change.record, (generation, now))
                if left is not None:
                    gone.setdefault(left.switch, []).append(left)
            elif change.type is Router:
                routers[str(change.id)] = None
            elif change.type in (Agent, HeldDown, Switch):
                routers |= dict.fromkeys(map(str, self._model.all(Router)))
                if change.type is HeldDown:
                    where = switch_text(self._model, cast("int", change.id))
                    LOG.info("%s %s", where, _BACK if change.record is None else _LOST)
        for switch, ports in gone.items():
            self._tell_gone(switch, ports)
        self._follow_gateways(routers)

    def _follow(self, id: str, after: object, wired: tuple[int, float]) -> Binding | None:
        """Keep in mind where a port is; where it was, if it is there no longer."""
        before = self._bound.pop(id, None)
        if isinstance(after, Binding):
            self._bound[id] = after
            if before is not None and _place(before) == _place(after):
                return None
        if before is not None:
            self._coming.get(before.switch, {}).pop(id, None)
        if isinstance(after, Binding):
            self._coming.setdefault(after.switch, {})[id] = wired
            return None
        return before if self._model.get(Port, id) is not None else None

    def confirmed(self, dpid: int, generation: int) -> None:
        """A switch has confirmed all passes up to this one."""
        coming = self._coming.get(dpid)
        if not coming:
            return
        here = {id: since for id, (wired, since) in coming.items() if wired <= generation}
        for id in here:
            del coming[id]
        up = {id: since for id, since in here.items() if self._status(id) == "ACTIVE"}
        where = switch_text(self._model, dpid)
        if len(up) > FEW:
            late = max(self._after(since) for since in up.values())
            LOG.info("%s: %s ports are ACTIVE, the last after %s ms", where, _many(up), late)
            return
        for id, since in up.items():
            interface, after = self._bound[id].interface, self._after(since)
            LOG.info(
                "%s is ACTIVE at %s of %s after %s ms", self._port(id), interface, where, after
            )

    def connected(self, connection: Connection) -> None:
        name = self._switch(connection.dpid)
        LOG.info("switch %s is connected from %s", name, connection.peer)

    def disconnected(self, dpid: int) -> None:
        LOG.info("switch %s is lost; it goes on with the flows it has", self._switch(dpid))

    def mended(self, dpid: int, push: Push, units: Collection[Unit]) -> None:
        """An audit has put back flows of these units, and removed what nobody wants."""
        whose = sorted({f"{unit.app.name} of {self._object(unit)}" for unit in units})
        more = f" and {len(whose) - FEW:,} more" if len(whose) > FEW else ""
        LOG.warning(
            "%s: somebody else changed flows: %d are put back%s, %d removed that are not ours",
            switch_text(self._model, dpid),
            push.added,
            f" ({', '.join(whose[:FEW])}{more})" if whose else "",
            push.deleted,
        )

    def _object(self, unit: Unit) -> str:
        """What a unit is about: its id begins with that of something that has a name."""
        id = unit.id.partition(" ")[0].partition("/")[0]
        if self._model.get(Port, id) is not None:
            return self._port(id)
        if self._model.get(Router, id) is not None:
            return self._router(id)
        network = self._model.get(Network, id)
        if network is not None:
            return called("network", network.name, id)
        return f"{unit.units.kind} {unit.id}".rstrip()

    def _switch(self, dpid: int) -> str:
        text, id = switch_text(self._model, dpid), dpid_text(dpid)
        return id if text == id else f"{text} ({id})"

    def _after(self, since: float) -> str:
        """Milliseconds."""
        return f"{(self._clock() - since) * 1000:,.0f}"

    def _tell_gone(self, switch: int, ports: list[Binding]) -> None:
        where = switch_text(self._model, switch)
        if len(ports) > FEW:
            LOG.info("%s: %s ports are DOWN: their interfaces are gone", where, f"{len(ports):,}")
            return
        for binding in ports:
            LOG.info(
                "%s is DOWN: %s of %s is gone", self._port(binding.id), binding.interface, where
            )

    def _follow_gateways(self, routers: Iterable[str]) -> None:
        view = View(self._model)
        moved: dict[tuple[int, int], list[str]] = {}
        for id in runtime.paced(routers):
            before = self._gateways.pop(id, None)
            at = active(view, id) if gateway(view, id) is not None else None
            if at is not None:
                self._gateways[id] = at
                if before is not None and before != at:
                    moved.setdefault((before, at), []).append(id)
        for (old, new), ids in moved.items():
            way = f"from {switch_text(self._model, old)} to {switch_text(self._model, new)}"
            if len(ids) > FEW:
                LOG.info("gateways of %s routers move %s", f"{len(ids):,}", way)
                continue
            for id in ids:
                LOG.info("gateway of %s moves %s", self._router(id), way)

    def _port(self, id: str) -> str:
        port = self._model.get(Port, id)
        return called("port", port.name if port else "", id)

    def _router(self, id: str) -> str:
        router = self._model.get(Router, id)
        return called("router", router.name if router else "", id)


def _place(binding: Binding) -> tuple[int, str]:
    return binding.switch, binding.interface


def _many(things: Mapping[str, object]) -> str:
    return f"{len(things):,}"
