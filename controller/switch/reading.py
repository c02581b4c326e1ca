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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from tenantry.controller import runtime
from tenantry.controller.openflow import codec, dropped, groups_meters
from tenantry.controller.openflow.codec import FlowStats
from tenantry.controller.openflow.dropped import Accounted, accounts_request
from tenantry.controller.openflow.groups_meters import MeterStats
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.switch.connection import DUMPED_AT_ONCE, Connection

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
    flow_questions = [
        partial(codec.flow_stats_request, table=table, cookie=cookie, cookie_mask=codec.ONE_FLOW)
        for cookie, table in wanted.items()
        if table not in whole
    ]
    numbers = [*dict.fromkeys(meters)]
    meter_questions = [partial(groups_meters.meter_stats_request, meter=n) for n in numbers]
    for number, data in _answers(connection, [*flow_questions, *meter_questions], A_TURN):
        if number < len(flow_questions):
            found.update((flow.cookie, flow) for flow in codec.read_flow_stats(data)[0])
        elif stats := groups_meters.read_meter_stats(data):
            metered[numbers[number - len(flow_questions)]] = stats
    return Reading(found, metered)


def read_accounts(
    connection: Connection, asked: Collection[Mapping[str, Value]]
) -> list[Accounted]:
    """The accounts of DROPPED that have these values of fields; of ``{}``, all. Waits for the
    answers. Errors: Disconnected."""
    turn = A_TURN
    if {} in asked:
        count = connection.flow_counts().get(Table.DROPPED.id, 0)
        asked, turn = [*dropped.parts(count, DUMPED_AT_ONCE)], 1
    questions = [partial(accounts_request, fields=fields) for fields in asked]
    found: list[Accounted] = []
    for _, data in _answers(connection, questions, turn):
        found += dropped.read_accounts(data)
        runtime.yield_now()
    return found


def _answers(
    connection: Connection, questions: Sequence[Callable[[int], bytes]], at_once: int
) -> Iterator[tuple[int, bytes]]:
    """What is answered to each question, by its number; nothing if the switch refuses it, as with a
    meter that it has not."""
    for start in range(0, len(questions), at_once):
        if start:
            runtime.yield_now()
        turn = questions[start : start + at_once]
        first = connection.xids(len(turn) + 1)
        barrier = first + len(turn)
        request = b"".join([question(first + at) for at, question in enumerate(turn)])
        with connection.reading(range(first, barrier + 1)) as answer:
            connection.send(request + codec.message(codec.BARRIER_REQUEST, barrier))
            while (header := codec.read_header(data := answer())).xid != barrier:
                if header.kind != codec.ERROR:
                    yield start + header.xid - first, data
