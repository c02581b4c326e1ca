# SPDX-License-Identifier: Apache-2.0

"""What was dropped of whom, and why, in words.

What a flow drops is told by the accounts that the switch keeps (``apps/drops``), what a meter drops
by the meter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from tenantry.apps.qos.tables import TOO_MUCH_RECEIVED
from tenantry.controller.feature.owners import owners
from tenantry.controller.feature.routes import Dropped, Metered, Running
from tenantry.controller.model import Binding, Port
from tenantry.controller.openflow.drops import Whose
from tenantry.controller.openflow.pipeline import ENTERED, IN_PORT, OUT_PORT

SENT, RECEIVED = "sent", "received"

FEW = 50
"""Ports; of more, all accounts are read, which there are not many of."""


class Loss(NamedTuple):
    """Packets that were dropped for a cause; ``way`` is how the port would have had them."""

    cause: str
    words: str
    way: str
    packets: int
    octets: int


def by_port(
    running: Running, ids: Collection[str], switches: Collection[int]
) -> tuple[dict[str, list[Loss]], dict[int, str]]:
    """What flows have dropped of each of these ports, on these switches; which of those did not
    tell, and why."""
    asked: list[dict[str, int]] = [{}]
    if len(ids) <= FEW:
        view = running.view
        ports = [port for id in ids if (port := view.get(Port, id)) is not None]
        plugged = [binding for id in ids if (binding := view.get(Binding, id)) is not None]
        asked = [{field: port.key} for port in ports for field in (IN_PORT, OUT_PORT)]
        asked += [{"in_port": binding.ofport} for binding in plugged if not binding.vlan]
    owner = owners(running.view, ids)
    found: dict[str, list[Loss]] = {}
    all_dropped, silent = running.dropped(asked, switches)
    for dropped in all_dropped:
        if (id := owner(dropped)) is not None:
            found.setdefault(id, []).append(_loss(dropped))
    return found, silent


def of_router(
    running: Running, keys: Iterable[int], switches: Collection[int]
) -> tuple[list[Loss], dict[int, str]]:
    """What a router has dropped that it got by ports with these keys; which switches did not tell,
    and why."""
    asked: list[dict[str, int]] = [{ENTERED: key} for key in keys]
    dropped, silent = running.dropped(asked, switches)
    return [_loss(each) for each in dropped], silent


def _loss(dropped: Dropped) -> Loss:
    cause = dropped.cause
    way = RECEIVED if cause.whose is Whose.RECEIVER else SENT
    return Loss(cause.name, cause.words, way, dropped.packets, dropped.octets)


def by_meters(meters: Iterable[Metered]) -> Iterator[Loss]:
    """What meters have dropped."""
    for meter in meters:
        if meter.cause is None or not meter.dropped_packets:
            continue
        way = RECEIVED if meter.cause is TOO_MUCH_RECEIVED else SENT
        losses = (meter.dropped_packets, meter.dropped_octets)
        yield Loss(meter.cause.name, meter.cause.words, way, *losses)


def summed(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """As it is answered: a row for each cause and way, most packets first."""
    found: dict[tuple[str, str], Loss] = {}
    for loss in losses:
        key = (loss.cause, loss.way)
        before = found.get(key, loss._replace(packets=0, octets=0))
        found[key] = loss._replace(
            packets=before.packets + loss.packets, octets=before.octets + loss.octets
        )
    rows = sorted(found.values(), key=lambda loss: (-loss.packets, loss.cause, loss.way))
    return [row._asdict() for row in rows]
