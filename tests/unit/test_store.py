# SPDX-License-Identifier: Apache-2.0

"""The store: drafts, claims, links, the log, several processes, and sudden death."""

from __future__ import annotations

import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from eventlet.green import subprocess

from tenantry.controller import runtime
from tenantry.controller.store import (
    Body,
    Change,
    Claim,
    ClaimTaken,
    Commit,
    Draft,
    Link,
    LinkBroken,
    StaleDraft,
    Store,
    StoreError,
    Unavailable,
)
from tenantry.controller.store.replica import Replica


class Thing:
    """A kind whose bodies say what they claim and link."""

    def claims(self, body: Body) -> Iterable[Claim]:
        return [Claim("name", "all", name) for name in body.get("claims", ())]

    def links(self, body: Body) -> Iterable[Link]:
        return [Link(target, "part") for target in body.get("links", ())]

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        return [("thing", id) for id in body.get("part_of", ())]

    def revised(self, body: Body) -> Body:
        return {**body, "revision": body.get("revision", 1) + 1}


SCHEMA = {"thing": Thing()}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def open_store(url: str) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def open_() -> Store:
        opened.append(Store(url, SCHEMA))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def put(store: Store, id: str, **attributes: object) -> None:
    store.write(lambda draft: draft.put("thing", {"id": id, **attributes}), "test")


def delete(store: Store, *ids: str) -> None:
    def change(draft: Draft) -> None:
        for id in ids:
            draft.delete("thing", id)

    store.write(change, "test")


def test_what_is_written_is_there_after_reopening(
    store: Store, open_store: Callable[[], Store]
) -> None:
    put(store, "a", claims=["x", "y"])
    put(store, "b", links=["a"])
    put(store, "a", claims=["y", "z"])
    again = open_store()
    for each in (store, again):
        assert each.head == 3
        assert each.get("thing", "a") == {"id": "a", "claims": ["y", "z"]}
        assert each.claimed("name", "all") == {"y": "a", "z": "a"}
        assert list(each.linked("a", "part")) == ["b"]
    assert again._replica == store._replica


def test_the_log_has_every_body_before_and_after(store: Store) -> None:
    put(store, "a", n=1)
    put(store, "a", n=2)
    delete(store, "a")
    one, two = {"id": "a", "n": 1}, {"id": "a", "n": 2}
    commits = store.history(0)
    assert [commit.number for commit in commits] == [1, 2, 3]
    assert {commit.actor for commit in commits} == {"test"}
    assert [commit.changes for commit in commits] == [
        (Change("thing", "a", None, one),),
        (Change("thing", "a", one, two),),
        (Change("thing", "a", two, None),),
    ]
    assert store.history(1, limit=1) == commits[1:2]


def test_a_claim_has_one_owner(store: Store) -> None:
    put(store, "a", claims=["x"])
    with pytest.raises(ClaimTaken) as taken:
        put(store, "b", claims=["x"])
    assert (taken.value.claim.value, taken.value.owner) == ("x", "a")

    def hand_over(draft: Draft) -> None:
        draft.put("thing", {"id": "a"})
        draft.put("thing", {"id": "b", "claims": ["x"]})

    store.write(hand_over, "test")
    assert store.claimed("name", "all") == {"x": "b"}


def test_a_link_needs_its_target(store: Store) -> None:
    with pytest.raises(LinkBroken, match="a does not exist"):
        put(store, "b", links=["a"])
    put(store, "a")
    put(store, "b", links=["a"])
    with pytest.raises(LinkBroken, match="a is in use by part b"):
        delete(store, "a")
    delete(store, "a", "b")
    assert not store.read("thing")


def test_a_draft_sees_its_own_changes_and_nobody_elses(store: Store) -> None:
    put(store, "a", claims=["x"])
    put(store, "b", links=["a"])

    def change(draft: Draft) -> None:
        draft.put("thing", {"id": "a", "claims": ["y"]})
        draft.put("thing", {"id": "c", "links": ["a"]})
        draft.delete("thing", "b")
        assert draft.get("thing", "a") == {"id": "a", "claims": ["y"]}
        assert draft.get("thing", "b") is None
        assert draft.owner(Claim("name", "all", "x")) is None
        assert draft.owner(Claim("name", "all", "y")) == "a"
        assert draft.linked("a", "part") == ["c"]
        assert store.get("thing", "a") == {"id": "a", "claims": ["x"]}

    store.write(change, "test")
    assert list(store.linked("a", "part")) == ["c"]


def test_what_belongs_to_a_project_is_counted(
    store: Store, open_store: Callable[[], Store]
) -> None:
    put(store, "a", project_id="red")
    put(store, "b", project_id="red")
    put(store, "c")

    def change(draft: Draft) -> tuple[int, int, int]:
        draft.put("thing", {"id": "d", "project_id": "red"})
        draft.put("thing", {"id": "d", "project_id": "red", "name": "again"})
        draft.put("thing", {"id": "b", "project_id": "blue"})
        draft.delete("thing", "a")
        draft.put("thing", {"id": "e", "project_id": "blue"})
        draft.delete("thing", "e")
        assert (store.count("thing", "red"), store.count("thing", "blue")) == (2, 0)
        return tuple(draft.count("thing", project) for project in ("red", "blue", ""))

    assert store.write(change, "test") == (1, 1, 1)
    for each in (store, open_store()):
        assert [each.count("thing", project) for project in ("red", "blue", "", "x")] == [
            *(1, 1, 1, 0)
        ]


