"""Where ports and interfaces meet: the Binding records, kept up to date with both sides.

An interface is a port's if its ``iface-id`` names the port, or, on a switch whose OVSDB we do not
know, if the port names it: ``binding:host_id`` the datapath id (16 hex digits) or the host, and
``binding:profile`` ``{"interface_name": ...}``. If several claim the same port, the one on the
host that the user asked for wins, else the first by datapath id and number: two switches never
both deliver one port.
"""

from __future__ import annotations

from collections.abc import Iterable
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
            suspects.add(cast("str", change.id))
        elif change.type is Interface:
            suspects |= _ports_of(model, cast("tuple[int, str]", change.id), change.record)
    bindings = ((port_id, _bind(model, port_id)) for port_id in sorted(suspects))
    return [
        Change(Binding, port_id, binding)
        for port_id, binding in bindings
        if binding != model.get(Binding, port_id)
    ]


def _ports_of(model: Model, id: tuple[int, str], interface: Record | None) -> set[str]:
    """The ports that this interface was, is or may be for."""
    switch, name = id
    ports = set(model.ids(Binding, ("switch", "interface"), (switch, name)))
    if isinstance(interface, Interface):
        if interface.iface_id:
            ports.add(interface.iface_id)
        for host in _names(interface):
            ports |= model.ids(Port, ("host", "interface_name"), (host, name))
    return ports


def _names(interface: Interface) -> tuple[str, ...]:
    """What ``binding:host_id`` may call the place where this interface is."""
    dpid = dpid_text(interface.switch)
    return (interface.host, dpid) if interface.host else (dpid,)


def _bind(model: Model, port_id: str) -> Binding | None:
    port = model.get(Port, port_id)
    if port is None:
        return None
    interfaces = model.all(Interface)
    candidates = [interfaces[id] for id in model.ids(Interface, ("iface_id",), (port_id,))]
    there = [interface for interface in candidates if port.host in _names(interface)]
    if port.host and port.interface_name:
        named = (interfaces[id] for id in model.ids(Interface, ("name",), (port.interface_name,)))
        there += [
            interface
            for interface in named
            if not interface.iface_id and port.host in _names(interface)
        ]
    if not (there or candidates):
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
    )
