# SPDX-License-Identifier: Apache-2.0

"""What the API accepts of port security: allowed address pairs, the addresses that a port may use
beside its own."""

from __future__ import annotations

import netaddr
from neutron_lib.api.converters import convert_to_sanitized_mac_address
from neutron_lib.api.definitions import aap_reject_multicast, allowedaddresspairs
from neutron_lib.constants import ATTR_NOT_SPECIFIED
from neutron_lib.exceptions.allowedaddresspairs import (
    AddressPairAndPortSecurityRequired,
    DuplicateAddressPairInRequest,
)
from oslo_config import cfg

from tenantry.apps.port_security.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, Reader, ResourceHooks
from tenantry.controller.store import Body, Draft

PAIRS = allowedaddresspairs.ADDRESS_PAIRS

MAX_PAIRS = 10
"""How many pairs a port may have: Neutron's default."""

# neutron-lib's validator looks for the limit here.
cfg.CONF.register_opt(cfg.IntOpt("max_allowed_address_pair", default=MAX_PAIRS))


class AddressPairHooks(ResourceHooks):
    """A pair without a MAC address is stored with the one that the port has at the time; the IP
    address stays in the words of the request, so that a client that compares finds it again."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        pairs = body[PAIRS]
        body[PAIRS] = [] if pairs is ATTR_NOT_SPECIFIED else _settled(pairs, body)
        _check_security(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body.get(PAIRS) != before.get(PAIRS):
            body[PAIRS] = _settled(body[PAIRS], body)
        _check_security(body)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(PAIRS, [])  # ports from before there was such an attribute


def _settled(pairs: list[dict[str, str]], port: Body) -> list[dict[str, str]]:
    settled = []
    seen: set[tuple[str, netaddr.IPNetwork]] = set()
    for pair in pairs:
        mac = convert_to_sanitized_mac_address(pair.get("mac_address") or port["mac_address"])
        net = netaddr.IPNetwork(pair["ip_address"]).cidr
        if (mac, net) in seen:
            raise DuplicateAddressPairInRequest(mac_address=mac, ip_address=pair["ip_address"])
        seen.add((mac, net))
        settled.append({"mac_address": mac, "ip_address": pair["ip_address"]})
    return settled


def _check_security(body: Body) -> None:
    if body.get(PAIRS) and not body["port_security_enabled"]:
        raise AddressPairAndPortSecurityRequired()


def extension() -> Extension:
    """The attribute ``allowed_address_pairs`` of ports. That no group's address is taken in a pair
    is for neutron-lib's own validator."""
    return Extension(
        definitions=(allowedaddresspairs, aap_reject_multicast),
        rules={"port": AddressPairHooks()},
        policies=POLICIES,
    )