def test_a_change_that_fails_leaves_no_trace(store: Store) -> None:
    put(store, "a", claims=["x"])
    undone = []

    def change(draft: Draft) -> None:
        draft.undo.append(lambda: undone.append("first"))
        draft.undo.append(lambda: undone.append("last"))
        draft.put("thing", {"id": "b"})
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.write(change, "test")
    assert undone == ["last", "first"]
    assert (store.head, list(store.read("thing"))) == (1, ["a"])
    put(store, "a", claims=["x"])
    assert store.head == 1, "no change, no commit"


def test_processes_follow_each_other(store: Store, open_store: Callable[[], Store]) -> None:
    other = open_store()
    seen: list[Commit] = []
    other.subscribe(seen.append)
    put(store, "a")
    put(other, "b", links=["a"])
    store.catch_up()
    assert list(store.linked("a", "part")) == ["b"]
    assert seen == other.history(0)


def test_a_change_is_made_anew_when_another_process_was_first(
    store: Store, open_store: Callable[[], Store]
) -> None:
    other = open_store()
    tries = []

    def change(draft: Draft) -> None:
        tries.append(draft.owner(Claim("name", "all", "x")))
        if len(tries) == 1:
            put(other, "a", claims=["x"])
        draft.put("thing", {"id": "b", "claims": [] if tries[-1] else ["x"]})

    store.write(change, "test")
    assert tries == [None, "a"]
    assert store.claimed("name", "all") == {"x": "a"}
    assert store.head == 2


def test_a_refusal_by_an_old_state_is_not_believed(
    store: Store, open_store: Callable[[], Store]
) -> None:
    put(open_store(), "a")

    def change(draft: Draft) -> str:
        if draft.get("thing", "a") is None:
            raise LookupError("a")
        return "found"

    assert store.write(change, "test") == "found"
    with pytest.raises(LookupError):
        store.write(lambda draft: [][draft.head], "test")


def test_a_write_that_always_comes_second_gives_up(
    store: Store, open_store: Callable[[], Store]
) -> None:
    other = open_store()

    def change(draft: Draft) -> None:
        put(other, "a", n=draft.head)
        draft.put("thing", {"id": "b"})

    with pytest.raises(StaleDraft):
        store.write(change, "test")
    store.catch_up()
    assert list(store.read("thing")) == ["a"]


def test_many_greenlets_write_at_once(store: Store, open_store: Callable[[], Store]) -> None:
    def count(store: Store) -> None:
        def change(draft: Draft) -> None:
            before = draft.get("thing", "n") or {"n": 0}
            draft.put("thing", {"id": "n", "n": before["n"] + 1})

        for _ in range(10):
            store.write(change, "test")

    stores = [store, store, open_store(), open_store()]
    for greenlet in [runtime.spawn(count, each) for each in stores]:
        greenlet.wait()
    store.catch_up()
    assert store.get("thing", "n") == {"id": "n", "n": 40}
    assert store.head == 40


def test_the_log_alone_makes_the_same_replica(store: Store) -> None:
    put(store, "a", claims=["x"])
    put(store, "b", links=["a"], claims=["y"])
    put(store, "b", claims=["z"])
    delete(store, "a")
    replayed = Replica(SCHEMA)
    for commit in store.history(0):
        replayed.apply(commit.changes)
    assert replayed == store._replica


def test_the_database_itself_holds_claims_and_links(store: Store, tmp_path: Path) -> None:
    put(store, "a", claims=["x"])
    put(store, "b", links=["a"])
    database = sqlite3.connect(tmp_path / "store.db")
    database.execute("PRAGMA foreign_keys=ON")
    for statement in (
        "INSERT INTO claim VALUES ('name', 'all', 'x', 'b')",
        "INSERT INTO commit_log SELECT * FROM commit_log WHERE number = 1",
        "DELETE FROM claim; DELETE FROM resource WHERE id = 'a'",
    ):
        *first, last = statement.split("; ")
        for each in first:
            database.execute(each)
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(last)
        database.rollback()
    database.close()


WRITER = """
import sys
import tenantry.controller.runtime
from tenantry.controller.store import Store
from tests.unit.test_store import SCHEMA, put

store = Store(sys.argv[1], SCHEMA)
while True:
    put(store, str(store.head), claims=[str(store.head)])
    print(store.head, flush=True)
"""


