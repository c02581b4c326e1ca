# SPDX-License-Identifier: Apache-2.0

"""What there is to tell of a machine: its port, its network, and what its owner stored with it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.controller.model import FixedIp, Network, Port, Route, Subnet, Trunk, View
from tenantry.controller.network.configuration import name_servers, routes, with_peers
from tenantry.controller.network.dns_names import address_text, domain, full_name, host_name
from tenantry.controller.openflow.oxm import value_text
from tenantry.controller.packets.addresses import prefix_mask

NETWORK_TYPES = {
    "slaac": "ipv6_slaac",
    "dhcpv6-stateful": "ipv6_dhcpv6-stateful",
    "dhcpv6-stateless": "ipv6_dhcpv6-stateless",
}
"""Of a network in network_data.json, by ipv6_address_mode: Nova's names."""


@dataclass(frozen=True)
class Instance:
    port: Port
    network: Network
    subnets: Mapping[str, Subnet]
    profile: Mapping[str, Any]
    domain: str
    machine: str = ""  # its id, if the port does not say: that of a trunk's sub-port

    @property
    def id(self) -> str:
        named = self.profile.get("instance_id") or self.machine or self.port.device_id
        return str(named or self.port.id)

    @property
    def mac(self) -> str:
        return value_text("eth_src", self.port.mac)

    @property
    def name(self) -> str:
        """Without domain; that of the first address, if the port has none of its own."""
        ips = self.port.fixed_ips
        return host_name(self.port, ips[0]).rstrip(".") if ips else f"host-{self.port.id[:8]}"

    @property
    def full_name(self) -> str:
        ips = self.port.fixed_ips
        if ips:
            return full_name(self.port, self.network, ips[0], self.domain).rstrip(".")
        return f"{self.name}.{domain(self.port, self.network, self.domain)}".rstrip(".")

    @property
    def user_data(self) -> bytes | None:
        """As text, or in base64, as Nova has it: what reads as such is taken for it."""
        text = self.profile.get("user_data")
        if not text:
            return None
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return str(text).encode()

    @property
    def ssh_keys(self) -> Mapping[str, str]:
        keys = self.profile.get("ssh_keys") or {}
        if isinstance(keys, Mapping):
            return {str(name): str(key) for name, key in keys.items()}
        return {f"key-{number}": str(key) for number, key in enumerate(keys)}

    def addresses(self, version: int) -> list[str]:
        return [
            address_text(version, ip.address) for ip in self.port.fixed_ips if ip.version == version
        ]

    def cidrs(self, version: int) -> list[str]:
        return [
            f"{address_text(version, subnet.first)}/{subnet.prefix_length}"
            for subnet in self.subnets.values()
            if subnet.version == version
        ]

    def meta_data(self) -> dict[str, Any]:
        """meta_data.json: as Nova's."""
        found: dict[str, Any] = {
            "uuid": self.id,
            "name": self.port.name or self.name,
            "hostname": self.full_name,
            "launch_index": 0,
            "availability_zone": "tenantry",
            "project_id": self.port.project_id,
            "devices": [],
        }
        if self.profile.get("meta"):
            found["meta"] = self.profile["meta"]
        if self.ssh_keys:
            found["public_keys"] = dict(self.ssh_keys)
            found["keys"] = [
                {"name": name, "type": "ssh", "data": key} for name, key in self.ssh_keys.items()
            ]
        return found

    def network_data(self) -> dict[str, Any]:
        """network_data.json: as Nova's, for the one interface that the port is."""
        link = f"tap{self.port.id[:11]}"
        networks = [
            self._network(number, link, ip, self.subnets[ip.subnet_id])
            for number, ip in enumerate(self.port.fixed_ips)
            if ip.subnet_id in self.subnets
        ]
        servers = dict.fromkeys(
            server for subnet in self.subnets.values() for server in _name_servers(subnet)
        )
        return {
            "links": [
                {
                    "id": link,
                    "vif_id": self.port.id,
                    "type": "ovs",
                    "mtu": self.network.mtu,
                    "ethernet_mac_address": self.mac,
                }
            ],
            "networks": networks,
            "services": [{"type": "dns", "address": server} for server in servers],
        }

    def _network(self, number: int, link: str, ip: FixedIp, subnet: Subnet) -> dict[str, Any]:
        version = ip.version
        kind = "ipv4" if version == 4 else "ipv6"
        if version == 4 and subnet.enable_dhcp:
            kind = "ipv4_dhcp"
        elif version == 6 and subnet.enable_dhcp:
            kind = NETWORK_TYPES.get(subnet.address_mode, "ipv6")
        return {
            "id": f"network{number}",
            "network_id": self.network.id,
            "link": link,
            "type": kind,
            "ip_address": address_text(version, ip.address),
            "netmask": _netmask(version, subnet.prefix_length),
            "routes": [_route(route) for route in routes(subnet)],
            "services": [{"type": "dns", "address": server} for server in _name_servers(subnet)],
        }


def _route(route: Route) -> dict[str, str]:
    return {
        "network": address_text(route.version, route.destination),
        "netmask": _netmask(route.version, route.prefix_length),
        "gateway": address_text(route.version, route.nexthop),
    }


def _netmask(version: int, length: int) -> str:
    return address_text(version, prefix_mask(version, length))


def _name_servers(subnet: Subnet) -> list[str]:
    return [address_text(subnet.version, server) for server in name_servers(subnet)]


def instance(view: View, port_id: str, domain: str) -> Instance | None:
    """The machine behind a port; None if there is no such port."""
    port = view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or network is None:
        return None
    subnets = {
        ip.subnet_id: with_peers(view, subnet)
        for ip in port.fixed_ips
        if (subnet := view.get(Subnet, ip.subnet_id)) is not None
    }
    profile = json.loads(port.profile) if port.profile else {}
    trunk = view.get(Trunk, port.device_id)  # what a sub-port has for its device
    parent = view.get(Port, trunk.port_id) if trunk else None
    machine = parent.device_id or parent.id if parent else ""
    return Instance(port, network, subnets, profile, domain, machine)
