# SPDX-License-Identifier: Apache-2.0

"""Flows that copy packets; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tenantry.apps.l2.tables import ClassifyPriority, OutputPriority
from tenantry.apps.tap.records import BOTH, IN, OUT, Capture, TapFlow, TapMirror, TapService
from tenantry.apps.tap.rows import mirror_name
from tenantry.apps.tap.tables import CAME_BY, CAPTURED, DELIVERED, SENT, YES, CapturePriority
from tenantry.controller.model import (
    Binding,
    Interface,
    Network,
    Port,
    Standby,
    Trunk,
    View,
    derived,
    ports_on,
)
from tenantry.controller.network.tunnels import SERVICE_TYPE, endpoint, tunnel_port
from tenantry.controller.network.wires import to_interface
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    Actions,
    Flow,
    Item,
    Limit,
    Match,
    Move,
    Output,
    PopVlan,
    Punt,
    PushVlan,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.oxm import TUNNEL_ENDS, VLAN_PRESENT
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, Table


class Tap(NamedTuple):
    """Who gets copies: a tap service, an address outside by an interface of that name, or a
    capture of that key. ``tagged``: with the tag of the trunk."""

    directions: frozenset[str]
    service_id: str = ""
    interface: str = ""
    tagged: bool = False
    capture: int = 0


@derived
def _sources(view: View) -> frozenset[str]:
    """The ports, wherever they are, whose packets are to be copied."""
    taps = view.distinct(TapFlow, "port_id")
    on_trunks = (trunk.sub_port_ids for id in taps for trunk in view.find(Trunk, port_id=id))
    others = view.distinct(TapMirror, "port_id") | view.distinct(Capture, "port_id")
    return (taps | others).union(*on_trunks)


@derived
def tapped_on(view: View, switch: int) -> frozenset[str]:
    """Those that are on a switch."""
    return ports_on(view, switch) & _sources(view)


def _taps(view: View, port_id: str, binding: Binding | None) -> Iterator[Tap]:
    """Who gets copies of a port's packets: by taps of its own, and by those of its trunk's parent
    that name its VLAN."""
    for tap in view.find(TapFlow, port_id=port_id):
        if not tap.vlans:
            yield Tap(_directions(tap.direction), tap.service_id)
    if binding is not None and binding.trunk:
        yield from _taps_of_trunk(view, binding)
    for mirror in view.find(TapMirror, port_id=port_id):
        for tunnel in mirror.tunnels:
            yield Tap(tunnel.directions, interface=mirror_name(mirror, tunnel))
    for capture in view.find(Capture, port_id=port_id):
        yield Tap(capture.directions, capture=capture.key)


def _taps_of_trunk(view: View, binding: Binding) -> Iterator[Tap]:
    port, trunk = view.get(Port, binding.id), view.get(Trunk, binding.trunk)
    if port is None or trunk is None:
        return
    for tap in view.find(TapFlow, port_id=trunk.port_id):
        named = any(first <= binding.vlan <= last for first, last in tap.vlans)
        if named and tap.project_id == port.project_id:  # who has the trunk has not what is on it
            yield Tap(_directions(tap.direction), tap.service_id, tagged=True)


def _directions(direction: str) -> frozenset[str]:
    return frozenset((IN, OUT) if direction == BOTH else (direction,))


def compile_tapped(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port's packets, as they enter the switch and as they leave it, are copied first."""
    port, standby = view.get(Port, port_id), view.get(Standby, (port_id, switch))
    binding = view.get(Binding, port_id)
    plugged = standby or binding
    network = view.get(Network, port.network_id) if port else None
    if plugged is None or port is None or network is None:
        return
    if not (port.admin_state_up and network.admin_state_up):
        return
    taps = list(_taps(view, port_id, binding))
    vlan = plugged.vlan if isinstance(plugged, Binding) else 0
    tag = VLAN_PRESENT | vlan if vlan else 0
    sent = _copies(view, switch, (tap for tap in taps if OUT in tap.directions), tag, True)
    if sent:
        # Once: from a port that is known by then it comes back here, and goes on.
        enters: Match = {"in_port": plugged.ofport, "vlan_vid": tag, IN_PORT: 0}
        on: Actions = (SetField(IN_PORT, port.key), Resubmit(Table.CLASSIFY))
        yield Flow(Table.CLASSIFY, ClassifyPriority.TAP, enters, (*sent, *on))
    got = _copies(view, switch, (tap for tap in taps if IN in tap.directions), tag, False)
    if got:
        leaves: Match = {NETWORK: network.key, OUT_PORT: port.key, DELIVERED: (0, YES)}
        out: Actions = (SetField(DELIVERED, YES), Resubmit(Table.OUTPUT), SetField(DELIVERED, 0))
        yield Flow(Table.OUTPUT, OutputPriority.TAP, leaves, (*out, *got))


