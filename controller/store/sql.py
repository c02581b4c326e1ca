# SPDX-License-Identifier: Apache-2.0

"""The four tables, and every statement that is run on them. All of it blocks.

``commit_log`` is the lock: a write inserts number N + 1 first, which succeeds for exactly one
writer. Unique claims and the foreign keys of links repeat in the database what the draft has
already checked. Nothing here is SQLite's alone but :func:`_configure_sqlite`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa
import sqlalchemy.event.attr
import sqlalchemy.pool.impl
import sqlalchemy.util.queue
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError

from tenantry.controller import runtime
from tenantry.controller.store.change import (
    Body,
    Change,
    Commit,
    Gone,
    Shape,
    StaleDraft,
    StoreError,
    Unavailable,
    project_of,
)

# What gives out connections does so in threads.
runtime.with_native_locks(sa.pool.impl, sa.util.queue, sa.event.attr)

SCHEMA = 1
"""Version of the tables; commit 0 says which version a database has."""

_metadata = sa.MetaData()

_resource = sa.Table(
    "resource",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("type", sa.String, nullable=False, index=True),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("updated_at", sa.String, nullable=False),
)
_claim = sa.Table(
    "claim",
    _metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("scope", sa.String, primary_key=True),
    sa.Column("value", sa.String, primary_key=True),
    sa.Column("owner", sa.ForeignKey("resource.id"), nullable=False, index=True),
    sqlite_with_rowid=False,
)
_link = sa.Table(
    "link",
    _metadata,
    sa.Column("source", sa.ForeignKey("resource.id"), primary_key=True),
    sa.Column(
        "target", sa.ForeignKey("resource.id", ondelete="RESTRICT"), primary_key=True, index=True
    ),
    sa.Column("role", sa.String, primary_key=True),
    sqlite_with_rowid=False,
)
_commit_log = sa.Table(
    "commit_log",
    _metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("time", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False),  # [[kind, id, before, after], ...]
)

_head = sa.select(sa.func.max(_commit_log.c.number))
_resources = sa.select(_resource.c.type, _resource.c.id, _resource.c.body).order_by(
    _resource.c.created_at, _resource.c.id
)


def connect(url: str, now: datetime) -> tuple[sa.Engine, UUID]:
    """Open a database, and make the tables if there are none; with the identity of the store in
    it. StoreError says what to mend."""
    try:
        engine = sa.create_engine(url, json_serializer=partial(json.dumps, separators=(",", ":")))
    except (sa.exc.ArgumentError, ImportError) as error:
        raise StoreError(f"database URL {url!r} cannot be used: {error}") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        _metadata.create_all(engine)
        id = _begin_log(engine, now)
        _stay_with_file(engine)
    except DBAPIError as error:
        engine.dispose()
        raise _explained(engine, error) from error
    return engine, id


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the begin event does it; sqlite3's own way is too clever
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _explained(engine: sa.Engine, error: DBAPIError) -> StoreError:
    where = engine.url.render_as_string(hide_password=True)
    return StoreError(
        f"cannot use the database {where}: {error.orig}. Check that its directory exists, that "
        "this user may write to both the directory and the file, and that the file is Tenantry's "
        "and whole; otherwise restore a backup, or move the file away to start with an empty one."
    )


def _file(engine: sa.Engine) -> Path | None:
    """The file that a SQLite database is in."""
    name = engine.url.database if engine.dialect.name == "sqlite" else None
    return Path(name) if name and name != ":memory:" else None


def _stay_with_file(engine: sa.Engine) -> None:
    """Open connections outlive the removal of a SQLite database's files: what they write is lost,
    and SQLite says nothing. So nothing is committed unless the files are still where they were,
    and no new connection makes others."""
    database = _file(engine)
    if database is None:
        return
    # Both stay as they are while a connection is open, and one of the pool's always is.
    files = (database, database.with_name(f"{database.name}-wal"))
    opened = [file.stat() for file in files]

    def check(*_: object) -> None:
        for file, before in zip(files, opened, strict=True):
            try:
                there = file.stat()
            except OSError as error:
                raise Gone(f"{file} is gone ({error.strerror}): {_PUT_BACK}") from error
            if not os.path.samestat(there, before):
                raise Gone(f"{file} is another file than the one that was opened: {_PUT_BACK}")

    sa.event.listen(engine, "do_connect", check)
    sa.event.listen(engine, "commit", check)


_PUT_BACK = (
    "nothing is written until it is put back; restart the controller to go on with what is there"
)


@contextmanager
def _available() -> Iterator[None]:
    """What the database cannot do for now is said in its own words. Errors: Unavailable."""
    try:
        yield
    except _FAULTS_OF_OURS:
        raise
    except sa.exc.TimeoutError as error:
        raise Unavailable(f"the database is not available: {error}") from error
    except DatabaseError as error:
        raise Unavailable(f"the database is not available: {error.orig}") from error


_FAULTS_OF_OURS = (IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)


class Held(Protocol):
    """Something that is held until it is closed, or its process ends."""

    def close(self) -> None: ...


def hold(engine: sa.Engine, id: UUID) -> Held | None:
    """What only one process at a time can have: None for a database that only this one sees.
    StoreError if another process has it. It is free again when its process is gone, however that
    ended."""
    file = _file(engine)
    if file is not None:
        return _hold_file(file)
    if engine.dialect.name != "postgresql":
        return None
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    key = id.int & (1 << 63) - 1
    if connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
        return connection
    connection.close()
    raise StoreError(_HELD.format("of another session"))


def _hold_file(database: Path) -> Held:
    file = database.resolve()
    lock = open(file.with_name(f"{file.name}.lock"), "a+")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with lock:
            lock.seek(0)
            raise StoreError(_HELD.format(f"process {lock.read().strip()}")) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


_HELD = (
    "another controller ({}) programs switches from this database: stop that one first, or name "
    "another database"
)


def _begin_log(engine: sa.Engine, now: datetime) -> UUID:
    """Commit 0, made if it is missing, says which version and which store this is."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(_commit_log).where(_commit_log.c.number == 0)).first()
    if row is None:
        first = {
            "number": 0,
            "time": now.isoformat(),
            "actor": "tenantry",
            "changes": {"schema": SCHEMA, "store": str(uuid4())},
        }
        try:
            with engine.begin() as connection:
                connection.execute(_commit_log.insert(), first)
        except IntegrityError:
            pass  # another process was first
        return _begin_log(engine, now)
    if row.changes["schema"] != SCHEMA:
        engine.dispose()
        raise StoreError(
            f"the database has schema {row.changes['schema']}, and this version of Tenantry "
            f"knows {SCHEMA}: run the version that wrote it, or a newer one"
        )
    # A store from before stores had identities is known by the moment it began.
    return UUID(row.changes.get("store") or str(uuid5(_BEGUN, row.time)))


