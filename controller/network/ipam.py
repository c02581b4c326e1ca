# SPDX-License-Identifier: Apache-2.0

"""IP address management: which addresses of a subnet are whose, and which comes next.

An address is taken by a claim on it; nothing else is stored. What this module remembers
(:class:`Allocator`) is only where to look next, can be forgotten at any time, and makes allocation
take logarithmic time: always the first free address of the allocation pools, in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache, partial
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import pairwise
from typing import TypeAlias

import netaddr
from neutron_lib import exceptions
from neutron_lib.constants import (
    DEVICE_OWNER_DHCP,
    DHCPV6_STATELESS,
    IPV6_SLAAC,
    ROUTER_INTERFACE_OWNERS_SNAT,
)

from tenantry.controller.feature.extension import Reader, claimant
from tenantry.controller.store import Body, Claim, Commit, Draft

Net: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address
FixedIp: TypeAlias = dict[str, str]

ADDRESS = "address"
"""The kind of claim by which somebody owns an address: a port, or a subnet its service address.
The scope is the subnet's id."""


DEFAULT_POOL = "default_subnetpool"
"""The kind of claim by which a subnet pool is the default; the value is the IP version."""


def default_pool(reader: Reader, version: int) -> Body | None:
    """The subnet pool that subnets of a family are out of if nobody names one."""
    return claimant(reader, "subnetpool", Claim(DEFAULT_POOL, "", str(version)))


@lru_cache(maxsize=4096)
def parse_cidr(text: str) -> Net:
    """A subnet's cidr; bits behind the prefix are cleared. InvalidInput if it is none."""
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise exceptions.InvalidInput(error_message=f"'{text}' is not a valid CIDR") from error


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address:
    """An IPv4 or IPv6 address. InvalidInput if it is none."""
    try:
        return ip_address(text)
    except ValueError as error:
        message = f"'{text}' is not a valid IP address"
        raise exceptions.InvalidInput(error_message=message) from error


def is_host(net: Net, address: Address) -> bool:
    """Whether an address of ``net`` can be a host's.

    Not the network's own (in IPv6 the subnet-router anycast address, RFC 4291, section 2.6.1) nor
    the broadcast address. Networks of one or two addresses have neither (RFC 3021, RFC 6164).
    """
    if address not in net:
        return False
    if net.prefixlen >= net.max_prefixlen - 1:
        return True
    return address != net.network_address and (net.version == 6 or address != net.broadcast_address)


def default_gateway(net: Net) -> str | None:
    """The first address behind the network's own; a network of one address has no gateway."""
    return None if net.prefixlen == net.max_prefixlen else str(net[1])


def default_pools(net: Net, gateway: str | None) -> list[FixedIp]:
    """Every address that can be a host's and is not the gateway's."""
    first, last = int(net.network_address), int(net.broadcast_address)
    if net.prefixlen < net.max_prefixlen - 1:
        first, last = first + 1, last - (net.version == 4)
    ranges = [(first, last)]
    if gateway is not None and parse_address(gateway) in net:
        middle = int(parse_address(gateway))
        ranges = [(first, min(last, middle - 1)), (max(first, middle + 1), last)]
    make = type(net.network_address)
    return [
        {"start": str(make(start)), "end": str(make(end))} for start, end in ranges if start <= end
    ]


def checked_pools(net: Net, pools: list[FixedIp], gateway: str | None) -> list[FixedIp]:
    """The pools, in canonical notation, if they are sound. Neutron's errors if not."""
    spans: list[tuple[Address, Address]] = []
    for pool in pools:
        start, end = parse_address(pool["start"]), parse_address(pool["end"])
        text = f"{start}-{end}"
        if start.version != end.version or start.version != net.version or int(start) > int(end):
            raise exceptions.InvalidAllocationPool(pool=text)
        if not (is_host(net, start) and is_host(net, end)):
            raise exceptions.OutOfBoundsAllocationPool(pool=text, subnet_cidr=net)
        # A gateway of the other family was refused before; one outside the subnet is in no pool.
        if gateway is not None and int(start) <= int(parse_address(gateway)) <= int(end):
            raise exceptions.GatewayConflictWithAllocationPools(pool=text, ip_address=gateway)
        spans.append((start, end))
    ordered = sorted(spans, key=lambda span: int(span[0]))
    for one, other in pairwise(ordered):
        if int(other[0]) <= int(one[1]):
            raise exceptions.OverlappingAllocationPools(
                pool_1=f"{one[0]}-{one[1]}", pool_2=f"{other[0]}-{other[1]}", subnet_cidr=net
            )
    return [{"start": str(start), "end": str(end)} for start, end in spans]


def pool_size(pools: list[FixedIp]) -> int:
    """How many addresses there are in the pools."""
    return sum(last - first + 1 for first, last in _ranges(pools))


def in_pools(pools: list[FixedIp], addresses: Iterable[str]) -> int:
    """How many of these addresses are in the pools."""
    ranges = _ranges(pools)
    numbers = [int(parse_address(address)) for address in addresses]
    return sum(any(first <= n <= last for first, last in ranges) for n in numbers)


