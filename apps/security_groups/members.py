# SPDX-License-Identifier: Apache-2.0

"""Who is in which group: the identities of ports, and who may be meant by a rule's remote group.

A port of one group goes by the identity of the group, so that one flow speaks for all of them. A
port of several goes by its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.firewall.records import FirewallGroup
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroup, SecurityGroupRule
from tenantry.apps.security_groups.tables import (
    ADDRESS_GROUP,
    EGRESS,
    ENTERING,
    FAR_ADDRESS,
    INGRESS,
    LEAVING,
    OF_PORT,
    PEER_IDENTITY,
    PORT_TO_IDENTIFY,
    REMOTE_GROUP,
    SECURED,
    SUBJECT_IDENTITY,
    TRACKED,
    UNJUDGED,
    MembersPriority,
    SgIdentityPriority,
)
from tenantry.controller.model import Binding, Port, Prefix, View, derived
from tenantry.controller.network.routers import networks_on
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.flow import Action, Actions, Flow, Match, Resubmit, SetField
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import RULE_DIRECTION, Table
from tenantry.controller.packets.addresses import BITS, mapped_prefix


def identity(group: SecurityGroup) -> int:
    """What SUBJECT_IDENTITY and PEER_IDENTITY are for a group."""
    return SECURED | (TRACKED if group.stateful else 0) | group.key


def rule_direction(group: SecurityGroup, ingress: bool) -> tuple[int, int]:
    """The RULE_DIRECTION in which a group's rules of a direction are asked."""
    if group.stateful:
        return INGRESS if ingress else EGRESS
    return ENTERING if ingress else LEAVING


# --- ports -----------------------------------------------------------------------------------


@derived
def groups_of(view: View, port_id: str) -> tuple[SecurityGroup, ...] | None:
    """The groups of a port, in order; None if nobody judges it."""
    port = view.get(Port, port_id)
    if port is None or port.security_groups is None:
        return None
    groups = (view.get(SecurityGroup, id) for id in sorted(port.security_groups))
    return tuple(group for group in groups if group is not None)


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port's identity, and what it stands for if it has several groups."""
    port, groups = view.get(Port, port_id), groups_of(view, port_id)
    if port is None:
        return
    if groups is None:
        yield Flow(
            Table.SG_IDENTITY,
            SgIdentityPriority.PORT,
            {PORT_TO_IDENTIFY: port.key},
            (SetField(PORT_TO_IDENTIFY, UNJUDGED),),
        )
        return
    # A firewall judges connections, also where the groups do not.
    firewalled = bool(view.ids(FirewallGroup, ports=port_id))
    own = _identity_of(port, groups, firewalled=firewalled)
    yield Flow(
        Table.SG_IDENTITY,
        SgIdentityPriority.PORT,
        {PORT_TO_IDENTIFY: port.key},
        (SetField(PORT_TO_IDENTIFY, own),),
    )
    if own & OF_PORT:
        each: list[Action] = []
        for group in groups:
            each += (SetField(SUBJECT_IDENTITY, identity(group)), Resubmit(Table.SG_POLICY))
        yield Flow(Table.SG_POLICY, OneRung.ORDINARY, {SUBJECT_IDENTITY: own}, tuple(each))
        for group in groups:
            if group.id in remotes_on(view, switch, True):
                yield _here(group.key, own)


def _identity_of(port: Port, groups: tuple[SecurityGroup, ...], *, firewalled: bool) -> int:
    if len(groups) == 1 and not firewalled:
        return identity(groups[0])
    if not groups:
        return SECURED
    tracked = TRACKED if firewalled or any(group.stateful for group in groups) else 0
    return SECURED | OF_PORT | tracked | port.key


def _here(remote: int, peer: int) -> Flow:
    """Who has this identity is in a remote group."""
    return Flow(
        Table.MEMBERS, MembersPriority.IDENTITY, {REMOTE_GROUP: remote, PEER_IDENTITY: peer}, _ASK
    )


_ASK: Actions = (Resubmit(Table.RULES),)


# --- groups ----------------------------------------------------------------------------------


@derived
def groups_on(view: View, switch: int) -> frozenset[str]:
    """The groups of the ports on a switch."""
    return view.distinct(Binding, "security_groups", switch=switch)


