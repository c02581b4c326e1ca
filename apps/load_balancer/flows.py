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

from collections import Counter
from collections.abc import Callable, Iterator

from tenantry.apps.arp_nd.tables import NeighboursPriority
from tenantry.apps.l2.tables import OutputPriority
from tenantry.apps.load_balancer.choice import (
    COMMON_SPLITS,
    ETH_TYPES,
    Tracked,
    choose,
    compile_pool,
    equal_parts,
)
from tenantry.apps.load_balancer.places import (
    PORT_FIELDS,
    Answering,
    Place,
    Service,
    answering,
    balancers_met,
    balancers_on,
    next_hop,
    places,
    port_at,
    services,
    subnet_on,
)
from tenantry.apps.load_balancer.records import Listener, LoadBalancer, Member, Pool
from tenantry.apps.load_balancer.routed import routed_balancers_on
from tenantry.apps.load_balancer.tables import (
    MEMBER_GONE,
    NO_MEMBER,
    NOT_A_CONNECTION,
    NOT_ALLOWED,
    SWAP,
    TRANSLATED_BACK,
    RouterLbBackPriority,
    VipPriority,
)
from tenantry.apps.punt.tables import TrapPriority
from tenantry.controller.model import Binding, Port, View, derived
from tenantry.controller.network.conntrack import ASKING, INVALID, NEW, REPLY
from tenantry.controller.openflow.drops import UNFORESEEN, drop
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    CONTROLLER,
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Match,
    Move,
    Nat,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.oxm import FIRST_FRAGMENT, LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    IN_PORT,
    MAC,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    TENANT,
    Table,
)
from tenantry.controller.packets.addresses import BITS, mapped, prefix_value
from tenantry.controller.packets.frames import ICMP, ICMPV6, TCP

ECHOES = {4: (ICMP, "icmpv4_type", 8, 0), 6: (ICMPV6, "icmpv6_type", 128, 129)}
"""By IP version: the protocol of a ping, the field of its type, a request's, an answer's."""

