# SPDX-License-Identifier: Apache-2.0

"""Who may let ports use addresses that are not theirs."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    ADMIN_OR_SERVICE,
    MEMBER,
    NETWORK_MEMBER,
    of_kind,
)

POLICIES = (
    *of_kind(
        "network",
        "/networks",
        {
            "create:port_security_enabled": MEMBER,
            "update:port_security_enabled": MEMBER,
        },
    ),
    *of_kind(
        "port",
        "/ports",
        {
            "create:port_security_enabled": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "create:allowed_address_pairs": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "create:allowed_address_pairs:mac_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "create:allowed_address_pairs:ip_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:port_security_enabled": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:allowed_address_pairs": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:allowed_address_pairs:mac_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:allowed_address_pairs:ip_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
        },
    ),
)
