# SPDX-License-Identifier: Apache-2.0

"""Load balancers at the gateways of their routers: flows for those who ask from outside.

::

    ROUTER_LB    for a load balancer's address:         from where a member answers:
      |          its zone is asked                      likewise. To a client from outside?
      |          known, or begins: on, to a member      Then it is BALANCED
    ROUTE        ...                                    ...
    ROUTER_NAT_OUT                                      BALANCED: the zone translates it back
    ROUTER_LB_BACK                                      on, as the load balancer; to ROUTER_NAT_OUT,
                                                        where it gets its floating IP, if it has one

All that lies between, routes and firewalls, sees client and member. What members send from where
they answer goes by a gateway, also if the member's own switch could send it outside, or it has a
floating IP of its own: only the gateway knows whose answer it is. A load balancer whose addresses
no interface has is represented by its router: that answers pings, and refuses what nobody takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.load_balancer.beginning import Beginning, compile_listeners
from tenantry.apps.load_balancer.behind import sharing, sharing_address
from tenantry.apps.load_balancer.choice import (
    ETH_TYPES,
    Tracked,
    within,
)
from tenantry.apps.load_balancer.places import PORT_FIELDS, Service, answering, services
from tenantry.apps.load_balancer.records import LoadBalancer
from tenantry.apps.load_balancer.tables import (
    BY_ROUTER,
    MEMBER_GONE,
    RouterLbBackPriority,
    RouterLbPriority,
)
from tenantry.apps.nat.tables import RouterNatOutPriority, RouterSourcePriority
from tenantry.controller.model import Binding, View
from tenantry.controller.network.conntrack import ERRORS_4, ERRORS_6, NEW, REPLY
from tenantry.controller.network.failover import is_primary
from tenantry.controller.network.records import FloatingIp, Router
from tenantry.controller.network.router_entry import (
    CLEAR_CONNTRACK,
    for_itself,
    leave_by_gateway,
)
from tenantry.controller.network.routers import (
    gateway,
    gateways,
    router_interfaces,
    switches_at,
    translating_switches,
)
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Limit,
    Match,
    Nat,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.oxm import FRAGMENT
from tenantry.controller.openflow.pipeline import (
    BALANCED,
    FLAGS,
    FLOATING,
    FROM_NETWORKS,
    GATEWAY_HERE,
    INSIDE,
    ITSELF,
    NAT,
    OUTSIDE,
    ROUTER,
    SOURCE,
    TRANSLATE,
    TRANSLATED,
    Table,
)
from tenantry.controller.packets.addresses import prefix_value
from tenantry.controller.packets.frames import TCP

UNREACHABLE = {4: ERRORS_4[0], 6: ERRORS_6[0]}
"""By IP version, what a member says if nothing listens there, but for TCP."""

ON = Goto(Table.ROUTER_LB.next)


def compile_routed(view: View, switch: int, id: str) -> Iterator[Flow | Limit]:
    """A load balancer behind a router."""
    router_id, balancer_id = id.split()
    router, balancer = view.get(Router, router_id), view.get(LoadBalancer, balancer_id)
    leg = gateway(view, router_id)
    if router is None or balancer is None or leg is None:
        return
    if not (router.admin_state_up and balancer.admin_state_up):
        return
    of_it = AtRouter(view, switch, router, balancer)
    if switch in gateways(view, router_id):
        yield from of_it.arrived()
        yield from of_it.answered()
    elif switch in switches_at(view, leg.network.id):
        yield from of_it.sent_to_gateway()


class Sent(NamedTuple):
    """What a member sends from where it answers, and the keys of the load balancers whose it may
    be; the rungs where the first of them is asked, and the others."""

    rung: int
    other_zone: int
    match: Match
    keys: tuple[int, ...]


class AtRouter:
    """The flows of one load balancer for what a router gets, on one switch."""

    def __init__(self, view: View, switch: int, router: Router, balancer: LoadBalancer) -> None:
        self.view, self.switch, self.router, self.balancer = view, switch, router, balancer
        self.zone = Zone.routed(balancer.key)
        self.does = answering(view, balancer.id)
        self.absent = view.get(Binding, balancer.vip_port_id) is None
        versions = {vip.version for vip in balancer.vips}
        self.services = [one for one in services(view, balancer.id) if one.version in versions]
        self.addresses = dict.fromkeys((one.version, one.address) for one in self.services)

    def _of(self, version: int, **more: int) -> Match:
        match: Match = {ROUTER: self.router.key, "eth_type": ETH_TYPES[version]}
        return match | {f"ipv{version}_{end}": address for end, address in more.items()}

    def _known(self, match: Match) -> Match:
        return {**match, "ct_zone": self.zone}

    # --- there -------------------------------------------------------------------------------

    def arrived(self) -> Iterator[Flow | Limit]:
        """What comes for its addresses."""
        table, rung = Table.ROUTER_LB, RouterLbPriority
        for vip in self.balancer.vips:
            to_it = self._of(vip.version, dst=vip.address)
            if self.absent:
                yield from for_itself(self.router, to_it)
                yield from self._as_itself(vip.version, vip.address)
            if not self.does:
                continue
            ways: list[Match] = [{SOURCE: OUTSIDE}]
            ways += [{NAT: TRANSLATE}] if vip.version == 4 else []
            for way in ways:
                asked = (*CLEAR_CONNTRACK, Ct(self.zone, table, Nat()))
                yield Flow(table, rung.ARRIVED, {**to_it, **way}, asked)
            yield Flow(table, rung.OTHER, self._known(to_it), (CtClear(), ON))
        if not self.does:
            return
        for version, address in self.addresses:
            to_member = self._known(self._of(version, dst=address))
            yield Flow(table, rung.TRANSLATED, to_member, (*CLEAR_CONNTRACK, ON))
        gone = self._known({ROUTER: self.router.key})
        yield Flow(table, rung.GONE, gone, drop(MEMBER_GONE))
        how = Beginning(
            Tracked(self.zone, table, BY_ROUTER), RouterLbPriority, self._new, self._begun
        )
        versions = dict.fromkeys(vip.version for vip in self.balancer.vips)
        yield from compile_listeners(self.view, self.does, self.balancer.vips, versions, how)

    def _new(self, version: int, address: int) -> Match:
        return {**self._known(self._of(version, dst=address)), "ct_state": NEW}

    @staticmethod
    def _begun(chosen: Actions | None, limit: Limit | None) -> Actions:
        """Without members it is for nobody."""
        return within(limit, chosen or (CtClear(), ON))

    def _as_itself(self, version: int, address: int) -> Iterator[Flow]:
        """What its router says for it leaves by its floating IP, if that was asked."""
        if not self.view.ids(FloatingIp, router_id=self.router.id, fixed_address=address):
            return
        said = {**self._of(version, src=address), SOURCE: ITSELF, NAT: TRANSLATE}
        again = (SetField(SOURCE, FLOATING), Resubmit(Table.ROUTER_NAT_OUT))
        yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.BALANCED, said, again)

    # --- and back ----------------------------------------------------------------------------

    def sent_to_gateway(self) -> Iterator[Flow]:
        """What comes from where its members answer, on a switch that could send it outside."""
        leave = leave_by_gateway(self.view, self.switch, self.router)
        yield from self._staying_inside()
        yield from self._not_floating()
        for service in self.services:
            for sent in self._sent(service):
                yield Flow(Table.ROUTER_LB, sent.rung, sent.match, leave)

    def answered(self) -> Iterator[Flow]:
        """What comes from where its members answer, at a gateway."""
        table, rung = Table.ROUTER_LB, RouterLbPriority
        yield from self._staying_inside()
        for service in self.services:
            yield from self._asked(service)
        of_zone: Match = {ROUTER: self.router.key, "ct_zone": self.zone}
        answer = {**of_zone, "ct_state": REPLY}
        known = (SetField(SOURCE, BALANCED), *CLEAR_CONNTRACK, ON)
        yield Flow(table, rung.ANSWER, answer, known)
        other = {**of_zone, SOURCE: FROM_NETWORKS}
        yield Flow(table, rung.NO_ANSWER, other, (CtClear(), ON))
        if not is_primary(self.view, self.switch, self.router.id):
            yield from self._not_floating()
            left: Match = {**other, FLAGS: (0, GATEWAY_HERE)}
            leave = leave_by_gateway(self.view, self.switch, self.router)
            yield Flow(table, rung.HAND_OVER, left, (CtClear(), *leave))
        for version, address in self.addresses:
            yield from self._back(version, address)
        for vip in self.balancer.vips:
            back = self._known(self._of(vip.version, src=vip.address))
            on = (SetField(SOURCE, FLOATING), *CLEAR_CONNTRACK, Resubmit(Table.ROUTER_NAT_OUT))
            yield Flow(Table.ROUTER_LB_BACK, RouterLbBackPriority.TRANSLATED, back, on)

    def _not_floating(self) -> Iterator[Flow]:
        """Members that have a floating IP here do not answer with it, until the gateway has seen
        whom."""
        floating = self._floating(here=True)
        for service in self.services:
            for sent in self._sent(service) if service.address in floating else ():
                inside = {**sent.match, SOURCE: INSIDE}
                on = (Goto(Table.ROUTER_SOURCE.next),)
                yield Flow(Table.ROUTER_SOURCE, RouterSourcePriority.MEMBER, inside, on)

    def _floating(self, *, here: bool) -> dict[int, FloatingIp]:
        """The floating IPs of members, by their fixed addresses: those that are translated here, or
        elsewhere."""
        found = self.view.find(FloatingIp, router_id=self.router.id)
        fixed = {address for version, address in self.addresses if version == 4}
        return {
            one.fixed_address: one
            for one in found
            if one.fixed_address in fixed
            and (self.switch in translating_switches(self.view, one)) == here
        }

    def _staying_inside(self) -> Iterator[Flow]:
        """From network to network it goes as ever: clients' own switches see to that."""
        for leg in router_interfaces(self.view, self.router.id):
            for subnet in () if leg.gateway else leg.subnets:
                version = subnet.version
                there = prefix_value(version, subnet.first, subnet.prefix_length)
                match: Match = {ROUTER: self.router.key, "eth_type": ETH_TYPES[version]}
                match |= {f"ipv{version}_dst": there, SOURCE: FROM_NETWORKS, NAT: 0}
                yield Flow(Table.ROUTER_LB, RouterLbPriority.STAYS_INSIDE, match, (ON,))

    def _sent(self, service: Service) -> Iterator[Sent]:
        """What a member sends from there."""
        rung = RouterLbPriority
        protocol, version, address, port = service
        of: Match = {**self._of(version, src=address), SOURCE: FROM_NETWORKS}
        answers: Match = {**of, "ip_proto": protocol, f"{PORT_FIELDS[protocol]}_src": port}
        keys = sharing(self.view, self.router.id, service)
        yield Sent(rung.FROM_MEMBER, rung.OTHER_ZONE, answers, keys)
        if protocol != TCP:
            keys = sharing_address(self.view, self.router.id, version, address, errors=True)
            error: Match = {**of, **UNREACHABLE[version]}
            yield Sent(rung.FROM_MEMBER, rung.OTHER_ZONE, error, keys)
            cut: Match = {**of, "ip_frag": FRAGMENT}  # those of IPv6 do not say of which protocol
            yield Sent(rung.FRAGMENT_FROM_MEMBER, rung.OTHER_ZONE_FRAGMENT, cut, keys)

    def _asked(self, service: Service) -> Iterator[Flow]:
        """The zones of all that have this member are asked, one by one."""
        lookup = (Ct(self.zone, Table.ROUTER_LB),)
        for sent in self._sent(service):
            place = sent.keys.index(self.balancer.key)
            if not place:
                yield Flow(Table.ROUTER_LB, sent.rung, sent.match, lookup)
            else:
                before = {**sent.match, "ct_zone": Zone.routed(sent.keys[place - 1])}
                yield Flow(Table.ROUTER_LB, sent.other_zone, before, lookup)

    def _back(self, version: int, address: int) -> Iterator[Flow]:
        """Sources of answers become the load balancer's."""
        keys = sharing_address(self.view, self.router.id, version, address)
        place = keys.index(self.balancer.key)
        of = self._of(version, src=address)
        translate = (Ct(self.zone, Table.ROUTER_LB_BACK, Nat()),)
        if not place:
            rung = RouterNatOutPriority.BALANCED
            yield Flow(Table.ROUTER_NAT_OUT, rung, {**of, SOURCE: BALANCED}, translate)
        else:
            before = {**of, "ct_zone": Zone.routed(keys[place - 1])}
            rung = RouterLbBackPriority.OTHER_ZONE
            yield Flow(Table.ROUTER_LB_BACK, rung, before, translate)
        # What was no answer, but was sent here to see: as on the member's own switch.
        floating = self._floating(here=False).get(address) if version == 4 else None
        if floating is not None:
            leaving = {**of, NAT: TRANSLATE, SOURCE: INSIDE}
            as_floating: Actions = (
                *(SetField("ipv4_src", floating.address), SetField(NAT, TRANSLATED)),
                *(*CLEAR_CONNTRACK, Goto(Table.ROUTER_OUT)),
            )
            rung = RouterNatOutPriority.FLOATING_ELSEWHERE
            yield Flow(Table.ROUTER_NAT_OUT, rung, leaving, as_floating)