def last_free(draft: Draft, subnet: Body) -> str | None:
    """The highest address of the allocation pools that nobody has."""
    make = type(parse_cidr(subnet["cidr"]).network_address)
    for first, last in reversed(_ranges(subnet["allocation_pools"])):
        for number in range(last, first - 1, -1):
            address = str(make(number))
            if draft.owner(Claim(ADDRESS, subnet["id"], address)) is None:
                return address
    return None


def _ranges(pools: list[FixedIp]) -> list[tuple[int, int]]:
    return sorted((int(parse_address(p["start"])), int(parse_address(p["end"]))) for p in pools)


def serves(subnet: Body, port: Body) -> bool:
    """Whether a subnet has addresses for ports of this owner. DHCP ports get one on every subnet
    with DHCP, whatever its service types."""
    types, owner = subnet.get("service_types"), port["device_owner"]
    return not types or owner in types or (owner == DEVICE_OWNER_DHCP and subnet["enable_dhcp"])


def is_auto_address(subnet: Body) -> bool:
    """Whether hosts on the subnet make their own addresses (SLAAC, RFC 4862)."""
    modes = (IPV6_SLAAC, DHCPV6_STATELESS)
    return subnet["ipv6_address_mode"] in modes or subnet["ipv6_ra_mode"] in modes


def is_router_port(port: Body) -> bool:
    return port["device_owner"] in ROUTER_INTERFACE_OWNERS_SNAT


def auto_address(subnet: Body, mac: str) -> FixedIp:
    """The address that a host with this MAC makes itself (EUI-64, RFC 4291, appendix A)."""
    address = netaddr.EUI(mac).ipv6(int(parse_cidr(subnet["cidr"]).network_address))
    return {"subnet_id": subnet["id"], "ip_address": str(address)}


class Pool:
    """The free addresses of one subnet's allocation pools, lowest first.

    Everything below ``_next`` is taken or among ``_returned``; nothing from ``_next`` on has been
    looked at.
    """

    def __init__(self, pools: list[FixedIp]) -> None:
        self.pools = pools
        self._ranges = _ranges(pools)
        self._at = 0  # index of the range that _next is in
        self._next = 0
        self._returned: list[int] = []

    def take(self, is_taken: Callable[[int], bool]) -> int | None:
        """The lowest free address, which the pool from now on holds to be taken."""
        while self._returned:
            address = heapq.heappop(self._returned)
            if not is_taken(address):
                return address
        while self._at < len(self._ranges):
            first, last = self._ranges[self._at]
            self._next = max(self._next, first)
            while self._next <= last:
                self._next += 1
                if not is_taken(self._next - 1):
                    return self._next - 1
            self._at += 1
        return None

    def give_back(self, address: int) -> None:
        """An address is free again."""
        if address < self._next and any(first <= address <= last for first, last in self._ranges):
            heapq.heappush(self._returned, address)


