# SPDX-License-Identifier: Apache-2.0

"""Load balancers where their clients are: flows of the switch that a client is plugged in to.

::

    TRAP        for a load balancer's address        OUTPUT    from a member, to a client here:
      |         the zone is asked                              the zone translates it back
    VIP         known: on, to its member
      |         begins: which part? (LB_SPLIT)
    LB_MEMBER   whose part: it becomes known, and comes to VIP again

It is all done before security groups judge what leaves the client, and undone when they have judged
what comes to it: groups of both ends see one connection, between client and member. Each load
balancer has two zones: one for destinations, and one for the sources of members that reach
themselves by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.arp_nd.tables import NeighboursPriority
from tenantry.apps.l2.tables import OutputPriority
from tenantry.apps.load_balancer.beginning import Beginning, compile_listeners
from tenantry.apps.load_balancer.behind import routed_balancers_on
from tenantry.apps.load_balancer.choice import (
    COMMON_SPLITS,
    ETH_TYPES,
    Tracked,
    equal_parts,
    within,
)
from tenantry.apps.load_balancer.places import (
    PORT_FIELDS,
    Answering,
    Place,
    Service,
    answering,
    balancers_on,
    places,
    router_addresses,
    services,
    sharing,
    sharing_address,
    sharing_network,
)
from tenantry.apps.load_balancer.records import LoadBalancer
from tenantry.apps.load_balancer.tables import (
    ASKED,
    MEMBER_GONE,
    NO_LISTENER,
    NO_MEMBER,
    REFUSED_IN,
    SWAP,
    TRANSLATED_BACK,
    ItselfPriority,
    RouterLbBackPriority,
    VipPriority,
)
from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import Binding, Port, View, derived
from tenantry.controller.network.conntrack import ASKING, NEW, REPLY, STATE
from tenantry.controller.network.whereabouts import next_hop
from tenantry.controller.openflow.drops import UNFORESEEN, drop
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    CONTROLLER,
    Action,
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Limit,
    Match,
    Move,
    Nat,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    IN_PORT,
    MAC,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    OWN,
    OWNED,
    TENANT,
    Table,
    version_bits,
)
from tenantry.controller.packets.addresses import BITS, mapped
from tenantry.controller.packets.frames import ICMP, ICMPV6, TCP

ECHOES = {4: (ICMP, "icmpv4_type", 8, 0), 6: (ICMPV6, "icmpv6_type", 128, 129)}
"""By IP version: the protocol of a ping, the field of its type, a request's, an answer's."""

TTL = 64
ON: Actions = (CtClear(), Goto(Table.VIP.next))


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is the same for all load balancers."""
    yield Flow(Table.VIP, VipPriority.MISS, {}, drop(MEMBER_GONE))
    gone = (*_tell(Move("ct_zone", REFUSED_IN, 16)), *drop(MEMBER_GONE))
    for eth_type in ETH_TYPES.values():
        to_it: Match = {"eth_type": eth_type, "ct_state": STATE}
        yield Flow(Table.VIP, VipPriority.GONE, to_it, gone)
    table, rung = Table.LB_ITSELF, ItselfPriority
    yield Flow(table, rung.MISS, {}, ON)
    for version, bits in BITS.items():
        ask: Actions = (
            *(SetField(MAC, version_bits(version)), Move("eth_src", MAC, 48)),
            *(SetField(ADDRESS, mapped(4, 0)), Move(f"ipv{version}_dst", ADDRESS, bits)),
            *(SetField(OWNED, ASKED), Resubmit(Table.IDENTITY), Resubmit(table)),
        )
        unasked: Match = {OWNED: 0, "eth_type": ETH_TYPES[version]}
        yield Flow(table, rung.ASK, unasked, ask)
    yield Flow(Table.LB_MEMBER, VipPriority.MISS, {}, drop(UNFORESEEN))
    yield Flow(Table.ROUTER_LB_BACK, RouterLbBackPriority.MISS, {}, drop(UNFORESEEN))


def _tell(*zone: Action) -> Actions:
    """The controller refuses it."""
    return (SetField(REFUSED_IN, 0), *zone, Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))


def _swapped(one: str, other: str, bits: int) -> Actions:
    return (Move(one, SWAP, bits), Move(other, one, bits), Move(SWAP, other, bits))


def splits_on(view: View, switch: int) -> frozenset[str]:
    """The numbers of equal parts that a switch must know, for each protocol there."""
    found = frozenset[tuple[int, int]]().union(
        *(
            _splits_of(view, id)
            for id in balancers_on(view, switch) | routed_balancers_on(view, switch)
        )
    )
    common = {(protocol, number) for protocol, _ in found for number in COMMON_SPLITS}
    return frozenset(f"{protocol} {number}" for protocol, number in found | common)


@derived
def _splits_of(view: View, balancer_id: str) -> frozenset[tuple[int, int]]:
    """For the protocols of a load balancer: numbers of equal parts that are not common, and 1."""
    return frozenset(
        (one.protocol, number)
        for one in answering(view, balancer_id)
        for number in {1, *(equal_parts(view, one.pool.id) if one.pool else ())}
        if number == 1 or number not in COMMON_SPLITS
    )


