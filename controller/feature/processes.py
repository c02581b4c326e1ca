# SPDX-License-Identifier: Apache-2.0

"""Processes as values: what a feature wants to run in a network namespace of a worker's host.

A feature yields them as it yields flows, by a pure function of the model (``Parts.processes``); a
worker (``controller/worker/``) compares them with what there is, and mends. Nothing else starts or
stops anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

INTERFACE = "wk"
"""What the names of the interfaces begin with that are plugged in for processes."""


READY, STARTING, WAITING, FAILED, REFUSED = "ready", "starting", "waiting", "failed", "refused"
STATES = (READY, STARTING, WAITING, FAILED, REFUSED)
"""Of a process: it is there as it is wanted; it has been started, or told something new, and does
not say yet that it is there; it waits for its interface; it ends, or cannot be started; its new
files are not fit, and it goes on with those that it has."""


def interface_name(port_id: str) -> str:
    """The interface of a port, on the switch and in the namespace: 13 characters of the kernel's
    15."""
    return f"{INTERFACE}{port_id[:11]}"


@dataclass(frozen=True, slots=True)
class Route:
    """``destination`` is a prefix (``0.0.0.0/0``, ``::/0``); without a next hop, ``via`` is ""."""

    destination: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class Plug:
    """A port of a network that is plugged in in a namespace. The controller has the switch of the
    worker's host make the interface, the worker moves it into the namespace. What a port is told is
    all that the interface has: what else somebody adds there is taken away."""

    port_id: str
    mac: str  # "fa:16:3e:00:00:01"
    mtu: int
    addresses: tuple[str, ...] = ()  # "192.0.2.5/24", "2001:db8::5/64"
    routes: tuple[Route, ...] = ()

    @property
    def interface(self) -> str:
        return interface_name(self.port_id)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a process, in its own directory, which is where it and its commands are run: so
    they name it by its ``name`` alone. Others than root may read it if ``mode`` says so."""

    name: str
    content: str
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Probe:
    """A question about a process: a command, which is run in its namespace and its directory; or a
    line that is sent to a Unix ``socket`` there, whose answer ends when it is closed.

    It is answered well if the command exits with 0, or the socket answers, and what is answered
    matches ``expect``, a regular expression that is searched for.
    """

    command: tuple[str, ...] = ()
    socket: str = ""  # a file's name
    line: str = ""
    expect: str = ""


@dataclass(frozen=True)
class Process:
    """A process that is wanted, on one worker.

    It runs as long as it is wanted, as root, and is started again when it ends (sooner, the longer
    it has lived). If ``command``, ``namespace`` or ``environment`` is another than that by which it
    was started, it is stopped (SIGTERM; SIGKILL after ``stop_seconds``) and started anew. If only
    ``files`` are others, they are first ``check``-ed in a directory beside it: files that do not
    pass are REFUSED, and what runs goes on with those it has. Then they are put in place, and it is
    told by ``reload``, a command; or by ``reload_signal``; without either, it is started anew. With
    ``loads``, the command ``reload`` is also run after each start. It is READY, and what is wanted
    is confirmed, as soon as ``ready`` is answered well; without one, as soon as it runs. If
    the old configuration could answer it, too, let the answer contain something of the new.

    Commands are looked for by PATH. Processes that share a namespace share the plugs of all.
    """

    name: str  # of all workers; it names a directory: "haproxy-ID"
    namespace: str  # of this worker; the worker puts a mark of its own before it
    command: tuple[str, ...]
    plugs: tuple[Plug, ...] = ()
    files: tuple[File, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    check: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    reload_signal: str = ""  # "SIGUSR2"
    loads: bool = False
    ready: Probe | None = None
    reports: tuple[tuple[str, Probe], ...] = ()
    """What it can be asked, by name: its statistics, say (:meth:`Running.ask_process`)."""
    stop_seconds: float = 5.0

    @cached_property
    def digest(self) -> str:
        """What is wanted, in 16 hex digits: what a worker confirms."""
        return digest(asdict(self))


def digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()


def as_json(process: Process) -> dict[str, Any]:
    return asdict(process)


def from_json(value: Mapping[str, Any]) -> Process:
    """Errors: KeyError, TypeError, ValueError, if it is none."""
    plugs = (
        Plug(**{**p, "addresses": (*p["addresses"],), "routes": tuple(Route(**r) for r in routes)})
        for p in value["plugs"]
        for routes in [p["routes"]]
    )
    return Process(
        **{
            **value,
            **{name: (*value[name],) for name in ("command", "check", "reload")},
            "plugs": tuple(plugs),
            "files": tuple(File(**each) for each in value["files"]),
            "environment": tuple((name, text) for name, text in value["environment"]),
            "ready": value["ready"] and _probe(value["ready"]),
            "reports": tuple((name, _probe(probe)) for name, probe in value["reports"]),
        }
    )


def _probe(value: Mapping[str, Any]) -> Probe:
    return Probe(**{**value, "command": (*value["command"],)})