def _copies(view: View, switch: int, taps: Iterable[Tap], tag: int, there: bool) -> Actions:
    """What makes the copies, and leaves the packet as it was. ``tag``: the VLAN of a trunk's port,
    or 0; ``there``: the packet bears it."""
    copies: Actions = ()
    for tap in sorted(set(taps), key=lambda tap: tap[1:]):
        way = _offered(tap.capture, there) if tap.capture else _way(view, switch, tap)
        if way and tag and tap.tagged != there:
            push: Actions = (PushVlan(), SetField("vlan_vid", tag))
            way = (PopVlan(), *way, *push) if there else (*push, *way, PopVlan())
        copies += way
    if not copies:
        return ()
    saved, back = Move("nxm_in_port", CAME_BY, 16), Move(CAME_BY, "nxm_in_port", 16)
    return (saved, CLEAR_IN_PORT, *copies, back, SetField(CAME_BY, 0))


def _offered(capture: int, sent: bool) -> Actions:
    key = capture | (SENT if sent else 0)
    return (SetField(CAPTURED, key), Resubmit(Table.CAPTURE), SetField(CAPTURED, 0))


def _way(view: View, switch: int, tap: Tap) -> Actions:
    """To who gets copies; nothing, if there is no way."""
    if tap.interface:
        interface = view.get(Interface, (switch, tap.interface))
        return (Output(interface.ofport),) if interface else ()
    service = view.get(TapService, tap.service_id)
    binding = view.get(Binding, service.port_id) if service else None
    if service is None or binding is None:
        return ()
    if binding.switch == switch:
        return _to_service(view, service)
    end, port = endpoint(view, binding.switch), tunnel_port(view, switch, SERVICE_TYPE)
    if end is None or port is None or endpoint(view, switch) is None:
        return ()
    leads = SetField(TUNNEL_ENDS[end.version][1], end.address)
    return (SetField("tunnel_id", service.vni), leads, Output(port))


def _to_service(view: View, service: TapService) -> Actions:
    """To the port that gets copies, past all that judges what is for it."""
    port, binding = view.get(Port, service.port_id), view.get(Binding, service.port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or binding is None or network is None:
        return ()
    if not (port.admin_state_up and network.admin_state_up):
        return ()
    return to_interface(binding.ofport, binding.vlan)


@derived
def services_on(view: View, switch: int) -> frozenset[str]:
    """The tap services whose ports are on a switch."""
    ports = view.ids(Binding, switch=switch) & view.distinct(TapService, "port_id")
    return frozenset(id for port in ports for id in view.ids(TapService, port_id=port))


def compile_service(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Copies that come from other hosts: to the port, and nowhere else."""
    service, tunnel = view.get(TapService, id), tunnel_port(view, switch, SERVICE_TYPE)
    if service is None or tunnel is None or endpoint(view, switch) is None:
        return
    if to_port := _to_service(view, service):
        match: Match = {"in_port": tunnel, "tunnel_id": service.vni}
        yield Flow(Table.CLASSIFY, ClassifyPriority.TAP, match, to_port)


@derived
def captures_on(view: View, switch: int) -> frozenset[str]:
    """The captures of ports that are on a switch."""
    ports = ports_on(view, switch) & view.distinct(Capture, "port_id")
    return frozenset(id for port in ports for id in view.ids(Capture, port_id=port))


def compile_capture(view: View, switch: int, id: str) -> Iterator[Item]:
    """To the controller goes what was asked for, and no more of it than may."""
    if (capture := view.get(Capture, id)) is None:
        return
    meter = MeterUse.CAPTURE.meter(capture.key)
    yield Limit(meter, capture.packets_per_second, capture.packets_per_second)
    for asked in capture.matches:
        match: Match = {CAPTURED: (capture.key, ~SENT & 0xFFFFFFFF), **dict(asked)}
        yield Flow(Table.CAPTURE, CapturePriority.ASKED, match, (Punt(meter),))