def compile_balancer(view: View, switch: int, id: str) -> Iterator[Flow | Limit]:
    """A load balancer, in all networks here from which it is reached."""
    balancer = view.get(LoadBalancer, id)
    port = view.get(Port, balancer.vip_port_id) if balancer else None
    if balancer is None or port is None or not balancer.admin_state_up:
        return
    found = list(places(view, switch, balancer))
    does = answering(view, id)
    absent = view.get(Binding, port.id) is None
    if not found or not (does or absent):
        return
    own = OfOne(view, switch, balancer, port)
    for place in found:
        yield from own.reached(place)
        for service in services(view, id):
            if service.version in own.vips:
                yield from own.member(place, service)
        yield from own.errors(place)
    yield from own.begun(does)
    yield from own.begun_for_others(absent)
    yield from own.to_itself()


class OfOne:
    """The flows of one load balancer on one switch."""

    def __init__(self, view: View, switch: int, balancer: LoadBalancer, port: Port) -> None:
        self.view, self.switch, self.balancer, self.port = view, switch, balancer, port
        self.zone = Zone.shared(balancer.key)
        self.itself = Zone.forwarded(balancer.key)  # of members that reach themselves
        self.vips = {vip.version: vip.address for vip in reversed(balancer.vips)}

    def reached(self, place: Place) -> Iterator[Flow]:
        """What is for its addresses, in a network; and who has them."""
        network = place.network
        for vip in self.balancer.vips:
            for mac in place.macs:
                match: Match = {NETWORK: network.key, IN_PORT: TENANT, "eth_dst": mac}
                match |= {"eth_type": ETH_TYPES[vip.version]}
                match |= {f"ipv{vip.version}_dst": vip.address}
                known = (CtClear(), Ct(self.zone, Table.VIP, Nat()))
                yield Flow(Table.TRAP, TrapPriority.VIP, match, known)
            if network.id == self.balancer.vip_network_id:
                address = mapped(vip.version, vip.address)
                asked: Match = {NETWORK: network.key, ADDRESS: address, IN_PORT: TENANT}
                its = (SetField(MAC, self.port.mac),)
                yield Flow(Table.NEIGHBOURS, NeighboursPriority.VIP, asked, its)

    def begun(self, does: tuple[Answering, ...]) -> Iterator[Flow | Limit]:
        """What begins, and is for a listener."""
        how = Beginning(Tracked(self.zone, Table.VIP), VipPriority, self._new, _begun)
        yield from compile_listeners(self.view, does, self.balancer.vips, self.vips, how)

    def begun_for_others(self, absent: bool) -> Iterator[Flow]:
        """What is for no listener: the answer of a member to itself, or for whatever interface has
        the address; if none has it (``absent``), it answers pings all the same."""
        for vip in self.balancer.vips:
            match: Match = {"ct_zone": self.zone, "eth_type": ETH_TYPES[vip.version]}
            match[f"ipv{vip.version}_dst"] = vip.address
            maybe = (Ct(self.itself, Table.VIP, Nat()),)
            yield Flow(Table.VIP, VipPriority.OTHER, match, maybe)
            if absent:
                yield from self._echo(vip.version, vip.address)
        for version in self.vips:
            of_itself: Match = {"ct_zone": self.itself, "eth_type": ETH_TYPES[version]}
            rest = drop(NO_LISTENER) if absent else ON
            yield Flow(Table.VIP, VipPriority.NOT_TO_ITSELF, of_itself, rest)
            answer = {**of_itself, "ct_state": REPLY}
            back = (*self._around(), Ct(self.zone, Table.OUTPUT, Nat()))
            yield Flow(Table.VIP, VipPriority.ANSWER_TO_ITSELF, answer, back)

    def _around(self) -> Actions:
        """Back to where it came from, from the load balancer."""
        return (
            *(Move(IN_PORT, OUT_PORT, 32), Move("eth_src", "eth_dst", 48)),
            *(SetField("eth_src", self.port.mac), CLEAR_IN_PORT),
        )

    def _new(self, version: int, address: int) -> Match:
        match: Match = {"ct_zone": self.zone, "ct_state": NEW, "eth_type": ETH_TYPES[version]}
        match[f"ipv{version}_dst"] = address
        return match

    def _echo(self, version: int, address: int) -> Iterator[Flow]:
        protocol, field, request, reply = ECHOES[version]
        source, destination, bits = f"ipv{version}_src", f"ipv{version}_dst", BITS[version]
        match = self._new(version, address)
        turned = _swapped(source, destination, bits)
        back: Actions = (
            *(SetField("ip_ttl", TTL), CtClear(), *self._around(), Goto(Table.OUTPUT)),
        )
        asked: Match = {**match, "ip_proto": protocol, field: request}
        answer = (*turned, SetField(field, reply), *back)
        yield Flow(Table.VIP, VipPriority.ECHO, asked, answer)
        later: Match = {**match, "ip_frag": LATER_FRAGMENT, "ct_nw_proto": protocol}
        later["ct_state"] = ASKING
        yield Flow(Table.VIP, VipPriority.ECHO, later, (*turned, *back))

    def member(self, place: Place, service: Service) -> Iterator[Flow]:
        """There and back, for clients in a network."""
        view, network = self.view, place.network
        protocol, version, address, port = service
        on: Match = {NETWORK: network.key, "eth_type": ETH_TYPES[version]}
        its = place.port_at(view, version, address)
        mac = its.mac if its else None
        if its is None and network.id == self.balancer.vip_network_id:
            mac = next_hop(view, network.id, version, address)
            if mac is None:
                return
        hop = (SetField("eth_dst", mac),) if mac is not None else ()
        to_it: Match = {**on, "ct_zone": self.zone, f"ipv{version}_dst": address}
        if protocol == TCP:
            to_it |= {"ip_proto": protocol, "tcp_dst": port}
        rung = VipPriority.TRANSLATED if protocol == TCP else VipPriority.TRANSLATED_ADDRESS
        there = (*hop, SetField(OWNED, 0), Resubmit(Table.LB_ITSELF))
        yield Flow(Table.VIP, rung, to_it, there)
        if its is not None and not its.port_security:
            match: Match = {IN_PORT: its.key, "ct_zone": self.zone}
            match |= {"eth_type": ETH_TYPES[version], f"ipv{version}_dst": address}
            turned = self._turned(version)
            yield Flow(Table.LB_ITSELF, ItselfPriority.OF_A_LEARNER, match, turned)
        yield from self._back(network.id, on, service)

    def _back(self, network_id: str, on: Match, service: Service) -> Iterator[Flow]:
        """Answers get the address of the load balancer that was asked. Several may have a member in
        common: their zones are asked one by one."""
        protocol, version, address, port = service
        out: Match = {**on, OUT_PORT: TENANT, f"ipv{version}_src": address}
        rung = OutputPriority
        some = sharing_address(self.view, network_id, version, address) if protocol != TCP else ()
        if self.balancer.key in some:
            # Fragments, and errors about what it has not got, do not say of which port they are.
            yield self._answer(out, rung.BALANCED_ADDRESS, rung.BALANCED_ADDRESS_ELSE, some)
        if some != (self.balancer.key,):
            keys = sharing(self.view, network_id, service)
            by_port: Match = {"ip_proto": protocol, f"{PORT_FIELDS[protocol]}_src": port}
            match = {**out, **by_port}
            yield self._answer(match, rung.BALANCED, rung.BALANCED_ELSE, keys)

    def errors(self, place: Place) -> Iterator[Flow]:
        """What routers say of packets to members is about the load balancer, to the client."""
        keys = sharing_network(self.view, place.network.id)
        if self.balancer.key not in keys:
            return
        for version, address in router_addresses(self.view, place.network.id):
            match: Match = {NETWORK: place.network.key, OUT_PORT: TENANT}
            match |= {"eth_type": ETH_TYPES[version], f"ipv{version}_src": address}
            match["ip_proto"] = ECHOES[version][0]
            rung = OutputPriority
            yield self._answer(match, rung.BALANCED_ADDRESS, rung.BALANCED_ADDRESS_ELSE, keys)

    def _answer(self, match: Match, first: int, other: int, keys: tuple[int, ...]) -> Flow:
        back: Actions = (
            *(SetField(ORIGIN_PORT, TRANSLATED_BACK), Ct(self.zone, Table.OUTPUT, Nat())),
            SetField(ORIGIN_PORT, 0),
        )
        place = keys.index(self.balancer.key)
        if not place:
            unasked: Match = {**match, ORIGIN_PORT: (0, TRANSLATED_BACK)}
            return Flow(Table.OUTPUT, first, unasked, back)
        before = Zone.shared(keys[place - 1])
        asked: Match = {**match, ORIGIN_PORT: TRANSLATED_BACK, "ct_zone": before}
        return Flow(Table.OUTPUT, other, asked, back)

    def to_itself(self) -> Iterator[Flow]:
        """A member that was chosen for itself sees the load balancer as its client: else it would
        answer itself."""
        for version in self.vips:
            match: Match = {OWNED: OWN, "ct_zone": self.zone, "eth_type": ETH_TYPES[version]}
            turned = self._turned(version)
            yield Flow(Table.LB_ITSELF, ItselfPriority.ITSELF, match, turned)

    def _turned(self, version: int) -> Actions:
        source = Nat("src", self.vips[version], version=version)
        return (*self._around(), Ct(self.itself, Table.OUTPUT, source, commit=True))


def _begun(chosen: Actions | None, limit: Limit | None) -> Actions:
    """What begins and is for a listener: it is accounted for, and led to a member, or refused."""
    if chosen is None:
        return (*_tell(), *drop(NO_MEMBER))
    one_more = (Move(IN_PORT, ORIGIN_PORT, 32), Resubmit(Table.CONNECTION_LIMIT))
    return within(limit, (*one_more, *chosen))