def compile_group(view: View, switch: int, group_id: str) -> Iterator[Flow]:
    """Whom the rules of a group are about: everybody, and each remote group."""
    group = view.get(SecurityGroup, group_id)
    if group is None:
        return
    for ingress in (False, True):
        remotes = view.distinct(
            SecurityGroupRule, "remote_id", security_group_id=group_id, ingress=ingress
        )
        asked: list[Action] = []
        for key in sorted(key for id in remotes if (key := remote_key(view, id)) is not None):
            table = Table.MEMBERS if key else Table.RULES
            asked += (SetField(REMOTE_GROUP, key), Resubmit(table))
        if asked:
            if remotes != {""}:
                asked.insert(0, Resubmit(Table.FAR_END))
            match: Match = {
                SUBJECT_IDENTITY: identity(group),
                RULE_DIRECTION: rule_direction(group, ingress),
            }
            yield Flow(Table.SG_POLICY, OneRung.ORDINARY, match, tuple(asked))


def remote_key(view: View, remote_id: str) -> int | None:
    """What REMOTE_GROUP is for a rule's remote group; 0 for a rule that has none."""
    if not remote_id:
        return 0
    group = view.get(SecurityGroup, remote_id)
    if group is not None:
        return group.key
    addresses = view.get(AddressGroup, remote_id)
    return None if addresses is None else ADDRESS_GROUP | addresses.key


# --- remote groups ---------------------------------------------------------------------------


@derived
def remotes_on(view: View, switch: int, ingress: bool) -> frozenset[str]:
    """The remote groups that rules of a direction name on a switch."""
    named = (
        view.distinct(SecurityGroupRule, "remote_id", security_group_id=group_id, ingress=ingress)
        for group_id in groups_on(view, switch)
    )
    return frozenset[str]().union(*named) - {""}


def all_remotes_on(view: View, switch: int) -> frozenset[str]:
    """Those of both directions."""
    return remotes_on(view, switch, True) | remotes_on(view, switch, False)


def compile_remote(view: View, switch: int, remote_id: str) -> Iterator[Flow]:
    """Of a security group, the ports here that have no other; of an address group, all of it."""
    group = view.get(SecurityGroup, remote_id)
    if group is not None:
        if remote_id in remotes_on(view, switch, True):
            yield _here(group.key, identity(group))
        return
    addresses = view.get(AddressGroup, remote_id)
    if addresses is None:
        return
    for prefix in addresses.prefixes:
        yield _at({REMOTE_GROUP: ADDRESS_GROUP | addresses.key}, prefix)


def members_known_by_address(view: View, switch: int) -> frozenset[str]:
    """Ports of remote groups that a packet's address must tell: senders that are elsewhere, and all
    receivers, for when an egress rule is asked, nobody knows yet where the packet will go."""
    senders, receivers = remotes_on(view, switch, True), remotes_on(view, switch, False)
    found: list[frozenset[str]] = []
    for network_id in networks_on(view, switch):  # nobody else can be met here
        for group_id in senders | receivers:
            at = {"network_id": network_id, "security_groups": group_id}
            switches = view.distinct(Binding, "switch", **at)
            for there in switches if group_id in receivers else switches - {switch}:
                found.append(view.ids(Binding, **at, switch=there))
    return frozenset[str]().union(*found)


def compile_member(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """The addresses of a port, for each of its groups that rules here name."""
    port, binding = view.get(Port, port_id), view.get(Binding, port_id)
    if port is None or binding is None:
        return
    named = remotes_on(view, switch, False)
    if binding.switch != switch:
        named |= remotes_on(view, switch, True)
    for group in groups_of(view, port_id) or ():
        if group.id in named:
            for prefix in addresses(port):
                yield _at({REMOTE_GROUP: group.key, PEER_IDENTITY: 0}, prefix)


def addresses(port: Port) -> list[Prefix]:
    """What a port may have: its fixed IPs and its allowed address pairs."""
    own = {Prefix(ip.version, ip.address, BITS[ip.version]) for ip in port.fixed_ips}
    pairs = {Prefix(pair.version, pair.first, pair.prefix_length) for pair in port.allowed_pairs}
    return sorted(own | pairs, key=lambda prefix: (prefix.version, prefix.first, prefix.length))


def _at(match: Match, prefix: Prefix) -> Flow:
    """Who has one of these addresses is in a remote group."""
    address, mask = mapped_prefix(prefix.version, prefix.first, prefix.length)
    value: Value = address if mask == EVERY_BIT else (address, mask)
    far_address: Match = {FAR_ADDRESS: value} if mask else {}
    return Flow(Table.MEMBERS, MembersPriority.ADDRESS, {**match, **far_address}, _ASK)


EVERY_BIT = (1 << 128) - 1
