"""Where ports and interfaces meet: the Binding records, kept up to date with both sides.

An interface is a port's if its ``iface-id`` names the port, or, if it has no ``iface-id``, if the
port names it: ``binding:host_id`` the datapath id (16 hex digits) or the host, and
``binding:profile`` ``{"interface_name": ...}``.

An interface has one port: of several that name it, the one with the lowest key. A port has one
interface: of several, the one on the host that the user asked for, else the first by datapath id
and number. Two switches never both deliver one port, and one interface never delivers two. An
interface that leads to a physical network is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from controller.model.model import Change, Model, Record
from controller.model.records import PARTS, Binding, Interface, Port


def dpid_text(dpid: int) -> str:
    """A datapath id as OVS writes it: 16 hex digits."""
    return f"{dpid:016x}"


def rebind(model: Model, changes: Iterable[Change]) -> list[Change]:
    """The changes of bindings that follow from ``changes``, just applied to ``model``."""
    suspects: set[str] = set()
    for change in changes:
        if change.type is Port:
            port_id = cast("str", change.id)
            suspects.add(port_id)
            for interface in _interfaces_of(model, port_id, change.record):
                suspects |= _ports_of(model, *interface)
        elif change.type is Interface:
            suspects |= _ports_of(model, *cast("tuple[int, str]", change.id))
    bindings = ((port_id, _bind(model, port_id)) for port_id in sorted(suspects))
    return [
        Change(Binding, port_id, binding)
        for port_id, binding in bindings
        if binding != model.get(Binding, port_id)
    ]


def _interfaces_of(model: Model, port_id: str, port: Record | None) -> Iterator[tuple[int, str]]:
    """Where the port is still said to be, and what it names by now."""
    binding = model.get(Binding, port_id)
    if binding is not None:
        yield binding.switch, binding.interface
    if isinstance(port, Port):
        yield from (interface.id for interface in _named(model, port))


def _ports_of(model: Model, switch: int, name: str) -> set[str]:
    """The ports that an interface was, is or may be for."""
    ports = set(model.ids(Binding, ("switch", "interface"), (switch, name)))
    interface = model.get(Interface, (switch, name))
    if interface is not None:
        if interface.iface_id:
            ports.add(interface.iface_id)
        ports |= _naming(model, interface)
    return ports


def _names(interface: Interface) -> tuple[str, ...]:
    """What ``binding:host_id`` may call the place where this interface is."""
    dpid = dpid_text(interface.switch)
    return (interface.host, dpid) if interface.host else (dpid,)


def _naming(model: Model, interface: Interface) -> set[str]:
    """The ports that name an interface."""
    index = ("host", "interface_name")
    return set[str]().union(
        *(model.ids(Port, index, (host, interface.name)) for host in _names(interface))
    )


def _named(model: Model, port: Port) -> list[Interface]:
    """The interfaces that a port names."""
    if not (port.host and port.interface_name):
        return []
    interfaces = model.all(Interface)
    named = (interfaces[id] for id in model.ids(Interface, ("name",), (port.interface_name,)))
    return [interface for interface in named if port.host in _names(interface)]


def _owner(model: Model, interface: Interface) -> str | None:
    """The one port that an interface is for."""
    if interface.physical_network or interface.service:
        return None
    if interface.iface_id:
        return interface.iface_id
    ports = model.all(Port)
    return min(_naming(model, interface), key=lambda id: ports[id].key, default=None)


def _bind(model: Model, port_id: str) -> Binding | None:
    port = model.get(Port, port_id)
    if port is None:
        return None
    interfaces = model.all(Interface)
    marked = [interfaces[id] for id in model.ids(Interface, ("iface_id",), (port_id,))]
    candidates = [i for i in (*marked, *_named(model, port)) if _owner(model, i) == port_id]
    there = [interface for interface in candidates if port.host in _names(interface)]
    if not candidates:
        return None
    chosen = min(there or candidates, key=lambda interface: (interface.switch, interface.ofport))
    return Binding(
        id=port_id,
        network_id=port.network_id,
        part=f"{port.network_id}/{port.key % PARTS}",
        switch=chosen.switch,
        interface=chosen.name,
        host=chosen.host,
        ofport=chosen.ofport,
        security_groups=port.security_groups or frozenset(),
    )
