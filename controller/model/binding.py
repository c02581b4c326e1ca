# SPDX-License-Identifier: Apache-2.0

"""Where ports and interfaces meet: the Binding records, kept up to date with both sides.

An interface is a port's if its ``iface-id`` names the port, or, if it has no ``iface-id``, if the
port names it: ``binding:host_id`` the datapath id (16 hex digits) or the host, and
``binding:profile`` ``{"interface_name": ...}``.

A sub-port is where its trunk's parent is. A port that may move to other hosts (``standby_hosts``)
and is plugged in there, too, is on Standby there.

An interface has one port: of several that name it, the one with the lowest key. A port has one
interface: of several, the one on the host where the controller itself has it plugged in (Placed),
else one on the host that the user asked for, else the first by datapath id and number. Two switches
never both deliver one port, and one interface never delivers two. An interface that leads to a
physical network is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from tenantry.controller.model.model import Change, Model, Record
from tenantry.controller.model.observed import (
    PARTS,
    SHARES,
    Binding,
    Interface,
    Placed,
    Standby,
    Switch,
)
from tenantry.controller.model.records import Port, Trunk


def dpid_text(dpid: int) -> str:
    """A datapath id as OVS writes it: 16 hex digits."""
    return f"{dpid:016x}"


def switch_text(model: Model, dpid: int) -> str:
    """A switch for people: ``br-int on host1``."""
    switch = model.get(Switch, dpid)
    if switch is None or not switch.name:
        return dpid_text(dpid)
    return f"{switch.name} on {switch.host}" if switch.host else switch.name


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
        elif change.type is Trunk:
            suspects |= _on_trunk(model, change)
        elif change.type is Placed:
            suspects.add(cast("str", change.id))
    for port_id in list(suspects):
        for id in model.ids(Trunk, ("port_id",), (port_id,)):
            suspects |= model.all(Trunk)[id].sub_port_ids
    # Parents first: a sub-port is where its parent is by now.
    bound: dict[str, Binding | None] = {}
    for port_id in sorted(suspects, key=lambda id: (_trunk_of(model, id) is not None, id)):
        bound[port_id] = _bind(model, port_id, bound)
    found = [
        Change(Binding, port_id, binding)
        for port_id, binding in bound.items()
        if binding != model.get(Binding, port_id)
    ]
    for port_id in bound:
        found += _standing_by(model, port_id, bound[port_id])
    return found


def _on_trunk(model: Model, change: Change) -> set[str]:
    """The ports of a trunk that has changed: those that are bound by its interface, and those that
    are to be."""
    ports: set[str] = set()
    if isinstance(change.record, Trunk):
        ports |= {change.record.port_id, *change.record.sub_port_ids}
    for id in model.ids(Binding, ("trunk",), (str(change.id),)):
        ports.add(id)
    return ports


def _trunk_of(model: Model, port_id: str) -> tuple[Trunk, int] | None:
    """The trunk that a port is a sub-port of, and the VLAN id of its frames."""
    for id in model.ids(Trunk, ("sub_port_ids",), (port_id,)):
        trunk = model.all(Trunk)[id]
        for sub in trunk.sub_ports:
            if sub.port_id == port_id:
                return trunk, sub.segmentation_id
    return None


def _standing_by(model: Model, port_id: str, binding: Binding | None) -> Iterator[Change]:
    """The changes of where else a port is plugged in."""
    port = model.get(Port, port_id)
    wanted: dict[tuple[str, int], Standby] = {}
    if port is not None and binding is not None:
        for id in model.ids(Interface, ("iface_id",), (port_id,)):
            interface = model.all(Interface)[id]
            may = any(name in port.standby_hosts for name in _names(interface))
            if may and interface.switch != binding.switch:
                at = (port_id, interface.switch)
                of = (interface.switch, interface.name, interface.host, interface.ofport)
                wanted[at] = Standby(at, port_id, port.network_id, *of)
    there = {id: model.all(Standby)[id] for id in model.ids(Standby, ("port_id",), (port_id,))}
    for at in wanted.keys() | there.keys():
        if wanted.get(at) != there.get(at):
            yield Change(Standby, at, wanted.get(at))


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
    ports |= {port for port, _ in model.ids(Standby, ("switch", "interface"), (switch, name))}
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


def _bind(model: Model, port_id: str, bound: Mapping[str, Binding | None]) -> Binding | None:
    port = model.get(Port, port_id)
    if port is None:
        return None
    on_trunk = _trunk_of(model, port_id)
    if on_trunk is not None:
        trunk, vlan = on_trunk
        parent = bound.get(trunk.port_id, model.get(Binding, trunk.port_id))
        return parent and _binding(port, parent, vlan, trunk.id)
    interfaces = model.all(Interface)
    marked = [interfaces[id] for id in model.ids(Interface, ("iface_id",), (port_id,))]
    candidates = [i for i in (*marked, *_named(model, port)) if _owner(model, i) == port_id]
    if not candidates:
        return None
    placed = model.get(Placed, port_id)
    ours = [i for i in candidates if placed is not None and i.host == placed.host]
    there = [interface for interface in candidates if port.host in _names(interface)]
    chosen = min(
        ours or there or candidates, key=lambda interface: (interface.switch, interface.ofport)
    )
    return _binding(port, chosen)


def _binding(port: Port, at: Interface | Binding, vlan: int = 0, trunk: str = "") -> Binding:
    return Binding(
        id=port.id,
        network_id=port.network_id,
        part=f"{port.network_id}/{port.key % PARTS}",
        share=str(port.key % SHARES),
        switch=at.switch,
        interface=at.name if isinstance(at, Interface) else at.interface,
        host=at.host,
        ofport=at.ofport,
        security_groups=port.security_groups or frozenset(),
        vlan=vlan,
        trunk=trunk,
    )