def test_kill_loses_no_acknowledged_write(url: str, open_store: Callable[[], Store]) -> None:
    acknowledged = 0
    for burst in (1, 20, 50):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE)
        for _ in range(burst):
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        acknowledged = int(rest[-1] if rest else line)
        store = open_store()
        assert store.head in (acknowledged, acknowledged + 1), "the last may be unacknowledged"
        assert len(store.read("thing")) == len(store.claimed("name", "all")) == store.head
    assert acknowledged >= 71


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nonexistent/tenantry.db", "Check that its directory exists"),
        ("nosql://x", "cannot be used"),
        ("nonsense", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_opened_says_why(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Store(url, SCHEMA)


def test_a_file_that_is_no_database_says_so(url: str, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(url, SCHEMA)


def test_a_damaged_database_says_so(url: str, tmp_path: Path) -> None:
    store = Store(url, SCHEMA)
    for n in range(30):
        put(store, str(n), text="x" * 4000)
    store.close()
    database = tmp_path / "store.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bytearray(database.read_bytes())
    whole[8192:-8192] = b"\xff" * (len(whole) - 16384)
    database.write_bytes(whole)
    with pytest.raises(StoreError, match="restore a backup"):
        Store(url, SCHEMA)


def test_a_newer_schema_is_refused(store: Store, url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("""UPDATE commit_log SET changes = '{"schema": 2}' WHERE number = 0""")
    with pytest.raises(StoreError, match="schema 2"):
        Store(url, SCHEMA)


def test_a_kind_that_nobody_knows_is_refused(store: Store, url: str) -> None:
    put(store, "a")
    with pytest.raises(StoreError, match="enable the app"):
        Store(url, {})


# --- a database that is not there, or not ours alone -----------------------------------------


def test_a_store_has_an_identity_that_a_backup_shares(url: str, tmp_path: Path) -> None:
    first, second = Store(url, SCHEMA), Store(url, SCHEMA)
    other = Store(f"sqlite:///{tmp_path}/other.db", SCHEMA)
    put(first, "a")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        sqlite3.connect(tmp_path / "store.db").backup(copy)
    restored = Store(f"sqlite:///{tmp_path}/copy.db", SCHEMA)
    assert first.id == second.id == restored.id != other.id
    for store in (first, second, other, restored):
        store.close()


def test_a_store_from_before_there_were_identities_has_one_all_the_same(
    url: str, tmp_path: Path
) -> None:
    Store(url, SCHEMA).close()
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("UPDATE commit_log SET changes = ? WHERE number = 0", ('{"schema":1}',))
    first, second = Store(url, SCHEMA), Store(url, SCHEMA)
    assert first.id == second.id
    first.close()
    second.close()


def _moved(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def _replaced(file: Path) -> None:
    copy = file.with_name("copy")
    copy.write_bytes(file.read_bytes())
    copy.replace(file)


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
@pytest.mark.parametrize("how", [_moved, _replaced, Path.unlink])
def test_nothing_is_acknowledged_once_the_file_is_gone(
    url: str, tmp_path: Path, how: Callable[[Path], None], name: str
) -> None:
    store = Store(url, SCHEMA)
    put(store, "a")
    how(tmp_path / name)
    for _ in range(3):
        with pytest.raises(Unavailable, match=name):
            put(store, "b")
    store.catch_up()
    assert set(store.read("thing")) == {"a"}
    assert store.head == 1
    assert how is _replaced or not (tmp_path / name).exists()  # nobody has made another
    if how is _moved:
        (tmp_path / "elsewhere").rename(tmp_path / name)
        put(store, "b")
    store.close()


def test_many_readers_go_on_without_the_file(url: str, tmp_path: Path) -> None:
    """More than there are connections open: none of them makes an empty database."""
    store = Store(url, SCHEMA)
    put(store, "a")
    (tmp_path / "store.db").unlink()
    for reader in [runtime.spawn(store.catch_up) for _ in range(20)]:
        reader.wait()
    assert set(store.read("thing")) == {"a"}
    assert not (tmp_path / "store.db").exists()
    store.close()


def test_a_locked_database_is_said_and_nothing_is_written(url: str, tmp_path: Path) -> None:
    store = Store(url, SCHEMA)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="database is locked"):
        put(store, "a")
    assert store.head == 0
    other.execute("ROLLBACK")
    put(store, "a")
    other.close()
    store.close()


def test_a_full_database_is_said_and_nothing_is_written(url: str, tmp_path: Path) -> None:
    store = Store(url, SCHEMA)
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 30")
    with pytest.raises(Unavailable, match="database or disk is full"):
        for number in range(100):
            put(store, f"{number}", text="x" * 10_000)
    head = store.head
    store.close()
    again = Store(url, SCHEMA)
    assert again.head == head == len(again.read("thing"))
    again.close()


HOLDER = """
import sys
import tenantry.controller.runtime
from tenantry.controller.store import Store
store = Store(sys.argv[1], {})
store.hold()
print("held", flush=True)
sys.stdin.readline()
"""


def test_one_process_programs_switches_and_its_death_frees_the_store(url: str) -> None:
    words = [sys.executable, "-c", HOLDER, url]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    store = Store(url, SCHEMA)
    put(store, "a")  # which several may
    with pytest.raises(StoreError, match=f"process {process.pid}"):
        store.hold()
    process.send_signal(signal.SIGKILL)
    process.wait()
    store.hold()
    another = Store(url, SCHEMA)
    with pytest.raises(StoreError, match="another controller"):
        another.hold()
    store.close()
    another.hold()
    another.close()
