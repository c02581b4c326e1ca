# SPDX-License-Identifier: Apache-2.0

"""Who may do what to routers and external networks."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    ADMIN,
    ANY_READER,
    MEMBER,
    READER,
    actions,
    of_kind,
    of_route,
    rule,
    tagging,
)

POLICIES = (
    *of_kind(
        "auto_allocated_topology",
        "/auto-allocated-topology",
        {"get": READER, "delete": MEMBER},
    ),
    *of_kind(
        "network",
        "/networks",
        {
            "create:router:external": ADMIN,
            "create:is_default": ADMIN,
            "update:router:external": ADMIN,
            "update:is_default": ADMIN,
        },
    ),
    *of_kind(
        "router",
        "/routers",
        {
            "create": MEMBER,
            "create:distributed": ADMIN,
            "create:ha": ADMIN,
            "create:external_gateway_info": MEMBER,
            "create:external_gateway_info:network_id": MEMBER,
            "create:external_gateway_info:enable_snat": ADMIN,
            "create:external_gateway_info:external_fixed_ips": ADMIN,
            "create:enable_default_route_bfd": ADMIN,
            "create:enable_default_route_ecmp": ADMIN,
            "get": READER,
            "get:distributed": ADMIN,
            "get:ha": ADMIN,
            "update": MEMBER,
            "update:distributed": ADMIN,
            "update:ha": ADMIN,
            "update:external_gateway_info": MEMBER,
            "update:external_gateway_info:network_id": MEMBER,
            "update:external_gateway_info:enable_snat": ADMIN,
            "update:external_gateway_info:external_fixed_ips": ADMIN,
            "update:enable_default_route_bfd": ADMIN,
            "update:enable_default_route_ecmp": ADMIN,
            "delete": MEMBER,
            **tagging(get=READER, update=MEMBER),
        },
    ),
    *actions(
        "/routers",
        {
            "add_router_interface": MEMBER,
            "remove_router_interface": MEMBER,
            "add_extraroutes": MEMBER,
            "remove_extraroutes": MEMBER,
        },
    ),
    rule(
        "get_l3-agents",
        ADMIN,
        "GET",
        "/routers/{id}/l3-agents",
        "See which hosts are the gateways of a router",
    ),
    rule(
        "get_l3-routers",
        ADMIN,
        "GET",
        "/agents/{id}/l3-routers",
        "See which hosts are the gateways of a router",
    ),
    rule(
        "create_l3-router",
        ADMIN,
        "POST",
        "/agents/{id}/l3-routers",
        "Say which hosts are the gateways of a router",
    ),
    rule(
        "delete_l3-router",
        ADMIN,
        "DELETE",
        "/agents/{id}/l3-routers/{router_id}",
        "Say which hosts are the gateways of a router",
    ),
    *of_route("routers", ANY_READER, ("home", "switches", "neighbours")),
)
