# SPDX-License-Identifier: Apache-2.0

"""Who may do what to logs."""

from __future__ import annotations

from tenantry.controller.feature.policies import MANAGER, of_kind, of_route, rule

POLICIES = (
    *of_kind(
        "log",
        "/log/logs",
        {
            "create": MANAGER,
            "get": MANAGER,
            "update": MANAGER,
            "delete": MANAGER,
        },
    ),
    rule(
        "get_loggable_resource",
        MANAGER,
        "GET",
        "/log/loggable-resources",
        "List what can be logged",
    ),
    *of_route("network-log", MANAGER),
)
