# SPDX-License-Identifier: Apache-2.0

"""Who may do what to flavors: an admin makes them, everybody chooses."""

from __future__ import annotations

from tenantry.controller.feature.policies import ADMIN, ANY_READER, READER, of_kind, rule

_BINDING = "/flavors/{flavor_id}/service_profiles"

POLICIES = (
    *of_kind(
        "flavor",
        "/flavors",
        {"create": ADMIN, "get": ANY_READER, "update": ADMIN, "delete": ADMIN},
    ),
    *of_kind(
        "service_profile",
        "/service_profiles",
        {"create": ADMIN, "get": ADMIN, "update": ADMIN, "delete": ADMIN},
    ),
    *of_kind(
        "flavor_service_profile",
        _BINDING,
        {"create": ADMIN, "get": READER, "delete": ADMIN},
    ),
    rule("get_service_provider", ANY_READER, "GET", "/service-providers"),
)
