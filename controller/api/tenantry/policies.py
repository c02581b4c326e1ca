# SPDX-License-Identifier: Apache-2.0

"""Who may ask what under ``/tenantry/v1``: rules that Neutron has no names for."""

from __future__ import annotations

from tenantry.controller.feature.policies import ADMIN, of_route, rule

POLICIES = (
    of_route("status", ADMIN),
    of_route("flows", ADMIN),
    of_route("diff", ADMIN),
    of_route("verify", ADMIN),
    of_route("engine", ADMIN),
    of_route("wait", ADMIN),
    of_route("hosts", ADMIN),
    rule("delete_tenantry_host", ADMIN, "DELETE", "/tenantry/v1/hosts/{host}"),
    rule("adopt_tenantry_host", ADMIN, "POST", "/tenantry/v1/hosts/{host}/adopt"),
    rule("get_tenantry_metrics", ADMIN, "GET", "/metrics"),
)
