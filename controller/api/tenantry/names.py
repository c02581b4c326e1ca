# SPDX-License-Identifier: Apache-2.0

"""What people call things: which flows they mean by the name of a port, say."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.feature.app import Unit


def flows_of(
    running: Running, app: str | None, object: str | None
) -> Callable[[str | None, str | None], bool]:
    """Whether a flow, by its app and its object, is of this app and this object: a resource's name
    or id, or a part of what units are called; None is any. LookupError if there is nothing that is
    called so."""
    apps = {known.name for known in running.engine.apps}
    if app is not None and app not in apps:
        raise LookupError(f"there is no app {app}{did_you_mean(app, apps)}")
    words = _ids(running, object) if object else ("",)

    def is_meant(of_app: str | None, of_object: str | None) -> bool:
        if app is not None and of_app != app:
            return False
        return any(word in (of_object or "") for word in words)

    return is_meant


def is_seen(running: Running, unit: Unit) -> bool:
    """Whether who asks may know the flows of a unit: those of a port that they see; what else there
    is of a network is of others, too."""
    kind = unit.units.kind
    return running.sees("port", unit.id) if kind == "port" else running.sees("flow", "")


def _ids(running: Running, object: str) -> tuple[str, ...]:
    """What the objects of the flows that are meant have in their text."""
    store, names, there = running.store, dict[str, str](), False
    for kind in store.schema:
        for id, body in store.read(kind).items():
            if running.sees(kind, id):
                names[id] = body.get("name") or ""
                there = there or object in id
    called = [id for id, name in names.items() if name == object]
    there = there or any(
        object in f"{unit.units.kind} {unit.id}"
        for dpid in running.engine.wanted
        for unit in running.engine.units(dpid)
        if is_seen(running, unit)
    )
    if not (called or there):
        raise LookupError(
            f"nothing has the name or id {object}{did_you_mean(object, names.values())}"
        )
    return (object, *called) if there else (*called,)
