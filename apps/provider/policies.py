# SPDX-License-Identifier: Apache-2.0

"""Who may know and say how networks are carried: administrators."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    ADMIN,
    METHODS,
    of_kind,
    rule,
    tagging,
)

POLICIES = (
    *of_kind(
        "network",
        "/networks",
        {
            "create:segments": ADMIN,
            "create:provider:network_type": ADMIN,
            "create:provider:physical_network": ADMIN,
            "create:provider:segmentation_id": ADMIN,
            "get:segments": ADMIN,
            "get:provider:network_type": ADMIN,
            "get:provider:physical_network": ADMIN,
            "get:provider:segmentation_id": ADMIN,
            "update:segments": ADMIN,
            "update:provider:network_type": ADMIN,
            "update:provider:physical_network": ADMIN,
            "update:provider:segmentation_id": ADMIN,
        },
    ),
    *of_kind(
        "subnet",
        "/subnets",
        {
            "create:segment_id": ADMIN,
            "get:segment_id": ADMIN,
            "update:segment_id": ADMIN,
        },
    ),
    *of_kind(
        "segment",
        "/segments",
        {
            "create": ADMIN,
            "get": ADMIN,
            "update": ADMIN,
            "delete": ADMIN,
        },
    ),
    *of_kind(
        "network_segment_range",
        "/network-segment-ranges",
        {
            "create": ADMIN,
            "get": ADMIN,
            "update": ADMIN,
            "delete": ADMIN,
            **tagging(get=ADMIN, update=ADMIN),
        },
    ),
    *(  # Neutron has another name for tags here
        rule(f"{verb}_segments_tags", ADMIN, method, "/segments/{id}/tags")
        for verb, method in METHODS.items()
    ),
)
