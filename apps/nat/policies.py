# SPDX-License-Identifier: Apache-2.0

"""Who may do what to floating IPs, and to what belongs to them."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    MANAGER,
    MEMBER,
    PARENT_MEMBER,
    PARENT_READER,
    READER,
    of_kind,
    rule,
    tagging,
)

POLICIES = (
    *of_kind(
        "floatingip",
        "/floatingips",
        {
            "create": MEMBER,
            "create:floating_ip_address": MANAGER,
            "create:router_id": MEMBER,
            "get": READER,
            "update": MEMBER,
            "update:router_id": MEMBER,
            "delete": MEMBER,
            **tagging(get=READER, update=MEMBER),
        },
    ),
    rule("get_floatingip_pool", READER, "GET", "/floatingip_pools", "List pools of floating IPs"),
    *of_kind(
        "floatingip_port_forwarding",
        "/floatingips/{id}/port_forwardings",
        {
            "create": PARENT_MEMBER,
            "get": PARENT_READER,
            "update": PARENT_MEMBER,
            "delete": PARENT_MEMBER,
        },
    ),
    *of_kind(
        "router_conntrack_helper",
        "/routers/{id}/conntrack_helpers",
        {
            "create": PARENT_MEMBER,
            "get": PARENT_READER,
            "update": PARENT_MEMBER,
            "delete": PARENT_MEMBER,
        },
    ),
    *of_kind(
        "ndp_proxy",
        "/ndp_proxies",
        {
            "create": MEMBER,
            "get": READER,
            "update": MEMBER,
            "delete": MEMBER,
        },
    ),
)
