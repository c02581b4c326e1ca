# SPDX-License-Identifier: Apache-2.0

"""On the account of which port something was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.controller import runtime
from tenantry.controller.feature.routes import Dropped
from tenantry.controller.model import Binding, Port, View
from tenantry.controller.openflow.drops import Whose
from tenantry.controller.openflow.pipeline import IN_PORT, OUT_PORT


def owners(view: View, ids: Iterable[str]) -> Callable[[Dropped], str | None]:
    """What tells whose account it is: one of these ports, or None."""
    ports: dict[int, str] = {}
    plugged: dict[tuple[int, int], str] = {}
    for id in runtime.paced(ids):
        if (port := view.get(Port, id)) is not None:
            ports[port.key] = id
        if (binding := view.get(Binding, id)) is not None and not binding.vlan:
            plugged[binding.switch, binding.ofport] = id

    def owner(dropped: Dropped) -> str | None:
        if dropped.cause.whose is Whose.SWITCH_PORT:
            return plugged.get((dropped.switch, dropped.fields["in_port"]))
        return ports.get(dropped.fields.get(IN_PORT, dropped.fields.get(OUT_PORT, 0)))

    return owner
