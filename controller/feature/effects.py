# SPDX-License-Identifier: Apache-2.0

"""Packets as values: what an app gets when its flows send one to the controller, and what follows.

Handlers are pure functions like everything in an app: bytes and a view in, *effects* out. An effect
is a value; what is done about it is for whoever owns its type (``Parts.effects`` of a feature, or a
part of the core). Which packets get here, and how many, is for ``service/packet_in.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from webob import Request, Response

from tenantry.controller.model import Binding, Change, Network, Port, View
from tenantry.controller.openflow.flow import Action, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    FLOOD_PART,
    NETWORK,
    OUT_PORT,
    Field,
    Table,
    flood_part,
)


class PacketIn(NamedTuple):
    """A packet, where it came in, and what the pipeline knew of it by then."""

    switch: int
    cookie: int
    ofport: int
    network: int  # NETWORK, or 0
    port: int  # IN_PORT, or 0
    data: bytes
    registers: tuple[int, ...] = (0,) * 16

    def register(self, field: Field) -> int:
        """A field that lies in a register of 32 bits."""
        return self.registers[int(field.removeprefix("reg"))]

    def address(self, field: Field) -> int:
        """A field that lies in four of them."""
        first = 4 * int(field.removeprefix("xxreg"))
        words = self.registers[first : first + 4]
        return words[0] << 96 | words[1] << 64 | words[2] << 32 | words[3]

    def resume(self, table: Table, *changed: Action) -> tuple[Action, ...]:
        """What puts a packet back with all that was known of it, but for what has ``changed``, to
        go on in a table."""
        known = [SetField(NETWORK, self.network)] if self.network else []
        known += [SetField(f"reg{n}", value) for n, value in enumerate(self.registers) if value]
        return (*known, *changed, Resubmit(table))


class PacketOut(NamedTuple):
    """A packet to be sent by a switch. It enters the pipeline as the controller's, and ``actions``
    say where: at a table, with what is known of it by then. Nobody but the pipeline knows by which
    port of the switch a packet leaves, and with which tag or tunnel."""

    data: bytes
    actions: tuple[Action, ...]
    sender: str = ""
    """The id of a port on that switch from which it is sent, as it were: it gets no copy of it."""


def resubmitted(data: bytes, known: Iterable[tuple[Field, int]], table: Table) -> PacketOut:
    """A packet that begins in a table, with what is known of it."""
    return PacketOut(data, (*(SetField(*one) for one in known), Resubmit(table)))


def to_port(network_key: int, port_key: int, data: bytes) -> PacketOut:
    """To a port on the switch that sends it, as it is."""
    return resubmitted(data, ((NETWORK, network_key), (OUT_PORT, port_key)), Table.OUTPUT)


def to_ports(
    view: View, switch: int, network: Network, data: bytes, *, but: str = ""
) -> Iterator[PacketOut]:
    """To the network's ports on a switch, but for one of them (an id), and to nowhere beyond it.
    The switch makes the copies, as of any broadcast, however many there are."""
    parts = view.distinct(Binding, "part", switch=switch, network_id=network.id)
    copies: list[Action] = [SetField(NETWORK, network.key)]
    for number in sorted(map(flood_part, parts)):
        copies += (SetField(FLOOD_PART, number), Resubmit(Table.FLOOD_PART))
    yield PacketOut(data, tuple(copies), but)
    binding = view.get(Binding, but)
    if binding is None or binding.switch != switch:
        return
    # On a trunk, others get theirs by the same port of the switch.
    for id in sorted(view.ids(Binding, switch=switch, interface=binding.interface) - {but}):
        port = view.get(Port, id)
        if port is not None and port.network_id == network.id:
            yield to_port(network.key, port.key, data)


T = TypeVar("T", covariant=True)


class DnsQuery(NamedTuple, Generic[T]):
    """A DNS message for the configured resolvers; ``then`` makes of their answer (None: there was
    none in time) what is to be sent."""

    data: bytes
    then: Callable[[bytes | None], T]


class Neighbour(NamedTuple):
    """An address on a network."""

    network_id: str
    version: int
    address: int


class ResolveNeighbour(NamedTuple):
    """A neighbour's MAC address, for ``then``: what is to be sent when it is known, or (None) when
    nobody answered."""

    neighbour: Neighbour
    then: Callable[[int | None], Iterable[PacketOut]]


class NeighbourReply(NamedTuple):
    """A neighbour that says what its MAC address is. Only one that was asked is believed."""

    neighbour: Neighbour
    mac: int


class Neighbourhood(NamedTuple):
    """How a feature finds neighbours: those that it needs to know all the time, and the questions
    that are to be asked for one, each with the switch (datapath id) that sends it. Pure."""

    wanted: Callable[[View], Iterable[Neighbour]]
    questions: Callable[[View, Neighbour], Iterable[tuple[int, PacketOut]]]


class PortMigrated(NamedTuple):
    """A port that may move to a host, and runs there by now."""

    port_id: str
    host: str


Handler: TypeAlias = Callable[[View, PacketIn], Iterable[object]]
"""What an app makes of a packet: effects, each of a type that somebody handles. The core handles
PacketOut (an answer), Change (what was learned), DnsQuery, ResolveNeighbour, NeighbourReply and
PortMigrated. Errors: Malformed.
"""


class Origin(NamedTuple):
    """What an effect comes from: a packet, and the way to answer by the switch that it came to."""

    packet: PacketIn
    send: Callable[[PacketOut], None]


EffectHandler: TypeAlias = Callable[[Any, Origin], None]
"""What is done about an effect of one type. It never waits."""


class Http(NamedTuple):
    """A feature that answers HTTP at the service port: the id of the asking port, its request."""

    tcp_port: int
    answer: Callable[[View, str, Request], Response]


class Stream(NamedTuple):
    """A feature that answers DNS messages in TCP (RFC 7766) at the service port, likewise."""

    tcp_port: int
    answer: Callable[[View, str, bytes], bytes | DnsQuery[bytes]]


Endpoint: TypeAlias = Http | Stream


Announce: TypeAlias = Callable[[View, View, Change], Iterable[tuple[int, PacketOut]]]
"""What is to be sent, by which switch (datapath id), once it has confirmed a change: who has moved
says so, and what was told and no longer holds is taken back. It is the difference between what was
before the change (and those beside it) and what is now. Pure; asked for every change, so it must be
quick to see that one is none of its own."""


Unasked: TypeAlias = Callable[[View, int], Iterable[PacketOut | Change]]
"""What is sent by a switch (datapath id), and what is known by then, without a packet."""


class Periodic(NamedTuple):
    """What is done unasked: every so many seconds for each switch that is connected, and when one
    is ``lost``."""

    seconds: float
    effects: Unasked
    lost: Unasked = lambda view, switch: ()
