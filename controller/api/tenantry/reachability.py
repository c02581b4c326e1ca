# SPDX-License-Identifier: Apache-2.0

"""What people are told where ports of a network are beyond each other's reach, or guests beyond the
service port's: why, and what to do."""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import datetime, timedelta, timezone

from tenantry.controller.model import Agent, Network, Switch, View
from tenantry.controller.network.records import Segment
from tenantry.controller.network.tunnels import (
    TYPES,
    Unreachable,
    endpoint,
    segments,
    service_switch,
    unreachable,
    wired_switches,
)

SOON = timedelta(days=30)

_SAY = "run `ovs-vsctl set Open_vSwitch . external_ids:tenantry-encap-ip=ADDRESS` there"


def warnings(
    view: View,
    connected: Container[int],
    expires: datetime | None = None,
    api_expires: datetime | None = None,
) -> Iterator[str]:
    """Lines for people; none if all is well. ``connected``: the switches that are. ``expires``:
    when the controller's certificate runs out, if hosts need one, too; ``api_expires``: the
    API's."""
    if expires is not None:
        yield from _certificates(view, connected, expires)
    if api_expires is not None and (left := _left(api_expires)) < SOON:
        yield f"the API's certificate runs out in {left.days} days: renew [api] tls_certificate"
    for network in view.find(Network):
        parts = unreachable(view, network.id)
        if parts is not None:
            yield from _parts(view, network, parts)
    yield from _services(view)


def _left(expires: datetime) -> timedelta:
    return expires - datetime.now(timezone.utc)


def _certificates(view: View, connected: Container[int], expires: datetime) -> Iterator[str]:
    left = _left(expires)
    if left < SOON:
        yield f"the controller's certificate runs out in {left.days} days: `tenantry ca renew`"
    for switch in view.find(Switch):
        if switch.integration and switch.id not in connected:
            name = f"{switch.name} of {switch.host}"
            yield (
                f"{name} is not connected. If Open vSwitch runs there, has it a certificate? "
                f"`tenantry host invite {switch.host}`; for the own host `tenantry ca renew`"
            )


def _parts(view: View, network: Network, parts: Unreachable) -> Iterator[str]:
    switches = [view.get(Switch, id) for id in (parts.first, *sorted(parts.others))]
    found = [switch for switch in switches if switch is not None]
    several = len({switch.host for switch in found}) < len(found)
    names = {
        s.id: f"{s.name} of {s.host}" if several and s.host else s.host or s.name for s in found
    }
    why = "; ".join(
        reason for one in segments(view, network.id) for reason in _reasons(view, one, found, names)
    )
    others = ", ".join(name for id, name in names.items() if id != parts.first)
    yield (
        f"network {network.name or network.id}: ports on {others} do not reach those on "
        f"{names.get(parts.first)}: {why}"
    )


def _reasons(
    view: View, segment: Segment, switches: list[Switch], names: dict[int, str]
) -> Iterator[str]:
    """Why a segment does not join these switches."""
    if segment.network_type in TYPES:
        ends = {switch.id: endpoint(view, switch.id) for switch in switches}
        for switch in switches:
            if not switch.integration:
                yield f"{names[switch.id]} is no integration bridge, and tunnels lead to no other"
            elif ends[switch.id] is None:
                yield f"{names[switch.id]} has no tunnel address: {_SAY}"
        if len({end.version for end in ends.values() if end}) > 1:
            yield "some tunnel addresses are IPv4, some IPv6"
    elif segment.physical_network:
        there = {switch for _, switch in wired_switches(view, segment.network_id)}
        for switch in switches:
            if switch.id not in there:
                yield (
                    f"no interface of {names[switch.id]} leads to physical network "
                    f"{segment.physical_network} (external_ids:tenantry-physical-network)"
                )
    else:
        yield (
            f"it is {segment.network_type} to each switch; `openstack network segment create "
            f"--network {segment.network_id} --network-type vxlan overlay` joins them"
        )


def _services(view: View) -> Iterator[str]:
    """Where guests get no metadata, and no DNS over TCP, for lack of a tunnel."""
    agents, home = view.find(Agent, l3=False), service_switch(view)
    record = view.get(Switch, home) if home is not None else None
    if record is None or len(agents) < 2:
        return
    for agent in agents:
        if agent.tunnel is None:
            whose = "guests of other hosts" if agent.host == record.host else "its guests"
            yield f"host {agent.host} has no tunnel address, so {whose} get no metadata: {_SAY}"
