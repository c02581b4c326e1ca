# SPDX-License-Identifier: Apache-2.0

"""The MTU of networks: what the wires between hosts carry, less what the encapsulation takes.

An MTU is in octets of IP packet (RFC 791, RFC 8200), never of Ethernet frame.
"""

from __future__ import annotations

from collections.abc import Mapping

from neutron_lib import exceptions
from neutron_lib.api.definitions import network_mtu, network_mtu_writable
from neutron_lib.constants import IPV4_MIN_MTU, IPV6_MIN_MTU, TYPE_GENEVE, TYPE_VXLAN

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, ResourceHooks
from tenantry.controller.store import Body, Draft

OVERHEAD = {
    (TYPE_VXLAN, 4): 50,
    (TYPE_VXLAN, 6): 70,
    (TYPE_GENEVE, 4): 58,
    (TYPE_GENEVE, 6): 78,
}
"""Octets that a tunnel adds, by its type and the IP version of its ends: the outer IP header (20 or
40), UDP (8), VXLAN (8, RFC 7348) or Geneve with one option (16, RFC 8926), and the inner Ethernet
header (14). Other types of network add nothing: an 802.1Q tag is not part of the MTU."""

_LEAST = {4: IPV4_MIN_MTU, 6: IPV6_MIN_MTU}


class MtuHooks(ResourceHooks):
    def __init__(
        self, physical_mtu: int, physical_mtus: Mapping[str, int], overlay_ip_version: int = 4
    ) -> None:
        self._physical_mtu = physical_mtu
        self._physical_mtus = physical_mtus
        self._overlay_ip_version = overlay_ip_version

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._settle(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["mtu"] != before["mtu"]:
            self._settle(body)
        elif body.get("segments") != before.get("segments"):
            body["mtu"] = min(body["mtu"], self._most(body))
        if body["mtu"] != before["mtu"]:
            for id in draft.linked(body["id"], "subnet"):
                subnet = draft.get("subnet", id)
                if subnet:
                    check(body, subnet["ip_version"])

    def _settle(self, body: Body) -> None:
        """0 asks for the default, which is also the most."""
        most = self._most(body)
        if body["mtu"] > most:
            raise exceptions.InvalidInput(
                error_message=f"Requested MTU is too big, maximum is {most}"
            )
        body["mtu"] = body["mtu"] or most

    def _most(self, network: Body) -> int:
        """The largest packet that the network carries everywhere, on each of its segments."""
        segments = network.get("segments") or [network]
        return min(self.most(segment, self._overlay_ip_version) for segment in segments)

    def most(self, segment: Body, tunnel_ip_version: int) -> int:
        """The largest packet that a segment carries: the ``provider:*`` attributes of a network."""
        physical_network = segment.get("provider:physical_network") or ""
        physical = self._physical_mtus.get(physical_network, self._physical_mtu)
        return physical - OVERHEAD.get((segment.get("provider:network_type"), tunnel_ip_version), 0)


def check(network: Body, ip_version: int) -> None:
    """IPv4 needs 68 octets (RFC 791), IPv6 1280 (RFC 8200, section 5). NetworkMTUSubnetConflict if
    the network carries less."""
    if network["mtu"] < _LEAST[ip_version]:
        raise exceptions.NetworkMTUSubnetConflict(net_id=network["id"], mtu=_LEAST[ip_version])


def extension(
    physical_mtu: int, physical_mtus: Mapping[str, int], overlay_ip_version: int = 4
) -> Extension:
    """The attribute ``mtu`` of networks. It comes after those extensions that say how a network is
    carried. ``physical_mtus`` are those of single physical networks, where they differ; tunnels
    have ends of ``overlay_ip_version``."""
    return Extension(
        definitions=(network_mtu, network_mtu_writable),
        rules={"network": MtuHooks(physical_mtu, physical_mtus, overlay_ip_version)},
    )
