# SPDX-License-Identifier: Apache-2.0

"""What all ports, or all networks, send and receive: for ``tenantry top``."""

from __future__ import annotations

from typing import Any

from tenantry.apps.counters.drops import Loss, by_meters, by_port, summed
from tenantry.apps.counters.objects import OF_A_PORT, traffic, units_of
from tenantry.apps.counters.tally import tally
from tenantry.controller import runtime
from tenantry.controller.feature.counts import since
from tenantry.controller.feature.routes import Counts, Running
from tenantry.controller.model import Binding, Network, Port
from tenantry.controller.openflow.pipeline import Table


def ports(running: Running, switch: str | None = None) -> list[dict[str, Any]]:
    """What each port that who asks sees has sent and received, on the switches that are connected,
    the busiest first; of that, what the whole network hears (a storm shows here), and what was for
    the controller. A port is an ``impostor`` if it has sent something, but never by one of its own
    addresses: port security has dropped all of it. Errors: LookupError if there is no such switch.
    """
    view, rows = running.view, []
    found = _by_port(running, switch)
    losses = _losses(running, found)
    for id, counts in runtime.paced(found.items()):
        port = view.get(Port, id)
        if port is None:
            continue
        counted = traffic(counts.flows)
        identified = any(f.packets for f in counts.flows if f.table == Table.IDENTITY.id)
        punted = tally(f for f in counts.flows if f.table == Table.PUNT_LIMIT.id)
        sent = counted["sent"]["packets"] > 0
        rows.append(
            {
                **running.shown(port),
                **counted,
                "punted": punted,
                "impostor": bool(port.port_security and sent and not identified),
                "drops": summed(losses[id]),
                "since": since(counts.flows),
            }
        )
    return sorted(rows, key=_busiest)


def networks(running: Running) -> list[dict[str, Any]]:
    """The same by network, of the ports that who asks sees."""
    view, by_network = running.view, dict[str, Counts]()
    found = _by_port(running, None)
    losses = _losses(running, found)
    for id, counts in runtime.paced(found.items()):
        port = view.get(Port, id)
        if port is not None and running.sees("network", port.network_id):
            of_network = by_network.setdefault(port.network_id, Counts([], [], {}))
            of_network.flows.extend(counts.flows)
            of_network.meters.extend(counts.meters)
    rows = []
    for network_id, counts in runtime.paced(by_network.items()):
        if (network := view.get(Network, network_id)) is not None:
            ids = {flow.id for flow in counts.flows}
            rows.append(
                {
                    "id": network.id,
                    "name": network.name,
                    "project_id": network.project_id,
                    "ports": len(ids),
                    **traffic(counts.flows),
                    "drops": summed(loss for id in ids for loss in losses[id]),
                    "since": since(counts.flows),
                }
            )
    return sorted(rows, key=_busiest)


def _by_port(running: Running, switch: str | None) -> dict[str, Counts]:
    """What was read of each port that is plugged in and that who asks sees."""
    plugged = runtime.paced(sorted(running.view.ids(Binding)))
    seen = [id for id in plugged if running.sees("port", id)]
    counts = running.counts(units_of(seen), OF_A_PORT, switch)
    found: dict[str, Counts] = {}
    for flow in runtime.paced(counts.flows):
        found.setdefault(flow.id, Counts([], [], {})).flows.append(flow)
    for meter in counts.meters:
        if meter.id in found:
            found[meter.id].meters.append(meter)
    return found


def _losses(running: Running, counts: dict[str, Counts]) -> dict[str, list[Loss]]:
    """What was dropped of each of these ports."""
    switches = {flow.switch for each in counts.values() for flow in each.flows}
    dropped, _ = by_port(running, counts.keys(), switches)
    return {id: [*by_meters(each.meters), *dropped.get(id, ())] for id, each in counts.items()}


def _busiest(row: dict[str, Any]) -> tuple[float, int, str]:
    """By rate, and where there is none yet, by octets."""
    ways = (row["sent"], row["received"])
    rate = sum(way["octets_per_second"] or 0.0 for way in ways)
    return (-rate, -sum(way["octets"] for way in ways), row["id"])
