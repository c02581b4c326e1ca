# SPDX-License-Identifier: Apache-2.0

"""The one place that knows how concurrency is done: cooperative greenlets on eventlet.

Importing this module patches the standard library and selects os-ken's eventlet hub, so it must
be the first import of every process that talks to switches (``tenantry.controller.__main__`` and
``tests/conftest.py`` do so). os-ken's default hub, native threads, reports no disconnect and leaks
two threads a connection; see docs/architecture.md, section 5.

One cooperative scheduler is also why the model and the engine need no locks. The price: code that
computes for long must call :func:`yield_now`, and code that blocks in C must go through
:func:`in_thread`. Leaving eventlet one day means rewriting this file.
"""

import gc
import os
import warnings

os.environ["OSKEN_HUB_TYPE"] = "eventlet"
os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_selector")  # psycopg 3 blocks the hub otherwise
warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")

import eventlet

eventlet.monkey_patch()

import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import eventlet.event
import eventlet.green.os
import eventlet.green.socket
import eventlet.green.ssl
import eventlet.hubs
import eventlet.patcher
import eventlet.queue
import eventlet.semaphore
import eventlet.tpool
import eventlet.wsgi

T = TypeVar("T")

sys.setswitchinterval(0.0005)
"""Seconds after which a thread that is at work hands Python's lock to one that waits for it. Asking
the database takes a dozen such waits; at Python's 5 ms each, a GET beside somebody who lists
everything waited for the whole list."""

Lock = eventlet.semaphore.Semaphore
Queue = eventlet.queue.LightQueue
Timeout = eventlet.Timeout
epoll = eventlet.patcher.original("select").epoll
native_socket = eventlet.patcher.original("socket").socket  # it waits for nobody: see epoll
native_ssl = eventlet.patcher.original("ssl")  # of octets, without a socket
listen = partial(eventlet.listen, reuse_port=False)  # two at one address share it in silence
sleep = eventlet.sleep
spawn = eventlet.spawn
spawn_after = eventlet.spawn_after
HttpProtocol = eventlet.wsgi.HttpProtocol
HttpServer = eventlet.wsgi.Server
HttpInput = eventlet.wsgi.Input
ChunkError = eventlet.wsgi.ChunkReadError
wsgi_server = eventlet.wsgi.server
wrap_ssl = eventlet.wrap_ssl


def _write(descriptor: int, data: Any) -> int:
    """``os.write``, for pipes to children. eventlet's own (0.41) tries again for ever when nobody
    will read any more (EPIPE): a child that died let :func:`subprocess.run` spin."""
    while True:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # epoll takes no files
            eventlet.hubs.trampoline(descriptor, write=True)
        with suppress(BlockingIOError):
            written: int = eventlet.green.os.__original_write__(descriptor, data)
            return written


os.write = _write


def accept(listening: Any) -> tuple[Any, Any]:
    """A connection that has come, and whose: no green one, which takes longer. Errors: OSError,
    of which BlockingIOError is that there is none."""
    accepted: tuple[Any, Any] = listening.fd.accept()
    return accepted


def green(connection: Any) -> Any:
    """A connection that was accepted, as greenlets use it."""
    eventlet.hubs.notify_opened(connection.fileno())
    return eventlet.green.socket.socket(connection)


def wait_readable(file: Any, seconds: float | None) -> None:
    """Wait until there is something to read, or time is up."""
    with suppress(TimeoutError):
        eventlet.hubs.trampoline(file, read=True, timeout=seconds, timeout_exc=TimeoutError)


def pause() -> None:
    """Let every other greenlet that is ready run once."""
    eventlet.sleep(0)


def yield_now() -> None:
    """The same of who has much to do; call it every few hundred flows. Of those who do, one goes on
    at a time, and who was told something runs in between: a hundred of them keep nobody waiting for
    longer than one does."""
    with _turn_of_one:
        pause()


_turn_of_one = eventlet.semaphore.Semaphore()

SLICE_SECONDS = 0.001
"""For how long somebody works on a long list before others have their turn. Who asks a short
question then waits for some ten of these: a thread that asks the database needs Python's lock for
each step, and it is let go between them."""


def paced(items: Iterable[T]) -> Iterator[T]:
    """The items, for whoever takes long over many: by the clock, others have their turn
    (:func:`yield_now`) between two of them."""
    end = time.perf_counter() + SLICE_SECONDS
    for item in items:
        yield item
        if time.perf_counter() >= end:
            yield_now()
            end = time.perf_counter() + SLICE_SECONDS


@contextmanager
def collections_paused() -> Iterator[None]:
    """While much is made that stays, garbage collections would look at all of it in vain, again
    and again. Several may pause them at the same time."""
    global _pauses
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if not _pauses:
            gc.enable()


_pauses = 0

MANY = 1000
"""So many things, made at once, are worth to be set apart."""


def freeze_heap(made: int) -> None:
    """So many things were ``made`` that are there to stay: full garbage collections, which stop
    everything for hundreds of milliseconds when there is much, need not look at them again. Records
    and flows are freed all the same when nobody refers to them; no cycle holds them. Call it before
    the end of :func:`collections_paused`: the collection that is due by then looks at all that was
    made.
    """
    if made > MANY:
        gc.freeze()


def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a call that blocks in C (SQLite, say) in a native thread; other greenlets go on."""
    result: T = eventlet.tpool.execute(function, *args, **kwargs)
    return result


def file_stamp(path: str) -> tuple[int, ...]:
    """What is another when a file is, for whoever is to read it again then; () if it is not
    there."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()


def with_native_locks(*modules: Any) -> None:
    """Modules whose locks are used by calls :func:`in_thread`. Green locks, which monkey patching
    has given them, wake nobody in another thread: two that meet at one would wait for ever."""
    for module in modules:
        module.threading = eventlet.patcher.original("threading")


class KeyedLock:
    """A lock for each key: who asks what somebody is asking already waits, and may find the answer
    there."""

    def __init__(self) -> None:
        self._locks: dict[Any, Any] = {}

    @contextmanager
    def held(self, key: Any) -> Iterator[None]:
        try:
            with self._locks.setdefault(key, Lock()):
                yield
        finally:
            self._locks.pop(key, None)  # whoever waits has it


UNBUFFERED = "eventlet.minimum_write_chunk_size"
"""The key of a WSGI environment under which 0 has each piece of an answer sent as it comes."""


class Signal:
    """A flag that wakes its waiter: :meth:`set` any number of times is one wake-up."""

    def __init__(self) -> None:
        self._event = eventlet.event.Event()

    def set(self) -> None:
        if not self._event.ready():
            self._event.send()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until set, then clear it. False when ``timeout`` seconds passed first."""
        with eventlet.Timeout(timeout, False):
            self._event.wait()
        was_set: bool = self._event.ready()
        if was_set:
            self._event = eventlet.event.Event()
        return was_set
