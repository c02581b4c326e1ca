# SPDX-License-Identifier: Apache-2.0

"""What is to be done in a namespace: what is wanted, compared with what is there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_interface, ip_network
from typing import NamedTuple, TypeAlias

from tenantry.controller.feature.processes import File, Plug, Process, Route, digest

EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True)
class Group:
    """What is wanted in one namespace."""

    processes: Mapping[str, Process] = field(default_factory=dict)

    @cached_property
    def plugs(self) -> dict[str, Plug]:
        """By the name of the interface."""
        plugs = [plug for process in self.processes.values() for plug in process.plugs]
        return {plug.interface: plug for plug in plugs}


class Link(NamedTuple):
    """An interface in a namespace, as far as it is compared."""

    mac: str
    mtu: int
    up: bool
    addresses: frozenset[str] = frozenset()  # with prefix lengths, of global scope
    routes: frozenset[Route] = frozenset()  # those that somebody has set


class Alive(NamedTuple):
    """A process that runs, in the namespace: how it was started, and which files it has loaded."""

    pid: int
    started: str
    loaded: str
    inside: bool = True  # whether its namespace is the one that has the name


class There(NamedTuple):
    """What is there of one group."""

    namespace: bool
    arrived: frozenset[str] = frozenset()  # interfaces that the switch has made, on the host itself
    links: Mapping[str, Link] = {}
    processes: Mapping[str, Alive] = {}
    files: Mapping[str, frozenset[File]] = {}  # by process
    directories: frozenset[str] = frozenset()  # of processes that belong, or did, to this namespace


class MakeNamespace(NamedTuple):
    """Anew; or, of a process that runs on in one whose name was taken away, the same again."""

    pid: int = 0


class RemoveNamespace(NamedTuple):
    """With whoever runs there."""


class Take(NamedTuple):
    """Move an interface from the host into the namespace. One of its name that is there is what an
    ovs-vswitchd that has died has left."""

    interface: str
    replaces: bool = False


class Configure(NamedTuple):
    """Lines for ``ip -batch``."""

    interface: str
    lines: tuple[str, ...]


class Stop(NamedTuple):
    name: str
    pid: int
    seconds: float


class Put(NamedTuple):
    """Check the files of a process, and put them in place."""

    process: Process


class Start(NamedTuple):
    process: Process


class Load(NamedTuple):
    """Have it take its files."""

    process: Process
    pid: int


class Clear(NamedTuple):
    """Remove the directory of a process that is not wanted."""

    name: str


Step: TypeAlias = (
    MakeNamespace | RemoveNamespace | Take | Configure | Stop | Put | Start | Load | Clear
)


def how_started(process: Process) -> str:
    """By what it was started: if this is another, it must be started anew."""
    return digest([process.command, process.namespace, process.environment])


def files_digest(process: Process) -> str:
    return digest(
        [[f.name, f.content, f.mode] for f in sorted(process.files, key=lambda f: f.name)]
    )


def is_reloaded(process: Process) -> bool:
    return bool(process.reload or process.reload_signal)


def plan(wanted: Group, there: There, resting: Collection[str] = ()) -> Iterator[Step]:
    """The steps, in order. Processes that are ``resting`` have failed of late, with what is wanted
    of them now: they are left alone until it is their time again. A process that waits for its
    interface is not started."""
    gone = there.directories - wanted.processes.keys()
    for name in sorted(gone):
        if name in there.processes:
            yield Stop(name, there.processes[name].pid, 5.0)
    if not wanted.processes:
        if there.namespace:
            yield RemoveNamespace()
        yield from map(Clear, sorted(gone))
        return
    yield from map(Clear, sorted(gone))
    if not there.namespace:
        alive = sorted(alive.pid for alive in there.processes.values())
        yield MakeNamespace(*alive[:1])
        if alive:  # then look again: all that was in it is there
            return
    for name, plug in sorted(wanted.plugs.items()):
        link = there.links.get(name)
        if name in there.arrived:
            yield Take(name, replaces=link is not None)
            link = Link("", 0, False)
        if link is not None and (lines := tuple(differences(plug, link))):
            yield Configure(name, lines)
    for name, process in sorted(wanted.processes.items()):
        if name not in resting:
            yield from _process(process, there, missing(process, there))


def missing(process: Process, there: There) -> list[str]:
    """The interfaces of a process that are neither in its namespace nor on their way."""
    plugs = [plug.interface for plug in process.plugs]
    return [name for name in plugs if name not in there.links and name not in there.arrived]


def _process(process: Process, there: There, missing: list[str]) -> Iterator[Step]:
    alive = there.processes.get(process.name)
    right = frozenset(process.files)
    differ = not right <= there.files.get(process.name, frozenset())
    stale = alive is not None and (differ or alive.loaded != files_digest(process))
    if differ and not (alive is None and missing):
        yield Put(process)
    if alive is not None and (
        alive.started != how_started(process)
        or not alive.inside
        or (stale and not is_reloaded(process))
    ):
        yield Stop(process.name, alive.pid, process.stop_seconds)
        alive = None
    if alive is None:
        if not missing:
            yield Start(process)
    elif stale:
        yield Load(process, alive.pid)


def differences(plug: Plug, link: Link) -> Iterator[str]:
    """What ``ip`` is told to make an interface as it must be."""
    name = plug.interface
    if link.mac.lower() != plug.mac.lower():
        yield f"link set {name} address {plug.mac}"
    if link.mtu != plug.mtu:
        yield f"link set {name} mtu {plug.mtu}"
    if not link.up:
        yield f"link set {name} up"
    addresses = {str(ip_interface(address)) for address in plug.addresses}
    for address in sorted(link.addresses - addresses):
        yield f"address del {address} dev {name}"
    for address in sorted(addresses - link.addresses):
        # Neutron guards addresses against duplicates: the kernel need not wait to find some.
        nodad = " nodad" if ip_interface(address).version == 6 else ""
        yield f"address add {address} dev {name}{nodad}"
    routes = {route(each.destination, each.via) for each in plug.routes}
    # An address that goes takes its routes along, so they are set again.
    there = frozenset[Route]() if link.addresses - addresses or not link.up else link.routes
    for each in sorted(link.routes - routes, key=_text):
        if each in there:
            yield f"route del {_text(each)} dev {name}"
    for each in sorted(routes - there, key=_text):
        yield f"route replace {_text(each)} dev {name}{' onlink' if each.via else ''}"


def route(destination: str, via: str = "", version: int = 4) -> Route:
    """As it is compared: ``default`` is a prefix, too."""
    if destination == "default":
        destination = EVERYWHERE[version]
    return Route(str(ip_network(destination)), via and str(ip_interface(via).ip))


def _text(each: Route) -> str:
    return f"{each.destination} via {each.via}" if each.via else each.destination


def groups(processes: Iterable[Process]) -> dict[str, Group]:
    """By namespace."""
    found: dict[str, dict[str, Process]] = {}
    for process in processes:
        found.setdefault(process.namespace, {})[process.name] = process
    return {namespace: Group(of) for namespace, of in found.items()}
