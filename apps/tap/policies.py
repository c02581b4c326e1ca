# SPDX-License-Identifier: Apache-2.0

"""Who may do what to taps and mirrors, and who may capture: members, what is their project's."""

from __future__ import annotations

from tenantry.controller.feature.policies import ANY_READER, MEMBER, READER, of_kind, of_route

_MEMBERS = {"create": MEMBER, "get": MEMBER, "update": MEMBER, "delete": MEMBER}

POLICIES = (
    *of_kind("tap_service", "/taas/tap_services", _MEMBERS),
    *of_kind("tap_flow", "/taas/tap_flows", _MEMBERS),
    *of_kind("tap_mirror", "/taas/tap_mirrors", {**_MEMBERS, "get": READER}),
    *of_route("ports/{id}/capture", MEMBER),
    *of_route("captures", ANY_READER),
)