class Allocator:
    """Chooses the fixed IPs of ports."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def committed(self, commit: Commit) -> None:
        """Addresses that a commit has freed can be taken again."""
        for change in commit.changes:
            if change.kind == "port" and change.before is not None:
                after = change.after["fixed_ips"] if change.after is not None else ()
                for ip in change.before["fixed_ips"]:
                    if ip not in after and ip["subnet_id"] in self._pools:
                        self._pools[ip["subnet_id"]].give_back(int(parse_address(ip["ip_address"])))
            elif change.kind == "subnet" and change.after is None:
                self._pools.pop(change.id, None)

    def choose(
        self,
        draft: Draft,
        port: Body,
        requested: list[FixedIp] | None,
        current: Collection[FixedIp] = (),
        segments: Collection[str] | None = None,
    ) -> list[FixedIp]:
        """The fixed IPs of ``port``, for a request of its user's, or (None) as Neutron chooses:
        one of IPv4, one of IPv6, and one on every subnet where hosts make their own.

        ``current`` are the port's already: a request that leaves the address open keeps one.
        ``segments``: those from which it may have addresses; None if all.
        """
        subnets = _subnets(draft, port, current)
        if segments is not None:
            subnets = [s for s in subnets if s.get("segment_id") in segments]
        if not subnets and requested != [] and draft.linked(port["network_id"], "subnet"):
            raise IpAddressGenerationFailureNoMatchingSubnet(
                network_id=port["network_id"], service_type=port["device_owner"]
            )
        automatic = [] if is_router_port(port) else [s for s in subnets if is_auto_address(s)]
        chosen: list[FixedIp] = []
        if requested is None:
            for version in (4, 6):
                candidates = [
                    s for s in subnets if s["ip_version"] == version and s not in automatic
                ]
                if candidates:
                    chosen.append(self._first_free(draft, port, candidates, chosen))
        else:
            wanted = [(_subnet_for(port, subnets, request), request) for request in requested]
            self._satisfy(draft, port, wanted, automatic, current, chosen)
        present = {ip["subnet_id"] for ip in chosen}
        chosen += [
            auto_address(s, port["mac_address"]) for s in automatic if s["id"] not in present
        ]
        return chosen

    def _satisfy(
        self,
        draft: Draft,
        port: Body,
        wanted: list[tuple[Body, FixedIp]],
        automatic: list[Body],
        current: Collection[FixedIp],
        chosen: list[FixedIp],
    ) -> None:
        named = {
            str(parse_address(request["ip_address"]))
            for _, request in wanted
            if request.get("ip_address")
        }
        spare = [ip for ip in current if ip["ip_address"] not in named]
        for subnet, request in wanted:
            kept = next((ip for ip in spare if ip["subnet_id"] == subnet["id"]), None)
            if subnet in automatic:
                ip = auto_address(subnet, port["mac_address"])
                asked = {**ip, "ip_address": request.get("ip_address") or ip["ip_address"]}
                if asked != ip and asked not in current:
                    raise AllocationOnAutoAddressSubnet(
                        ip=asked["ip_address"], subnet_id=subnet["id"]
                    )
            elif request.get("ip_address"):
                text = str(parse_address(request["ip_address"]))
                ip = {"subnet_id": subnet["id"], "ip_address": text}
            elif kept is not None:
                spare.remove(kept)
                ip = kept
            else:
                avoid = [*chosen, *({"subnet_id": subnet["id"], "ip_address": a} for a in named)]
                ip = self._first_free(draft, port, [subnet], avoid)
            if ip in chosen:
                raise exceptions.InvalidInput(
                    error_message=f"Duplicate IP address '{ip['ip_address']}'"
                )
            chosen.append(ip)

    def _first_free(
        self, draft: Draft, port: Body, subnets: list[Body], avoid: list[FixedIp]
    ) -> FixedIp:
        """The first free address of the first subnet that has one, but none of ``avoid``: those
        become this port's own by the same request."""
        for subnet in subnets:
            for ip in self._free(draft, subnet):
                if ip not in avoid:
                    return ip
        raise exceptions.IpAddressGenerationFailure(net_id=port["network_id"])

    def _free(self, draft: Draft, subnet: Body) -> Iterator[FixedIp]:
        pool = self._pools.get(subnet["id"])
        if pool is None or pool.pools != subnet["allocation_pools"]:
            pool = self._pools[subnet["id"]] = Pool(subnet["allocation_pools"])
        make = IPv4Address if subnet["ip_version"] == 4 else IPv6Address

        def is_taken(address: int) -> bool:
            claim = Claim(ADDRESS, subnet["id"], str(make(address)))
            return draft.owner(claim) is not None

        while (address := pool.take(is_taken)) is not None:
            draft.undo.append(partial(pool.give_back, address))
            yield {"subnet_id": subnet["id"], "ip_address": str(make(address))}


def _subnets(draft: Draft, port: Body, current: Collection[FixedIp]) -> list[Body]:
    """The subnets of its network that a port may have addresses on: those for ports of its
    owner only come first, older ones before younger: the same order in every process.

    Where the port has an address already it may keep it, whoever its owner is now.
    """
    held = {ip["subnet_id"] for ip in current}
    found = (draft.get("subnet", id) for id in draft.linked(port["network_id"], "subnet"))
    allowed = [s for s in found if s and (s["id"] in held or serves(s, port))]
    return sorted(allowed, key=lambda s: (not s.get("service_types"), s["created_at"], s["id"]))


def _subnet_for(port: Body, subnets: list[Body], request: FixedIp) -> Body:
    """The subnet that one entry of a request's ``fixed_ips`` means."""
    id, address = request.get("subnet_id"), request.get("ip_address")
    if not subnets:
        raise exceptions.InvalidInput(error_message="IP allocation requires subnets for network")
    if id:
        for subnet in subnets:
            if subnet["id"] == id:
                if address and not is_host(parse_cidr(subnet["cidr"]), parse_address(address)):
                    raise exceptions.InvalidIpForSubnet(ip_address=address)
                return subnet
        raise exceptions.InvalidInput(
            error_message=f"Failed to create port on network {port['network_id']}, because "
            f"fixed_ips included invalid subnet {id}"
        )
    if not address:
        raise exceptions.InvalidInput(
            error_message="IP allocation requires subnet_id or ip_address"
        )
    for subnet in subnets:
        if is_host(parse_cidr(subnet["cidr"]), parse_address(address)):
            return subnet
    raise exceptions.InvalidIpForNetwork(ip_address=address)


class IpAddressAlreadyAllocated(exceptions.Conflict):
    message = "IP address %(ip)s already allocated in subnet %(subnet_id)s."


class IpAddressGenerationFailureNoMatchingSubnet(exceptions.IpAddressGenerationFailure):
    message = (
        "No valid service subnet for the given device owner, network %(network_id)s, service type "
        "%(service_type)s."
    )


class AllocationOnAutoAddressSubnet(exceptions.InvalidInput):
    message = (
        "IPv6 address %(ip)s cannot be directly assigned to a port on subnet %(subnet_id)s as "
        "the subnet is configured for automatic addresses"
    )
