# SPDX-License-Identifier: Apache-2.0

"""Who may do what to certificates: a project's members to its own. Nobody sees a private key."""

from __future__ import annotations

from tenantry.controller.feature.policies import MEMBER, READER, of_kind

PATH = "/tenantry/v1/certificates"

POLICIES = of_kind(
    "certificate", PATH, {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER}
)
