# SPDX-License-Identifier: Apache-2.0

"""Port forwarding: destinations that connection tracking translates, by their port.

Which port a packet in fragments is for, only the first one says; but it is the last one to come
that connection tracking commits a connection with, translated as *its* flow says. So a UDP
connection that begins in fragments is begun by the controller, with an empty packet that goes
nowhere; after that all fragments are known.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.nat.records import PortForwarding
from tenantry.apps.nat.tables import (
    RouterNatInDonePriority,
    RouterNatInPriority,
    RouterNatOutPriority,
    RouterNatReplyPriority,
    RouterSourcePriority,
)
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import View
from tenantry.controller.network.conntrack import ERRORS_4, NEW
from tenantry.controller.network.records import FloatingIp, Router
from tenantry.controller.network.router_entry import CLEAR_CONNTRACK
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    CT_REPLY,
    Actions,
    Ct,
    Flow,
    Goto,
    Match,
    Nat,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.masks import port_masks
from tenantry.controller.openflow.oxm import FRAGMENT, Value
from tenantry.controller.openflow.pipeline import (
    FLAGS,
    INSIDE,
    NAT,
    PINNED,
    PUNT_REASON,
    ROUTER,
    SOURCE,
    TRANSLATE,
    Table,
)
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import IPV4, TCP, UDP

BEGINNING = 3
"""PUNT_REASON: a fragment of what may begin a connection to a forwarded port."""

PROTOCOLS = {"tcp": TCP, "udp": UDP}


def forwarded(
    view: View, router: Router, forwarding: PortForwarding, *, pinned: bool
) -> Iterator[Flow]:
    """The way there and back. ``pinned``: answers go back by the gateway that has forwarded."""
    floating = view.get(FloatingIp, forwarding.floatingip_id)
    protocol = PROTOCOLS.get(forwarding.protocol)
    if floating is None or protocol is None:
        return
    zone, name = Zone.forwarded(router.key), forwarding.protocol
    router_protocol: Match = {ROUTER: router.key, "eth_type": IPV4, "ip_proto": protocol}
    to_floating_ip: Match = {**router_protocol, "ipv4_dst": floating.address}
    known: Actions = (SetField(NAT, TRANSLATE), *CLEAR_CONNTRACK)
    for external, nat in _translations(forwarding):
        to_port = {**to_floating_ip, f"{name}_dst": external}
        begin = Ct(zone, Table.ROUTER_NAT_IN_DONE, nat, commit=True)
        yield Flow(Table.ROUTER_NAT_IN, RouterNatInPriority.FORWARDED, to_port, (*known, begin))
    gathered = Ct(zone, Table.ROUTER_NAT_IN_DONE, Nat())
    lookup = Ct(zone, Table.ROUTER_NAT_REPLY, Nat())
    cut = {**to_floating_ip, "ip_frag": FRAGMENT}
    yield Flow(Table.ROUTER_NAT_IN, RouterNatInPriority.FORWARDED_FRAGMENT, cut, (*known, gathered))
    # What errors quote is translated, too.
    for error in ERRORS_4:
        about: Match = {ROUTER: router.key, **error}
        to_it = {**about, "ipv4_dst": floating.address}
        yield Flow(Table.ROUTER_NAT_IN, RouterNatInPriority.FORWARDED, to_it, (*known, gathered))
        match = {**about, "ipv4_src": forwarding.address, SOURCE: INSIDE, NAT: TRANSLATE}
        yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.FORWARDED, match, (lookup,))
    if protocol == UDP:
        punt = (SetField(PUNT_REASON, BEGINNING), Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))
        yield Flow(
            Table.ROUTER_NAT_IN_DONE,
            RouterNatInDonePriority.BEGINS_IN_FRAGMENTS,
            {**cut, "ct_state": NEW},
            punt,
        )

    answers: Match = {**router_protocol, "ipv4_src": forwarding.address}
    ends: list[Match] = [{f"{name}_src": port} for port in port_masks(*forwarding.internal)]
    for end in (*ends, Match({"ip_frag": FRAGMENT})):
        match = {**answers, **end, SOURCE: INSIDE}
        if pinned:
            pin = (SetField(FLAGS, PINNED), Goto(Table.ROUTER_SOURCE.next))
            yield Flow(Table.ROUTER_SOURCE, RouterSourcePriority.FORWARDED, match, pin)
        yield Flow(
            Table.ROUTER_NAT_OUT,
            RouterNatOutPriority.FORWARDED,
            {**match, NAT: TRANSLATE},
            (lookup,),
        )


def forwarded_replies(router: Router) -> Iterator[Flow]:
    """What is translated back goes on; other answers are not of what was forwarded."""
    replies: Match = {ROUTER: router.key, "ct_state": (CT_REPLY, CT_REPLY), "eth_type": IPV4}
    yield Flow(
        Table.ROUTER_NAT_REPLY, RouterNatReplyPriority.REPLY, replies, (Goto(Table.ROUTER_OUT),)
    )


def _translations(forwarding: PortForwarding) -> Iterator[tuple[Value, Nat]]:
    """External ports, each or as masks, with what they become."""
    first, last = forwarding.external
    low, high = forwarding.internal
    if low == high:
        for external in port_masks(first, last):
            yield external, Nat("dst", forwarding.address, low, low)
    elif (low, high) == (first, last):
        for external in port_masks(first, last):
            yield external, Nat("dst", forwarding.address)
    else:
        for external in range(first, last + 1):
            internal = low + external - first
            yield external, Nat("dst", forwarding.address, internal, internal)


def resent_fragments(view: View, router: Router, packet: PacketIn) -> Iterator[PacketOut]:
    """Fragments of a datagram, one after the other, the first one first: it begins the connection,
    and they come to be looked up again. Errors: Malformed."""
    fragment = frames.parse_ip(packet.data)
    done = SetField(PUNT_REASON, 0)
    if fragment.first:
        ends = frames.ports(fragment)
        nat = _translation(view, router, fragment.protocol, fragment.dst, ends[1])
        if nat is None:
            on = packet.resume(Table.ROUTER_NAT_IN_DONE.next, SetField(NAT, 0), done)
            yield PacketOut(packet.data, on)
            return
        empty = frames.udp(frames.Ends(0, 0, 4, fragment.src, fragment.dst), *ends, b"")
        yield PacketOut(empty, (Ct(Zone.forwarded(router.key), nat=nat, commit=True),))
    yield PacketOut(packet.data, packet.resume(Table.ROUTER_NAT_IN, done))


def _translation(view: View, router: Router, protocol: int, address: int, port: int) -> Nat | None:
    """What a destination becomes; None if it is not forwarded."""
    for forwarding in view.find(PortForwarding, router_id=router.id):
        floating = view.get(FloatingIp, forwarding.floatingip_id)
        known = PROTOCOLS.get(forwarding.protocol) == protocol
        if known and floating is not None and floating.address == address:
            for external, nat in _translations(forwarding):
                value, mask = external if isinstance(external, tuple) else (external, 0xFFFF)
                if (port ^ value) & mask == 0:
                    return nat
    return None
