# SPDX-License-Identifier: Apache-2.0

"""ICMP errors about what is not tracked: they pass if they are about a packet that the port may
have sent, or got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.apps.security_groups.members import addresses, groups_of
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroup, SecurityGroupRule
from tenantry.apps.security_groups.tables import ENTERING
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Port, Prefix, View
from tenantry.controller.network.conntrack import untracked
from tenantry.controller.openflow.pipeline import IN_PORT, OUT_PORT, RULE_DIRECTION, Table
from tenantry.controller.packets.addresses import is_within, link_local
from tenantry.controller.packets.frames import Ip


def handle(view: View, packet: PacketIn) -> Iterable[PacketOut]:
    """Let it go on, to the port that has sent what it quotes, or from the one that got it, if a
    rule of the port allows a packet like that. (An error about a connection needs no rule of its
    own either.) Errors: Malformed."""
    quoted, entering = untracked(packet.data), packet.register(RULE_DIRECTION) == ENTERING[0]
    if quoted is None:
        return
    key = packet.register(OUT_PORT if entering else IN_PORT)
    table = Table.TO_PORT_ACL if entering else Table.FROM_PORT_ACL
    own, far = (quoted.src, quoted.dst) if entering else (quoted.dst, quoted.src)
    for port in view.find(Port, key=key):
        on_link = (quoted.version, own) == (6, link_local(port.mac))
        is_own = on_link or _covers(addresses(port), quoted.version, own)
        if is_own and _allows(view, port, quoted, far, ingress=not entering):
            yield PacketOut(packet.data, packet.resume(table.next))


def _allows(view: View, port: Port, quoted: Ip, far: int, *, ingress: bool) -> bool:
    """Whether a rule of the port's groups is about such packets. Their ports may be beyond what an
    error quotes."""
    groups = groups_of(view, port.id)
    if groups is None:
        return True
    rules = (
        rule
        for group in groups
        for rule in view.find(SecurityGroupRule, security_group_id=group.id)
    )
    return any(
        rule.ingress == ingress
        and rule.version == quoted.version
        and rule.protocol in (None, quoted.protocol)
        and _covers(_remote(view, rule), quoted.version, far)
        for rule in rules
    )


def _remote(view: View, rule: SecurityGroupRule) -> Iterator[Prefix]:
    """The addresses that a rule is about."""
    if not rule.remote_id:
        yield Prefix(rule.version, rule.remote_first or 0, rule.remote_length)
    elif view.get(SecurityGroup, rule.remote_id) is not None:
        for member in view.find(Port, security_groups=rule.remote_id):
            yield from addresses(member)
    elif (group := view.get(AddressGroup, rule.remote_id)) is not None:
        yield from group.prefixes


def _covers(prefixes: Iterable[Prefix], version: int, address: int) -> bool:
    return any(
        prefix.version == version and is_within(address, version, prefix.first, prefix.length)
        for prefix in prefixes
    )
