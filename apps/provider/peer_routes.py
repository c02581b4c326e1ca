# SPDX-License-Identifier: Apache-2.0

"""Routes between the subnets of a network that are on different segments, as the API shows them.

They are no part of what is stored: ``host_routes`` shows them behind those that the subnet's owner
gave, for as long as the peers are there, and hosts are told them likewise
(``controller/network/configuration.py``). Who sends back what was shown gives no route with that.
"""

from __future__ import annotations

import netaddr
from neutron_lib.api.definitions.segment import SEGMENT_ID

from tenantry.controller.feature.extension import Reader
from tenantry.controller.store import Body

ROUTES = "host_routes"


def with_peers(reader: Reader, subnet: Body) -> list[dict[str, str]]:
    """The routes that the hosts of a subnet have: its owner's, and those to its peers."""
    return [*subnet[ROUTES], *_to_peers(reader, subnet, subnet[ROUTES])]


def given(reader: Reader, before: Body, body: Body) -> list[dict[str, str]]:
    """The routes of a request without those that were shown to whoever read the subnet."""
    shown = _to_peers(reader, before, before[ROUTES])
    return [route for route in body[ROUTES] if route not in shown]


def _to_peers(reader: Reader, subnet: Body, routes: list[dict[str, str]]) -> list[dict[str, str]]:
    own, gateway = subnet.get(SEGMENT_ID), subnet["gateway_ip"]
    if not own or not gateway:
        return []
    known = [netaddr.IPNetwork(route["destination"]) for route in routes]
    found = []
    for id in reader.linked(subnet["network_id"], "subnet"):
        peer = reader.get("subnet", id)
        if peer is None or peer.get(SEGMENT_ID) in (None, own):
            continue
        net = netaddr.IPNetwork(peer["cidr"])
        if peer["ip_version"] == subnet["ip_version"] and not any(net in one for one in known):
            found.append({"destination": peer["cidr"], "nexthop": gateway})
    return found
