# SPDX-License-Identifier: Apache-2.0

"""The API of private VLANs: ``pvlan`` of networks, ``pvlan_type`` and ``pvlan_community`` of ports.

A MAC address is what tells another switch who has sent a packet, so a network with ``pvlan`` has
port security, and so have its ports, but for those of the network itself (``network:...``).
"""

from __future__ import annotations

from neutron_lib import exceptions
from neutron_lib.api.definitions import pvlan
from neutron_lib.constants import DEVICE_OWNER_NETWORK_PREFIX
from neutron_lib.services.pvlan.constants import (
    COMMUNITY_TYPE,
    PROMISCUOUS_TYPE,
    PVLAN,
    PVLAN_COMMUNITY,
    PVLAN_TYPE,
)

from tenantry.apps.pvlan.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, Reader, ResourceHooks, changed
from tenantry.controller.store import Body, Draft

_NOTHING = {PVLAN_TYPE: None, PVLAN_COMMUNITY: None}
_PROMISCUOUS = {**_NOTHING, PVLAN_TYPE: PROMISCUOUS_TYPE}


class PvlanNotEnabledOnNetwork(exceptions.BadRequest):
    message = (
        "Network %(network_id)s has no pvlan: set it on the network before a port of it is given "
        "a pvlan_type or pvlan_community."
    )


class PvlanCannotSetCommunityName(exceptions.BadRequest):
    message = (
        "pvlan_community is for ports whose pvlan_type is community, and that of port %(port_id)s "
        "is %(pvlan_type)s: leave it out."
    )


class PvlanCommunityNameRequired(exceptions.BadRequest):
    message = "The pvlan_type of port %(port_id)s is community: say which by pvlan_community."


class PvlanPortSecurityDisabled(exceptions.BadRequest):
    message = (
        "Port %(port_id)s has no port security, which private VLANs rely on: enable it, or leave "
        "the network without pvlan."
    )


class PvlanNetworkPortSecurityDisabled(exceptions.BadRequest):
    message = (
        "Network %(network_id)s has no port security, which private VLANs rely on: set "
        "port_security_enabled, or leave it without pvlan."
    )


class PrivateNetworkHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _check_network(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _check_network(body)
        if bool(body.get(PVLAN)) == bool(before.get(PVLAN)):
            return
        # As in Neutron: all ports are promiscuous at first, and know of nothing in the end.
        for id in draft.linked(body["id"], "port"):
            port = draft.get("port", id)
            if port is not None:
                if body[PVLAN]:
                    _check_port(port)
                draft.put("port", changed(port, **(_PROMISCUOUS if body[PVLAN] else _NOTHING)))

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(PVLAN, False)  # networks from before there was such an attribute


def _check_network(body: Body) -> None:
    if body.get(PVLAN) and not body["port_security_enabled"]:
        raise PvlanNetworkPortSecurityDisabled(network_id=body["id"])


def _check_port(body: Body) -> None:
    of_network = body["device_owner"].startswith(DEVICE_OWNER_NETWORK_PREFIX)
    if not body["port_security_enabled"] and not of_network:
        raise PvlanPortSecurityDisabled(port_id=body["id"])


class PrivatePortHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _settle(draft, _NOTHING, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _settle(draft, before, body)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        for name in _NOTHING:
            shown.setdefault(name, None)


def _settle(draft: Draft, before: Body, body: Body) -> None:
    network = draft.get("network", body["network_id"])
    asked = (body.get(PVLAN_TYPE), body.get(PVLAN_COMMUNITY))
    if network is None or not network.get(PVLAN):
        if any(asked):
            raise PvlanNotEnabledOnNetwork(network_id=body["network_id"])
        return
    _check_port(body)
    kind, community = asked[0] or PROMISCUOUS_TYPE, asked[1]
    if kind == COMMUNITY_TYPE:
        community = community or before.get(PVLAN_COMMUNITY)
        if not community:
            raise PvlanCommunityNameRequired(port_id=body["id"])
    elif community and community != before.get(PVLAN_COMMUNITY):
        raise PvlanCannotSetCommunityName(port_id=body["id"], pvlan_type=kind)
    else:
        community = None  # it has left the one that it was in
    body |= {PVLAN_TYPE: kind, PVLAN_COMMUNITY: community}


def extension() -> Extension:
    """The attributes of networks and ports."""
    return Extension(
        definitions=(pvlan,),
        rules={"network": PrivateNetworkHooks(), "port": PrivatePortHooks()},
        policies=POLICIES,
    )
