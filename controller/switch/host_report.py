# SPDX-License-Identifier: Apache-2.0

"""What a host says of itself, in ``external_ids`` of its OVSDB's Open_vSwitch row."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import netaddr

from tenantry.controller.feature.ovsdb_rows import BridgeRow

LOG = logging.getLogger(__name__)

TUNNEL_ADDRESS = "tenantry-encap-ip"
BRIDGE_MAPPINGS = "tenantry-bridge-mappings"
AVAILABILITY_ZONE = "tenantry-availability-zone"
GATEWAY_PRIORITY = "tenantry-gateway-priority"
BANDWIDTHS = "tenantry-bandwidths"
"""Keys of a host's own words, in ``external_ids`` of its Open_vSwitch row: the address that tunnels
lead to (else that from which its OVSDB connects); PHYSICAL_NETWORK:BRIDGE, by commas; its zone
(else "nova", as in Neutron); a number, higher ones are gateways first;
PHYSICAL_NETWORK:INTERFACE:KBPS, by commas."""

DEFAULT_ZONE = "nova"

JOINED = "joined:"
"""What the ``remote`` of a host begins with that has connected to us; its name follows."""


class HostReport(NamedTuple):
    """What a host says of itself."""

    host: str
    remote: str  # a configured connection, or a name of ours for one that joined
    availability_zone: str
    tunnel_address: str | None
    gateway_priority: int
    bridge_mappings: Mapping[str, str]  # physical network: bridge
    datapaths: tuple[int, ...]  # of bridges that are told to connect to us
    integration_bridge: str = ""  # where machines are plugged in; "": nobody has said
    datapath_type: str = ""  # its; "": likewise
    bandwidths: Mapping[str, tuple[str, int]] = MappingProxyType({})
    """By physical network: the interface that leads there, and how much it sends (1000 bit/s)."""


def read_report(
    host: str,
    remote: str,
    said: Mapping[str, str],
    address: str,
    datapaths: Collection[int],
    bridge: BridgeRow | None = None,
) -> HostReport:
    """``address`` is where the host connects from, or ""; ``bridge`` its integration bridge."""
    return HostReport(
        host=host,
        remote=remote,
        availability_zone=said.get(AVAILABILITY_ZONE) or DEFAULT_ZONE,
        tunnel_address=_tunnel_address(host, said.get(TUNNEL_ADDRESS) or address),
        gateway_priority=_priority(host, said.get(GATEWAY_PRIORITY) or "0"),
        bridge_mappings=dict(_mappings(said.get(BRIDGE_MAPPINGS) or "")),
        datapaths=tuple(sorted(datapaths)),
        integration_bridge=bridge.name if bridge else "",
        datapath_type=(bridge.datapath_type or "system") if bridge else "",
        bandwidths=dict(_bandwidths(host, said.get(BANDWIDTHS) or "")),
    )


def _tunnel_address(host: str, text: str) -> str | None:
    """What others can send tunnels to: no IPv6 address of a link, as ``fe80::1%eth0`` is."""
    if not text:
        return None
    try:
        address = netaddr.IPAddress(text)
    except netaddr.AddrFormatError:
        address = None
    if address is None or (address.version == 6 and address.is_link_local()):
        LOG.warning(
            "%s: %s is no IP address that other hosts reach: no tunnels lead there. Name one by "
            "ovs-vsctl set Open_vSwitch . external_ids:%s=ADDRESS",
            *(host, text, TUNNEL_ADDRESS),
        )
        return None
    return None if address.is_loopback() else text


def _priority(host: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        LOG.warning("%s: %s=%s is no number: taken for 0", host, GATEWAY_PRIORITY, text)
        return 0


def _mappings(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(","):
        network, _, bridge = item.strip().partition(":")
        if network and bridge:
            yield network, bridge


def _bandwidths(host: str, text: str) -> Iterator[tuple[str, tuple[str, int]]]:
    for item in filter(None, map(str.strip, text.split(","))):
        network, interface, kbps = (*item.split(":"), "", "")[:3]
        if network and interface and kbps.isdecimal() and int(kbps):
            yield network, (interface, int(kbps))
        else:
            LOG.warning(
                "%s: %s in %s is not PHYSICAL_NETWORK:INTERFACE:KBPS: nothing is promised there",
                *(host, item, BANDWIDTHS),
            )
