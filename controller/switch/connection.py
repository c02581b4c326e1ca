# SPDX-License-Identifier: Apache-2.0

"""One switch's OpenFlow connection: what is asked of it, and what it answers.

Messages that can be many (flow dumps, barrier and bundle replies, errors) are read raw and handed
to whoever asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from os_ken.controller.handler import DEAD_DISPATCHER

from tenantry.controller import runtime
from tenantry.controller.openflow import codec, groups_meters
from tenantry.controller.switch.datapath import Datapath

LOG = logging.getLogger(__name__)

Some = TypeVar("Some")

REPLY_SECONDS = 60
"""How long a switch may take to answer before the connection is given up."""

ANSWER_SECONDS = 3.0
"""How long a switch may take to answer an echo request before another connection of its replaces
this one: a host that was switched off leaves one that is silent."""

DUMPED_AT_ONCE = 5000
"""Flows, about: userspace OVS forwards nothing while it writes them down, 2 us each."""


class Disconnected(Exception):
    """The switch is gone, or did not answer within REPLY_SECONDS."""


class Connection:
    """A live OpenFlow connection, seen by who programs the switch."""

    def __init__(self, datapath: Datapath) -> None:
        self.dpid: int = datapath.id
        self.peer: str = "{}:{}".format(*datapath.address[:2])
        self.common_name: str = datapath.reader.common_name
        self._datapath = datapath
        self._xid = 0
        self._replies: dict[int, runtime.Queue] = {}
        self._reading: dict[int, runtime.Queue] = {}
        self._errors: list[codec.SwitchError] | None = None
        self._watching = range(0)  # xids of the requests to be told of changes
        self.on_foreign_changes: Callable[[set[int]], None] = lambda tables: None
        """Called when the switch tells that somebody else changed flows of these tables, or meters
        or groups, if it can tell."""

    @property
    def alive(self) -> bool:
        return bool(self._datapath.state != DEAD_DISPATCHER)

    def xid(self) -> int:
        """A number for the next message; os-ken counts its own from elsewhere."""
        return self.xids(1)

    def xids(self, count: int) -> int:
        """The first of so many numbers in a row."""
        if self._xid + count > 0x7FFFFFFF:
            self._xid = 0
        first = self._xid + 1
        self._xid += count
        return first

    def send(self, data: bytes) -> None:
        """Queue bytes to the switch; waits while the switch does not read, which holds up nobody
        else. Errors: Disconnected."""
        with runtime.Timeout(REPLY_SECONDS, False):
            if self._datapath.send(data):
                return
            raise Disconnected(f"switch {self.dpid:016x} is gone")
        self.close()
        raise Disconnected(f"switch {self.dpid:016x} did not read for {REPLY_SECONDS} s")

    def call(self, xid: int, data: bytes) -> bytes:
        """Send a message and wait for the reply that bears ``xid``, an error included."""
        with self.asking(xid) as answer:
            self.send(data)
            return answer()

    @contextmanager
    def asking(self, xid: int) -> Iterator[Callable[[], bytes]]:
        """Replies that bear ``xid`` are kept; the function given waits for the next of them."""
        replies = self._replies[xid] = runtime.Queue()
        try:
            yield lambda: self._next(replies)
        finally:
            del self._replies[xid]

    @contextmanager
    def reading(self, xids: range) -> Iterator[Callable[[], bytes]]:
        """The same of many xids at once, while others ask, too: what is refused of it concerns
        nobody else."""
        replies = runtime.Queue()
        self._reading.update(dict.fromkeys(xids, replies))
        try:
            yield lambda: self._next(replies)
        finally:
            for xid in xids:
                del self._reading[xid]

    def dump_flows(self, tables: Container[int] | None = None) -> list[codec.FlowStats]:
        """Every flow that the switch holds, or those of these tables; but none that it has learned
        by itself.

        Table by table, and large tables in parts by the last bits of their flows' cookies, which
        are a hash: so that packets do not wait for the whole of it.
        """
        found: list[codec.FlowStats] = []
        for table, count in self.flow_counts().items():
            asked = tables is None or table in tables
            learned = table in codec.LEARNED_TABLES
            if count and asked:
                mask = (1 << ((count - 1) // DUMPED_AT_ONCE).bit_length()) - 1
                for part in range(mask + 1):
                    request = partial(
                        codec.flow_stats_request, table=table, cookie=part, cookie_mask=mask
                    )
                    for flows in self._ask(request, codec.read_flow_stats):
                        found += [
                            flow for flow in flows if not (learned and codec.is_learned(flow.body))
                        ]
                        runtime.yield_now()
        return found

    def flow_counts(self) -> dict[int, int]:
        """How many flows each table has, by its id."""
        counts: dict[int, int] = {}
        for some in self._ask(codec.table_stats_request, codec.read_table_stats):
            counts |= some
        return counts

    def dump_slots(self) -> list[int]:
        """The keys of all meters and groups that the switch holds; none of what it cannot have."""
        found: list[int] = []
        for request, read in (
            (groups_meters.meter_config_request, groups_meters.read_meter_config),
            (groups_meters.group_desc_request, groups_meters.read_group_desc),
        ):
            try:
                for keys in self._ask(request, read):
                    found += keys
            except Disconnected:
                if not self.alive:
                    raise
        return found

    def _ask(
        self, request: Callable[[int], bytes], read: Callable[[bytes], tuple[Some, bool]]
    ) -> Iterator[Some]:
        """Send a multipart request; what its replies say, one after the other."""
        xid = self.xid()
        with self.asking(xid) as answer:
            self.send(request(xid))
            more = True
            while more:
                data = answer()
                if codec.read_header(data).kind == codec.ERROR:
                    raise Disconnected(f"dump refused: {codec.read_error(data)}")
                some, more = read(data)
                yield some

    def watch(self) -> None:
        """Ask the switch to tell when somebody else changes its flows, groups or meters. Not every
        switch can; one that cannot answers with an error, and the audit must do."""
        first = self.xids(2)
        self._watching = range(first, first + 2)
        self.send(codec.flow_monitor_request(first) + codec.requestforward_request(first + 1))

    def answers(self) -> bool:
        """Whether the switch is really there; if not, the connection is over."""
        with runtime.Timeout(ANSWER_SECONDS, False):
            try:
                xid = self.xid()
                self.call(xid, codec.message(codec.ECHO_REQUEST, xid))
                return True
            except Disconnected:
                return False
        self.close()
        return False

    def errors_of(self, work: Callable[[], Any]) -> list[codec.SwitchError]:
        """Do something that sends messages and waits; the errors that came meanwhile."""
        errors: list[codec.SwitchError] = []
        self._errors = errors
        try:
            work()
        finally:
            self._errors = None
        return errors

    def close(self) -> None:
        self._datapath.close()

    def _next(self, replies: runtime.Queue) -> bytes:
        with runtime.Timeout(REPLY_SECONDS, False):
            data: bytes | None = replies.get()
            if data is None:
                raise Disconnected(f"switch {self.dpid:016x} is gone")
            return data
        self.close()
        raise Disconnected(f"switch {self.dpid:016x} did not answer for {REPLY_SECONDS} s")

    def awaits(self, xid: int) -> bool:
        """Whether somebody waits for replies that bear ``xid``."""
        return xid in self._replies or xid in self._reading

    def take(self, header: codec.Header, data: bytes) -> None:
        """A message from the switch, for whoever waits for it."""
        if header.kind == codec.MULTIPART_REPLY and codec.is_flow_monitor_reply(data):
            if tables := codec.read_flow_updates(data):
                self.on_foreign_changes(tables)
            return
        if header.kind == codec.REQUESTFORWARD:
            self.on_foreign_changes(set())
            return
        if (reading := self._reading.get(header.xid)) is not None:
            reading.put(data)
            return
        replies = self._replies.get(header.xid)
        if header.kind == codec.ERROR and header.xid in self._watching:
            LOG.info("switch %016x cannot tell what others change; audits see it", self.dpid)
            return
        if header.kind == codec.ERROR and self._errors is not None:
            self._errors.append(codec.read_error(data))
        if replies is not None:
            replies.put(data)
        elif header.kind == codec.ERROR and self._errors is None:
            LOG.warning("switch %016x: unexpected %s", self.dpid, codec.read_error(data))

    def end(self) -> None:
        """The switch is gone: whoever waits for it is told."""
        for replies in {*self._replies.values(), *self._reading.values()}:
            replies.put(None)
