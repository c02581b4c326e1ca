# SPDX-License-Identifier: Apache-2.0

"""Queues at the interfaces by which a host sends to physical networks: see ovs-vswitchd.conf.db(5),
QoS, Queue, and "linux-htb"."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.qos.records import Queue, bandwidths, queues_to
from tenantry.controller.feature.ovsdb_rows import AttachedRow, Named, Part, values
from tenantry.controller.model import View

OTHERS = 0
"""The queue of whatever names none."""

LEAST_KBPS = 12
"""What Open vSwitch gives a queue at least (lib/netdev-linux.c: 1,500 octets a second)."""


def rows(view: View, switch: int) -> Iterator[AttachedRow]:
    """Of each physical network to which somebody is promised something."""
    for carried in bandwidths(view, switch):
        queues = queues_to(view, switch, carried.physical_network)
        if not queues:
            continue
        rest = carried.kbps - sum(queue.kbps for queue in queues.values())
        every = [*queues.values(), Queue(OTHERS, max(rest, LEAST_KBPS))]
        said = values(
            type="linux-htb",
            other_config={"max-rate": _bits(carried.kbps)},
            queues={queue.number: _part(queue, carried.kbps) for queue in every},
        )
        interface = Named("Port", carried.interface)
        yield AttachedRow(f"queues to {carried.physical_network}", "QoS", said, interface, "qos")


def _part(queue: Queue, most: int) -> Part:
    """It may borrow what others do not use."""
    rates = {"min-rate": _bits(queue.kbps), "max-rate": _bits(most)}
    return Part("Queue", values(other_config=rates))


def _bits(kbps: int) -> str:
    return str(1000 * kbps)