_BEGUN = UUID("2a7f7c26-5d57-4a55-8d1e-1d1f7c9d4f0b")


def load(engine: sa.Engine) -> tuple[int, list[tuple[str, str, Body]]]:
    """The newest commit number, and kind, id and body of every resource at that commit."""
    try:
        with engine.connect() as connection:
            # One snapshot for both statements: no commit may fall in between.
            connection = connection.execution_options(isolation_level="SERIALIZABLE")
            head: int = connection.execute(_head).scalar_one()
            rows = [(row.type, row.id, row.body) for row in connection.execute(_resources)]
    except (DatabaseError, ValueError) as error:
        cause = error if isinstance(error, DBAPIError) else DBAPIError(None, None, error)
        raise _explained(engine, cause) from error
    return head, rows


def commits(engine: sa.Engine, after: int, limit: int | None = None) -> list[Commit]:
    """Commits with a number greater than ``after``, oldest first."""
    query = (
        sa.select(_commit_log)
        .where(_commit_log.c.number > after)
        .order_by(_commit_log.c.number)
        .limit(limit)
    )
    with _available(), engine.connect() as connection:
        return [
            Commit(
                number=row.number,
                time=datetime.fromisoformat(row.time),
                actor=row.actor,
                changes=tuple(Change(*change) for change in row.changes) if row.number else (),
            )
            for row in connection.execute(query)
        ]


