# SPDX-License-Identifier: Apache-2.0

"""Who may do what to local IPs, and to the ports behind them."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    MEMBER,
    PARENT_MEMBER,
    PARENT_READER,
    READER,
    of_kind,
)

POLICIES = (
    *of_kind(
        "local_ip",
        "/local-ips",
        {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER},
    ),
    *of_kind(
        "local_ip_port_association",
        "/local_ips/{id}/port_associations",
        {"create": PARENT_MEMBER, "get": PARENT_READER, "delete": PARENT_MEMBER},
    ),
)