TTL = 64
ON: Actions = (CtClear(), Goto(Table.VIP.next))


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is the same for all load balancers."""
    yield Flow(Table.VIP, VipPriority.MISS, {}, drop(MEMBER_GONE))
    yield Flow(Table.LB_MEMBER, VipPriority.MISS, {}, drop(UNFORESEEN))
    yield Flow(Table.ROUTER_LB_BACK, RouterLbBackPriority.MISS, {}, drop(UNFORESEEN))


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


def compile_balancer(view: View, switch: int, id: str) -> Iterator[Flow]:
    """A load balancer, in all networks here from which it is reached."""
    balancer = view.get(LoadBalancer, id)
    if balancer is None or not balancer.admin_state_up:
        return
    found = list(places(view, switch, balancer))
    does = answering(view, id)
    absent = view.get(Binding, balancer.vip_port_id) is None
    if not found or not (does or absent):
        return
    own = OfOne(view, switch, balancer)
    for place in found:
        yield from own.reached(place)
    yield from own.begun(does)
    yield from own.begun_for_others(absent)
    there = [one for one in services(view, id) if one.version in own.vips]
    addresses = dict.fromkeys((one.version, one.address) for one in there)
    for place in found:
        for service in there:
            yield from own.member(place, service)
        for address in addresses:
            yield from own.to_itself(place, *address)


class OfOne:
    """The flows of one load balancer on one switch."""

    def __init__(self, view: View, switch: int, balancer: LoadBalancer) -> None:
        self.view, self.switch, self.balancer = view, switch, balancer
        self.zone = Zone.shared(balancer.key)
        self.itself = Zone.forwarded(balancer.key)  # of members that reach themselves
        self.vips = {vip.version: vip.address for vip in reversed(balancer.vips)}

    def reached(self, place: Place) -> Iterator[Flow]:
        """What is for its addresses, in a network; and who has them."""
        network, zone = place.network, self.zone
        port = self.view.get(Port, self.balancer.vip_port_id)
        for vip in self.balancer.vips:
            for mac in place.macs:
                match: Match = {NETWORK: network.key, IN_PORT: TENANT, "eth_dst": mac}
                match |= {"eth_type": ETH_TYPES[vip.version]}
                match |= {f"ipv{vip.version}_dst": vip.address}
                known = (CtClear(), Ct(zone, Table.VIP, Nat()))
                yield Flow(Table.TRAP, TrapPriority.VIP, match, known)
            if port is not None and network.id == self.balancer.vip_network_id:
                address = mapped(vip.version, vip.address)
                asked: Match = {NETWORK: network.key, ADDRESS: address, IN_PORT: TENANT}
                its = (SetField(MAC, port.mac),)
                yield Flow(Table.NEIGHBOURS, NeighboursPriority.VIP, asked, its)

    def begun(self, does: tuple[Answering, ...]) -> Iterator[Flow]:
        """What begins, and is for a listener."""
        pools: dict[tuple[str, int], Pool] = {}
        tracked = Tracked(self.zone, Table.VIP)
        protocols = Counter(one.protocol for one in does)
        for one in does:
            pools |= {(one.pool.id, one.protocol): one.pool} if one.pool else {}
            alone = one.protocol != TCP and protocols[one.protocol] == 1
            for vip in self.balancer.vips:
                of_it = self._new(vip.version, vip.address)
                port: Match = {f"{PORT_FIELDS[one.protocol]}_dst": one.listener.port}
                port["ip_proto"] = one.protocol
                rung = VipPriority.NEW
                chosen = choose(self.view, one.pool, vip.version)
                yield from self._listens(one.listener, vip.version, {**of_it, **port}, rung, chosen)
                if alone and chosen is not None:
                    chosen = choose(self.view, one.pool, vip.version, by_port=False)
                    rung = VipPriority.NEW_IN_FRAGMENTS
                    first: Match = {**port, "ip_frag": FIRST_FRAGMENT}
                    later: Match = {"ct_nw_proto": one.protocol, "ip_frag": LATER_FRAGMENT}
                    for some in (first, later):
                        match = {**of_it, **some}
                        yield from self._listens(one.listener, vip.version, match, rung, chosen)
        for (_, protocol), pool in pools.items():
            for version in self.vips:
                yield from compile_pool(self.view, pool, protocol, version, tracked)

    def _listens(
        self, listener: Listener, version: int, match: Match, rung: range, chosen: Actions | None
    ) -> Iterator[Flow]:
        """What begins, from whoever may."""
        allowed = listener.allowed_cidrs
        if not allowed:
            yield _begun(rung[0], match, chosen)
            return
        yield Flow(Table.VIP, VipPriority.NOT_ALLOWED, match, drop(NOT_ALLOWED))
        for cidr in allowed:
            if cidr.version == version:
                source = prefix_value(version, cidr.first, cidr.length)
                some = {**match, f"ipv{version}_src": source} if cidr.length else match
                yield _begun(rung[cidr.length], some, chosen)

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
        port = self.view.get(Port, self.balancer.vip_port_id)
        for version in self.vips:
            of_itself: Match = {"ct_zone": self.itself, "eth_type": ETH_TYPES[version]}
            yield Flow(Table.VIP, VipPriority.NOT_TO_ITSELF, of_itself, ON)
            if absent:
                invalid: Match = {**of_itself, "ct_state": INVALID}
                nothing = drop(NOT_A_CONNECTION)
                yield Flow(Table.VIP, VipPriority.ANSWER_TO_ITSELF, invalid, nothing)
            back: Actions = (
                *(Move(IN_PORT, OUT_PORT, 32), Move("eth_src", "eth_dst", 48)),
                *((SetField("eth_src", port.mac),) if port else ()),
                *(CLEAR_IN_PORT, Ct(self.zone, Table.OUTPUT, Nat())),
            )
            answer = {**of_itself, "ct_state": REPLY}
            yield Flow(Table.VIP, VipPriority.ANSWER_TO_ITSELF, answer, back)

    def _new(self, version: int, address: int) -> Match:
        match: Match = {"ct_zone": self.zone, "ct_state": NEW, "eth_type": ETH_TYPES[version]}
        match[f"ipv{version}_dst"] = address
        return match

    def _echo(self, version: int, address: int) -> Iterator[Flow]:
        protocol, field, request, reply = ECHOES[version]
        source, destination, bits = f"ipv{version}_src", f"ipv{version}_dst", BITS[version]
        match = self._new(version, address)
        turned: Actions = (
            *(Move(source, SWAP, bits), Move(destination, source, bits)),
            Move(SWAP, destination, bits),
        )
        swap = (Move("eth_src", SWAP, 48), Move("eth_dst", "eth_src", 48))
        back: Actions = (
            *(*swap, Move(SWAP, "eth_dst", 48), SetField("ip_ttl", TTL)),
            *(Move(IN_PORT, OUT_PORT, 32), CtClear(), CLEAR_IN_PORT, Goto(Table.OUTPUT)),
        )
        asked: Match = {**match, "ip_proto": protocol, field: request}
        answer = (*turned, SetField(field, reply), *back)
        yield Flow(Table.VIP, VipPriority.ECHO, asked, answer)
        later: Match = {**match, "ip_frag": LATER_FRAGMENT, "ct_nw_proto": protocol}
        later["ct_state"] = ASKING
        yield Flow(Table.VIP, VipPriority.ECHO, later, (*turned, *back))

    def member(self, place: Place, service: Service) -> Iterator[Flow]:
        """There and back, for clients in a network."""
        view, (network, _) = self.view, place
        protocol, version, address, port = service
        ports, whole = PORT_FIELDS[protocol], protocol == TCP
        on: Match = {NETWORK: network.key, "eth_type": ETH_TYPES[version]}
        at_home = network.id == self.balancer.vip_network_id
        subnet = subnet_on(view, network.id, version, address)
        mac: int | None = None
        if at_home or subnet is not None:
            mac = next_hop(view, network.id, version, address)
            if mac is None and at_home:
                return
        to_it: Match = {**on, "ct_zone": self.zone, f"ipv{version}_dst": address}
        by_port = {"ip_proto": protocol, f"{ports}_dst": port} if whole else {}
        hop = (SetField("eth_dst", mac),) if mac is not None else ()
        rung = VipPriority.TRANSLATED if whole else VipPriority.TRANSLATED_ADDRESS
        yield Flow(Table.VIP, rung, {**to_it, **by_port}, (*hop, *ON))
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

    def to_itself(self, place: Place, version: int, address: int) -> Iterator[Flow]:
        """A member here that was chosen for itself sees the load balancer as its client: else it
        would answer itself."""
        view, network = self.view, place.network
        subnet = subnet_on(view, network.id, version, address)
        port = port_at(view, subnet, address) if subnet else None
        binding = view.get(Binding, port.id) if port else None
        if port is None or binding is None or binding.switch != self.switch:
            return
        match: Match = {NETWORK: network.key, IN_PORT: port.key, "ct_zone": self.zone}
        match |= {"eth_type": ETH_TYPES[version], f"ipv{version}_dst": address}
        source = Nat("src", self.vips[version], version=version)
        turned: Actions = (
            *(SetField(OUT_PORT, port.key), Move("eth_dst", "eth_src", 48)),
            *(SetField("eth_dst", port.mac), CLEAR_IN_PORT),
            Ct(self.itself, Table.OUTPUT, source, commit=True),
        )
        yield Flow(Table.VIP, VipPriority.TO_ITSELF, match, turned)


def _begun(priority: int, match: Match, chosen: Actions | None) -> Flow:
    """What begins and is for a listener: it is accounted for, and led to a member, or refused."""
    if chosen is None:
        refused = (Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER), *drop(NO_MEMBER))
        return Flow(Table.VIP, priority, match, refused)
    one_more = (Move(IN_PORT, ORIGIN_PORT, 32), Resubmit(Table.CONNECTION_LIMIT))
    return Flow(Table.VIP, priority, match, (*one_more, *chosen))


@derived
def sharing(view: View, network_id: str, service: Service) -> tuple[int, ...]:
    """The keys of all load balancers that lead from a network to where a member answers."""
    found = view.find(Member, version=service.version, address=service.address)
    same = {m.pool_id for m in found if m.port == service.port}
    return _balancers(view, network_id, same, lambda one: one == service)


MOST_SHARING = 4
"""Load balancers whose zones are asked about fragments and errors from an address."""


@derived
def sharing_address(view: View, network_id: str, version: int, address: int) -> tuple[int, ...]:
    """Likewise, to any port of a member's that is not TCP's: the first few."""
    found = view.find(Member, version=version, address=address)
    pools = {m.pool_id for m in found}

    def there(one: Service) -> bool:
        return one.protocol != TCP and (one.version, one.address) == (version, address)

    return _balancers(view, network_id, pools, there)[:MOST_SHARING]


def _balancers(
    view: View, network_id: str, pools: set[str], there: Callable[[Service], bool]
) -> tuple[int, ...]:
    ids = {pool.load_balancer_id for id in pools if (pool := view.get(Pool, id))}
    keys = []
    for id in ids & balancers_met(view, network_id):
        balancer = view.get(LoadBalancer, id)
        if balancer is not None and any(map(there, services(view, id))):
            keys.append(balancer.key)
    return tuple(sorted(keys))