def append(engine: sa.Engine, schema: Mapping[str, Shape], commit: Commit) -> None:
    """Write a commit in one transaction. StaleDraft if its number is no longer the next;
    Unavailable if the database cannot be written, and then it is not.

    Durable when this returns: a killed process, or SQLite's machine losing power, loses nothing.
    """
    with _available(), engine.begin() as connection:
        row = {
            "number": commit.number,
            "time": commit.time.isoformat(),
            "actor": commit.actor,
            "changes": [[c.kind, c.id, c.before, c.after] for c in commit.changes],
        }
        try:
            connection.execute(_commit_log.insert(), row)
        except IntegrityError as error:
            raise StaleDraft(f"commit {commit.number} is already written") from error
        for statement, rows in _statements(schema, commit.changes):
            if rows:
                connection.execute(statement, rows)


_this = _resource.c.id == sa.bindparam("key")
_CREATE, _UPDATE = _resource.insert(), _resource.update().where(_this)
_DELETE = _resource.delete().where(_this)
_CLAIM, _LINK = _claim.insert(), _link.insert()
_UNCLAIM, _UNLINK = (
    table.delete().where(*(c == sa.bindparam(c.name) for c in table.primary_key))
    for table in (_claim, _link)
)
_CLAIM_COLUMNS, _LINK_COLUMNS = _claim.c.keys(), _link.c.keys()


def _statements(
    schema: Mapping[str, Shape], changes: tuple[Change, ...]
) -> Iterator[tuple[sa.Executable, list[Body]]]:
    """In an order in which each fits what is already there."""
    created = [c for c in changes if c.before is None]
    deleted = [c for c in changes if c.after is None]
    updated = [c for c in changes if c.before is not None and c.after is not None]
    gone_claims, new_claims = _difference(
        changes,
        lambda c, body: ((*claim, c.id) for claim in schema[c.kind].claims(body)),
    )
    gone_links, new_links = _difference(
        changes, lambda c, body: ((c.id, *link) for link in schema[c.kind].links(body))
    )
    yield _UNCLAIM, [dict(zip(_CLAIM_COLUMNS, row, strict=True)) for row in gone_claims]
    yield _UNLINK, [dict(zip(_LINK_COLUMNS, row, strict=True)) for row in gone_links]
    yield _DELETE, [{"key": c.id} for c in deleted]
    yield _CREATE, [{"id": c.id, **_columns(c)} for c in created]
    yield _UPDATE, [{"key": c.id, **_columns(c)} for c in updated]
    yield _CLAIM, [dict(zip(_CLAIM_COLUMNS, row, strict=True)) for row in new_claims]
    yield _LINK, [dict(zip(_LINK_COLUMNS, row, strict=True)) for row in new_links]


def _difference(
    changes: tuple[Change, ...],
    rows: Callable[[Change, Body], Iterator[tuple[str, ...]]],
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Rows that go, and rows that come."""
    before = {row: None for c in changes if c.before is not None for row in rows(c, c.before)}
    after = {row: None for c in changes if c.after is not None for row in rows(c, c.after)}
    return [row for row in before if row not in after], [row for row in after if row not in before]


def _columns(change: Change) -> Body:
    body = change.after
    assert body is not None
    return {
        "type": change.kind,
        "project_id": project_of(body),
        "body": body,
        "revision": body.get("revision_number", 0),
        "created_at": body.get("created_at", ""),
        "updated_at": body.get("updated_at", ""),
    }
