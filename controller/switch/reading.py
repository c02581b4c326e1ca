# SPDX-License-Identifier: Apache-2.0

"""Read what a switch has counted, of some flows and meters and of nothing else.

A flow is asked for by its table and its exact cookie, of which Open vSwitch has an index, and a
meter by its number: so it costs the same whatever else the switch holds. Many are asked for in one
turn, with a barrier behind them. Userspace Open vSwitch answers in the thread that forwards the
first packets of a connection, so a turn is bounded.

Who asks for very many flows of a table gets them by a dump of that table, in parts, which costs
less a flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tenantry.controller import runtime
from tenantry.controller.openflow import codec, groups_meters
from tenantry.controller.openflow.codec import FlowStats
from tenantry.controller.openflow.groups_meters import MeterStats
from tenantry.controller.switch.connection import Connection

A_TURN = 500
"""Questions before a barrier: some 5 ms of the switch's time."""


MANY = 1000
"""Flows of one table, of which that many are asked for: it is dumped instead."""


class Reading(NamedTuple):
    """What was there of what was asked for: flows by cookie, meters by number."""

    flows: Mapping[int, FlowStats]
    meters: Mapping[int, MeterStats]


def read(
    connection: Connection, flows: Iterable[tuple[int, int]], meters: Iterable[int] = ()
) -> Reading:
    """``flows`` by cookie and table. Waits for the answers. Errors: Disconnected."""
    found, metered = dict[int, FlowStats](), dict[int, MeterStats]()
    wanted = dict(flows)
    whole = {table for table, count in Counter(wanted.values()).items() if count > MANY}
    if whole:
        dump = connection.dump_flows(whole)
        found = {flow.cookie: flow for flow in dump if wanted.get(flow.cookie) == flow.table_id}
    asked: list[tuple[int, int | None]] = [one for one in wanted.items() if one[1] not in whole]
    asked += [(meter, None) for meter in dict.fromkeys(meters)]
    for start in range(0, len(asked), A_TURN):
        if start:
            runtime.yield_now()
        turn = asked[start : start + A_TURN]
        first = connection.xids(len(turn) + 1)
        barrier = first + len(turn)
        request = b"".join([_question(first + at, *each) for at, each in enumerate(turn)])
        with connection.reading(range(first, barrier + 1)) as answer:
            connection.send(request + codec.message(codec.BARRIER_REQUEST, barrier))
            while (header := codec.read_header(data := answer())).xid != barrier:
                number, table = turn[header.xid - first]
                if header.kind == codec.ERROR:
                    continue  # no such meter
                if table is not None:
                    found.update((flow.cookie, flow) for flow in codec.read_flow_stats(data)[0])
                elif stats := groups_meters.read_meter_stats(data):
                    metered[number] = stats
    return Reading(found, metered)


def _question(xid: int, number: int, table: int | None) -> bytes:
    if table is None:
        return groups_meters.meter_stats_request(xid, number)
    return codec.flow_stats_request(xid, table, number, codec.ONE_FLOW)
