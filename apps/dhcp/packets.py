# SPDX-License-Identifier: Apache-2.0

"""Answers to DHCP, DHCPv6 and router solicitations: from the model to bytes, and nothing kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from tenantry.apps.dhcp import advertise, dhcp4, dhcp6
from tenantry.controller.feature.effects import PacketIn, PacketOut, Periodic, to_port, to_ports
from tenantry.controller.model import (
    Binding,
    Change,
    Network,
    Port,
    Subnet,
    View,
    networks_with_ports,
)
from tenantry.controller.network.configuration import name_servers, with_peers
from tenantry.controller.network.dns_names import domain, host_name
from tenantry.controller.network.gateways import is_router
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import networks_of
from tenantry.controller.packets import frames
from tenantry.controller.packets.neighbour_discovery import ROUTER_SOLICITATION
from tenantry.controller.packets.own_addresses import SERVICE_LINK_LOCAL, SERVICE_MAC

SECONDS_BETWEEN_ADVERTISEMENTS = 200.0
"""A third of MaxRtrAdvInterval, which is also MinRtrAdvInterval: RFC 4861, 6.2.1."""

BROADCAST_MAC = 0xFFFFFFFFFFFF


@dataclass(frozen=True)
class Dhcp:
    """What is the same for every network. ``domain`` has its final dot."""

    lease_seconds: int
    ntp_servers: tuple[str, ...]
    domain: str

    def handle(self, view: View, packet: PacketIn) -> Iterator[PacketOut]:
        """The answer to a packet of a tenant's port. Errors: Malformed."""
        frame = frames.parse(packet.data)
        ports = view.find(Port, key=packet.port)
        network = view.get(Network, ports[0].network_id) if ports else None
        if network is None:
            return
        if frame.protocol == frames.ICMPV6:
            answer = self._advertise(view, frame, network)
        elif frame.version == 4:
            answer = self._dhcp4(view, frame, ports[0], network)
        else:
            answer = self._dhcp6(view, frame, ports[0], network)
        if answer is not None:
            yield to_port(network.key, ports[0].key, answer)

    def _advertise(self, view: View, frame: frames.Frame, network: Network) -> bytes | None:
        # RFC 4861, 6.1.1: what came by a router is none.
        if frame.ttl != 255 or frame.data[:1] != bytes([ROUTER_SOLICITATION]):
            return None
        told = advertise.advertised(view, network.id, self.domain)
        to = (frame.src, frame.eth_src) if frame.src else ()
        return advertise.advertisement(told, *to) if told else None

    def _dhcp4(self, view: View, frame: frames.Frame, port: Port, network: Network) -> bytes | None:
        message = dhcp4.parse(frame.data)
        if message.mac != port.mac or message.relay:
            return None
        offers = [
            dhcp4.Offer(
                *(port, with_peers(view, subnet), ip, network.mtu, host_name(port, ip)),
                *(domain(port, network, self.domain), self.lease_seconds, self._ntp(4)),
            )
            for ip in port.fixed_ips
            if (subnet := view.get(Subnet, ip.subnet_id)) and ip.version == 4 and subnet.enable_dhcp
        ]
        found = dhcp4.answer(message, offers) if offers else None
        if found is None:
            return None
        _, data, to = found
        if to == dhcp4.BROADCAST:
            frame = frame._replace(eth_src=BROADCAST_MAC)
        return frame.answer(data, eth_src=SERVICE_MAC, src=offers[0].server, dst=to)

    def _dhcp6(self, view: View, frame: frames.Frame, port: Port, network: Network) -> bytes | None:
        message = dhcp6.parse(frame.data)
        subnets = [
            subnet
            for subnet in view.find(Subnet, network_id=network.id)
            if subnet.version == 6 and subnet.enable_dhcp
        ]
        stateful = {s.id for s in subnets if s.address_mode == advertise.STATEFUL}
        servers = (server for subnet in subnets for server in name_servers(subnet))
        offer = dhcp6.Offer(
            port=port,
            addresses=tuple(ip.address for ip in port.fixed_ips if ip.subnet_id in stateful),
            on_link=tuple((subnet.first, subnet.prefix_length) for subnet in subnets),
            dns=tuple(dict.fromkeys(servers)),
            domain=domain(port, network, self.domain),
            ntp_servers=self._ntp(6),
            lease_seconds=self.lease_seconds,
        )
        data = dhcp6.answer(message, offer)
        return data and frame.answer(data, eth_src=SERVICE_MAC, src=SERVICE_LINK_LOCAL)

    def _ntp(self, version: int) -> tuple[int, ...]:
        addresses = map(ip_address, self.ntp_servers)
        return tuple(int(address) for address in addresses if address.version == version)

    def unasked(self) -> Periodic:
        """Advertisements to all ports of a network: RFC 4861, 6.2.4."""
        return Periodic(SECONDS_BETWEEN_ADVERTISEMENTS, self._advertise_all)

    def _advertise_all(self, view: View, switch: int) -> Iterator[PacketOut]:
        for network_id in sorted(networks_with_ports(view, switch)):
            network = view.get(Network, network_id)
            told = advertise.advertised(view, network_id, self.domain)
            if network is not None and told is not None:
                yield from to_ports(view, switch, network, advertise.advertisement(told))

    def advertise_changes(
        self, was: View, now: View, change: Change
    ) -> Iterator[tuple[int, PacketOut]]:
        """What is new is told at once, and what is gone taken back: RFC 4861, 6.2.4 and 6.2.5."""
        for network_id in _advertising(was, now, change):
            network = now.get(Network, network_id)
            before, told = (advertise.advertised(v, network_id, self.domain) for v in (was, now))
            if network is None or before == told:
                continue
            for switch in sorted(now.distinct(Binding, "switch", network_id=network_id)):
                for data in advertise.difference(before, told):
                    for packet in to_ports(now, switch, network, data):
                        yield switch, packet


def _advertising(was: View, now: View, change: Change) -> frozenset[str]:
    """The networks whose advertisements a change may be about."""
    kind, id, _ = change
    if kind is Network:
        return frozenset((str(id),))
    if kind is Router:
        return frozenset(network for network, outside in networks_of(now, str(id)) if not outside)
    for view in (now, was):
        if kind is Subnet and (subnet := view.get(Subnet, id)):
            return frozenset((subnet.network_id,))
        if kind is Port and (port := view.get(Port, id)) and is_router(view, port):
            return frozenset((port.network_id,))
    return frozenset()
