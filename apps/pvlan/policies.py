# SPDX-License-Identifier: Apache-2.0

"""Who may make private VLANs of networks: whoever has them."""

from __future__ import annotations

from tenantry.controller.feature.policies import MEMBER, READER, of_kind

POLICIES = (
    *of_kind(
        "network",
        "/networks",
        {
            "create:pvlan": MEMBER,
            "update:pvlan": MEMBER,
            "get:pvlan": READER,
        },
    ),
    *of_kind(
        "port",
        "/ports",
        {
            "create:pvlan_type": MEMBER,
            "create:pvlan_community": MEMBER,
            "update:pvlan_type": MEMBER,
            "update:pvlan_community": MEMBER,
            "get:pvlan_type": READER,
            "get:pvlan_community": READER,
        },
    ),
)
