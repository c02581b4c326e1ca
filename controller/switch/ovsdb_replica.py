# SPDX-License-Identifier: Apache-2.0

"""One OVSDB (RFC 7047), for as long as a connection lasts: a copy of its rows and transactions, by
``ovs.db.idl``.

One greenlet owns a replica and does all that is done with it; others hand it work
(:meth:`Replica.run`) or wake it. Schema and columns are those of the host's own version.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import ovs.db.data
import ovs.db.error
import ovs.db.idl
import ovs.jsonrpc
import ovs.poller

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import Reader
from tenantry.controller.switch.ovs_stream import Stream, Wire

LOG = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE = "Open_vSwitch"

REPLY_SECONDS = 30.0
"""How long an answer may take."""

DONE_SECONDS = 10.0
"""How long ovs-vswitchd may take for what is asked of it."""

PROBE_MS = 10_000
"""After so much silence a peer is asked whether it is there; after as much again it is not."""


class OvsdbError(Exception):
    """The database is out of reach, or refused a transaction; says which and why."""


class Unreachable(OvsdbError):
    """It is gone, or never was there."""


class BadValue(OvsdbError):
    """What was to be written is not what its column takes."""


class TryAgain(OvsdbError):
    """Something was not as the transaction took it to be."""


class Change:
    """A transaction, while it is put together. A column that this version of Open vSwitch does not
    have is left out. Errors: BadValue, where ``ovs`` itself would leave the value out."""

    def __init__(self, idl: Any) -> None:
        self._tables = idl.tables
        self.transaction = ovs.db.idl.Transaction(idl)

    def insert(self, table: str, **values: Any) -> Any:
        """A new row."""
        row = self.transaction.insert(self._tables[table])
        self.set(row, **values)
        return row

    def set(self, row: Any, **values: Any) -> None:
        for column, value in values.items():
            if takes(row._table, column, value):
                setattr(row, column, value)

    def add(self, row: Any, column: str, member: Any) -> None:
        """To a set that nobody need have read."""
        if takes(row._table, column, member):
            row.addvalue(column, member)

    def remove(self, row: Any, column: str, members: Iterable[Any]) -> None:
        """From such a set."""
        for member in members:
            row.delvalue(column, member)

    def set_key(self, row: Any, column: str, key: str, value: str) -> None:
        """In a map, of which other keys stay as they are."""
        if takes(row._table, column, {key: value}):
            row.setkey(column, key, value)


def takes(table: Any, column: str, value: Any) -> bool:
    """Whether a table has this column. Errors: BadValue, if it does not take the value."""
    if column not in table.columns:
        return False

    def uuid(member: Any) -> Any:
        return member.uuid if isinstance(member, ovs.db.idl.Row) else member

    try:
        ovs.db.data.Datum.from_python(table.columns[column].type, value, uuid)
    except ovs.db.error.Error as error:
        raise BadValue(f"{column} of {table.name}: {error}") from error
    return True


def default(table: Any, column: str) -> Any:
    """What a column is that nobody has set."""
    return ovs.db.data.Datum.default(table.columns[column].type).to_python(None)


class Replica:
    """Use ``ask`` before, and all else after ``start``."""

    def __init__(self, reader: Reader) -> None:
        """It is ours to read from, and whoever gave it closes it."""
        self.tables: Mapping[str, Any] = {}
        """As ``ovs.db.idl`` has them, by name."""
        self._wire = Wire(reader)
        self._name = str(id(self))  # for ovs
        self._idl: Any = None
        self._work: list[tuple[Callable[[], Any], Any]] = []  # and where its result goes
        self._echo = False  # whether one is to be asked for
        self._woken = False
        self._told = 0  # what was told when somebody looked
        self._wake = -1  # an eventfd, of those who have said who they are

    # --- for everybody -----------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._wire.is_open

    def close(self) -> None:
        """Hang up."""
        self._wire.close()
        self.wake()

    def wake(self) -> None:
        """Have the owner's :meth:`next` return."""
        self._woken = True
        self._interrupt()

    def run(self, work: Callable[[], T]) -> T:
        """Have the owner do this; what comes of it. Errors: OvsdbError, and its own."""
        if not self.alive:
            raise Unreachable("it is not connected")
        done = runtime.Queue()
        self._work.append((work, done))
        self.wake()
        with runtime.Timeout(REPLY_SECONDS, Unreachable("it is busy")):
            result, error = done.get()
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def answers(self, seconds: float) -> bool:
        """Whether somebody is there: a host that was switched off leaves a connection that is
        silent."""
        heard, until = self._wire.heard, time.monotonic() + seconds
        self._echo = True
        self._interrupt()
        while self.alive and self._wire.heard == heard and time.monotonic() < until:
            runtime.sleep(0.01)
        return self.alive and self._wire.heard != heard

    def _interrupt(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    # --- for the owner -----------------------------------------------------------------------

    def ask(self, method: str, params: list[Any]) -> Any:
        """The result of a request. Errors: OvsdbError."""
        connection = ovs.jsonrpc.Connection(Stream(self._wire, "", 0))
        request = ovs.jsonrpc.Message.create_request(method, params)
        try:
            with runtime.Timeout(REPLY_SECONDS, Unreachable(f"{method} is not answered")):
                failed, reply = connection.transact_block(request)
        except (OSError, ValueError) as error:
            raise Unreachable(str(error)) from error
        finally:
            self._wire.ahead = connection.input.encode() + self._wire.ahead
            connection.stream.socket = None  # or it is closed with the stream
        if failed:
            raise Unreachable(self._wire.why)
        if reply.error is not None:
            raise OvsdbError(f"{method}: {reply.error}")
        return reply.result

    def start(
        self,
        columns: Mapping[str, Collection[str]],
        only_written: Mapping[str, Collection[str]],
        notify: Callable[..., None],
    ) -> None:
        """Copy these columns, of those that there are, but for those that are only written; from
        now on ``notify`` is called as ``ovs.db.idl`` does. Errors: OvsdbError."""
        schema = self.ask("get_schema", [DATABASE])
        try:
            tables = {}
            for table in columns.keys() & schema["tables"].keys():
                there = schema["tables"][table]["columns"]
                kept = {column: there[column] for column in columns[table] if column in there}
                tables[table] = {**schema["tables"][table], "columns": kept}
            helper = ovs.db.idl.SchemaHelper(schema_json={**schema, "tables": tables})
            for table, one in tables.items():
                unread = [*only_written.get(table, [])]
                helper.register_columns(table, [*one["columns"]], unread)
            self._wire.reader.stream.setblocking(False)
            Stream.wires[self._name] = self._wire
            self._idl = ovs.db.idl.Idl(f"handed:{self._name}", helper, PROBE_MS, leader_only=False)
        except (ovs.db.error.Error, LookupError, TypeError, AttributeError) as error:
            raise OvsdbError(f"its schema cannot be read: {error}") from error
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.tables = self._idl.tables
        self._idl.notify = notify
        self._idl.cooperative_yield = self._wire.reader.rest
        with runtime.collections_paused():
            self._until(self._is_copied, REPLY_SECONDS, "its rows do not come")

    def rows(self, table: str) -> Collection[Any]:
        """Rows, as they are known now."""
        return self.tables[table].rows.values() if table in self.tables else ()

    @property
    def system(self) -> Any:
        """The one row of Open_vSwitch. Errors: OvsdbError, if it was never made."""
        for row in self.rows(DATABASE):
            return row
        raise OvsdbError("the OVSDB is empty; run `ovs-vsctl init` on its host")

    def lock(self, name: str | None) -> bool | None:
        """Ask for a lock (RFC 7047, 4.1.8), under which all is written from then on, or give it
        back (None). Whether we have it; None while nobody has said."""
        if name != self._idl.lock_name:
            self._idl.set_lock(name)
        if name is None or not (self._idl.has_lock or self._idl.is_lock_contended):
            return None
        return bool(self._idl.has_lock)

    def next(self) -> None:
        """Wait until something is told, or somebody wakes us, and do what was handed in. Errors:
        Unreachable."""
        self._step(0 if self._woken or self._idl.change_seqno != self._told else None)
        self._woken, self._told = False, self._idl.change_seqno
        work, self._work = self._work, []
        for each, done in work:
            try:
                done.put((each(), None))
            except Exception as error:
                done.put((None, error))

    def stop(self) -> None:
        """The end, also for who waits for work to be done. Any number of times."""
        self.close()
        Stream.wires.pop(self._name, None)
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
        for _, done in self._work:
            done.put((None, Unreachable("the connection is closed")))

    def transact(self, write: Callable[[Change], None]) -> Any:
        """One transaction, all or nothing; as ``ovs`` has it. Errors: OvsdbError."""
        change = Change(self._idl)
        transaction = change.transaction
        try:
            write(change)
            transaction.commit()
        finally:
            if self._idl.txn is transaction:
                transaction.abort()

        def is_answered() -> bool:
            return bool(transaction.commit() != transaction.INCOMPLETE)

        try:
            self._until(is_answered, REPLY_SECONDS, "a transaction is not answered")
        except OvsdbError:
            self.close()  # for who is outstanding nobody waits any more
            raise
        status = transaction.commit()
        if status == transaction.TRY_AGAIN:
            raise TryAgain("OVSDB: somebody else was faster")
        if status not in (transaction.SUCCESS, transaction.UNCHANGED):
            raise OvsdbError(f"OVSDB: {transaction.get_error()}")
        return transaction

    def apply(self, write: Callable[[Change], None]) -> None:
        """The same, and wait until ovs-vswitchd has done it, as ``ovs-vsctl`` does."""
        system = self.system

        def write_and_count(change: Change) -> None:
            write(change)
            change.transaction.add_op({"op": "comment", "comment": "tenantry"})  # so not empty
            system.increment("next_cfg")

        number = self.transact(write_and_count).get_increment_new_value()
        words = "ovs-vswitchd does not do what is asked: is it running?"
        self._until(lambda: self.system.cur_cfg >= number, DONE_SECONDS, words)

    def holds(self, table: str, where: list[Any]) -> bool:
        """Whether there is a row with this, in columns that are not copied. Errors: OvsdbError."""
        there = {"op": "wait", "timeout": 0, "table": table, "where": where, "until": "!="}
        operation = {**there, "columns": ["_uuid"], "rows": []}
        try:
            self.transact(lambda change: change.transaction.add_op(operation))
        except TryAgain:
            return False
        return True

    def _is_copied(self) -> bool:
        return bool(self._idl.state == self._idl.IDL_S_MONITORING)

    def _until(self, so: Callable[[], bool], seconds: float, words: str) -> None:
        """Go on until it is so. Errors: OvsdbError with these words, Unreachable."""
        end = time.monotonic() + seconds
        while not so():
            left = end - time.monotonic()
            if left <= 0:
                raise OvsdbError(words)
            try:
                self._step(left)
            except Unreachable:
                if so():  # by the last that was told: whom we forget hangs up behind the answer
                    return
                raise

    def _step(self, seconds: float | None) -> None:
        """Wait for what comes, or for a wake-up, and take it in; never under a Timeout, which could
        end it in the middle of that. Errors: Unreachable."""
        if self.alive:
            poller = ovs.poller.Poller()
            self._idl.wait(poller)
            poller.fd_wait(self._wake, ovs.poller.POLLIN)
            if seconds is not None:
                poller.timer_wait(int(seconds * 1000))
            poller.block()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        try:
            if self._echo:
                self._echo = False
                self._idl.send_request(ovs.jsonrpc.Message.create_request("echo", []))
            self._idl.run()
        except Exception as error:
            known = isinstance(error, OSError | ValueError)
            self._wire.why = str(error) if known else f"cannot be read ({type(error).__name__})"
            LOG.debug("%s: %s", self._wire.reader.address, self._wire.why, exc_info=not known)
            self.close()
        if not self.alive:
            raise Unreachable(self._wire.why)
