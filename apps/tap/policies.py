# SPDX-License-Identifier: Apache-2.0

"""Who may do what to taps and mirrors."""

from __future__ import annotations

from tenantry.controller.feature.policies import MEMBER, READER, of_kind

_MEMBERS = {"create": MEMBER, "get": MEMBER, "update": MEMBER, "delete": MEMBER}

POLICIES = (
    *of_kind("tap_service", "/taas/tap_services", _MEMBERS),
    *of_kind("tap_flow", "/taas/tap_flows", _MEMBERS),
    *of_kind("tap_mirror", "/taas/tap_mirrors", {**_MEMBERS, "get": READER}),
)
