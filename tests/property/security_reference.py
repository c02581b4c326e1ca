# SPDX-License-Identifier: Apache-2.0

"""Security groups in plain Python: who may send what to whom. Nothing of it is from the product."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

TRACKABLE = {4: {1, 6, 17}, 6: {6, 17, 58}}
WITH_PORTS = {6, 17, 132}


@dataclass(frozen=True)
class Rule:
    """As the API has it; ``first`` and ``last`` are ports, or ICMP type and code."""

    ingress: bool
    version: int
    protocol: int | None = None
    first: int | None = None
    last: int | None = None
    prefix: str | None = None
    group: str | None = None
    addresses: str | None = None


@dataclass
class Group:
    stateful: bool
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True)
class Machine:
    groups: tuple[str, ...]
    addresses: dict[int, str]

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection; ``ports`` are (source, destination), or type and code.
    ``cut``: the "first" of its fragments, or a "later" one, which has no ports; of IPv6, nor has it
    a protocol."""

    version: int
    protocol: int
    ports: tuple[int, int]
    cut: str = ""


@dataclass
class World:
    groups: dict[str, Group]
    address_groups: dict[str, list[str]]

    def allows(self, machine: Machine, ingress: bool, packet: Packet, other: Machine) -> bool:
        """Whether a rule of the machine's groups lets it begin (or, for ingress, take) this."""
        unknown = packet.cut == "later" and packet.version == 6 and not self.tracks(machine, packet)
        if unknown and any(self.groups[name].stateful for name in machine.groups):
            return False  # it waits for what never comes: the first one was not tracked
        return any(
            self._matches(rule, packet, other, unknown)
            for name in machine.groups
            for rule in self.groups[name].rules
            if rule.ingress == ingress
        )

    def _matches(self, rule: Rule, packet: Packet, other: Machine, unknown: bool) -> bool:
        if rule.version != packet.version:
            return False
        if not unknown and rule.protocol not in (None, packet.protocol):
            return False
        if packet.cut == "later":
            pass  # without the first it is nothing
        elif packet.protocol in WITH_PORTS:
            if rule.first is not None and not rule.first <= packet.ports[1] <= (rule.last or 0):
                return False
        elif any(
            want not in (None, got)
            for want, got in zip((rule.first, rule.last), packet.ports, strict=True)
        ):
            return False
        address = ip_address(other.addresses[packet.version])
        if rule.prefix is not None and address not in ip_network(rule.prefix):
            return False
        if rule.group is not None and rule.group not in other.groups:
            return False
        prefixes = self.address_groups[rule.addresses] if rule.addresses else None
        return prefixes is None or any(
            net.version == address.version and address in net for net in map(ip_network, prefixes)
        )

    def tracks(self, machine: Machine, packet: Packet) -> bool:
        known = packet.protocol in TRACKABLE[packet.version]
        return known and any(self.groups[name].stateful for name in machine.groups)

    def may_leave(self, sender: Machine, packet: Packet, receiver: Machine) -> bool:
        return self.allows(sender, False, packet, receiver)

    def may_enter(self, sender: Machine, packet: Packet, receiver: Machine) -> bool:
        return self.allows(receiver, True, packet, sender)

    def answer_may_leave(self, client: Machine, packet: Packet, server: Machine) -> bool:
        """The answer of ``server`` to ``packet``."""
        if self.tracks(server, packet):
            return self.may_enter(client, packet, server)
        return self.may_leave(server, turned(packet), client)

    def answer_may_enter(self, client: Machine, packet: Packet, server: Machine) -> bool:
        if self.tracks(client, packet):
            return self.may_leave(client, packet, server)
        return self.may_enter(server, turned(packet), client)


ECHO_REPLY = {(1, 8): 0, (58, 128): 129}


def turned(packet: Packet) -> Packet:
    """The answer to a packet."""
    if packet.protocol in WITH_PORTS:
        return Packet(packet.version, packet.protocol, packet.ports[::-1], packet.cut)
    kind, code = packet.ports
    reply = ECHO_REPLY.get((packet.protocol, kind), kind)
    return Packet(packet.version, packet.protocol, (reply, code), packet.cut)
