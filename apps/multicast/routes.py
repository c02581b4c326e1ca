# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/multicast``: who has asked for which groups."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from tenantry.apps.multicast.records import EVERY_GROUP, Membership
from tenantry.controller.feature.routes import Route, Running
from tenantry.controller.model import Address, Network


def groups(running: Running) -> list[dict[str, Any]]:
    """The groups that ports have asked for, by network; ``every IPv4 group`` of routers."""
    found: dict[tuple[str, Address], list[str]] = {}
    for network_id in sorted(running.view.ids(Network)):
        for member in running.view.find(Membership, network_id=network_id):
            if running.sees("port", member.port_id):
                found.setdefault((network_id, member.group), []).append(member.port_id)
    return [
        {"network_id": network_id, "group": _name(group), "port_ids": sorted(port_ids)}
        for (network_id, group), port_ids in sorted(found.items())
    ]


def _name(group: Address) -> str:
    if group in EVERY_GROUP.values():
        return f"every IPv{group.version} group"
    return str((IPv4Address if group.version == 4 else IPv6Address)(group.address))


ROUTES = (Route("multicast", groups),)
