# SPDX-License-Identifier: Apache-2.0

"""Who may ask what under ``/tenantry/v1``: rules that Neutron has no names for. Whoever may ask is
told of what they see of resources; of hosts and switches, an administrator is."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    ADMIN,
    ADMIN_OR_SERVICE,
    ANY_READER,
    PLACE,
    of_route,
    rule,
)

STATUS = (
    *("absent", "waiting_for", "left_alone", "failed", "switches", "service_port", "api"),
    *("descriptors", "connections", "warnings", "certificate_expires", "hosts", "workers"),
    "probes",
)

POLICIES = (
    *of_route("status", ANY_READER, (*STATUS, *(f"ports:{name}" for name in PLACE))),
    *of_route("flows", ANY_READER, ("switch",)),
    *of_route("diff", ADMIN),
    *of_route("verify", ADMIN),
    *of_route("engine", ADMIN),
    *of_route("wait", ANY_READER, ("absent",)),
    *of_route("hosts", ADMIN),
    *of_route("policies", ADMIN),
    *of_route("policy-check", ADMIN),
    rule("delete_tenantry_host", ADMIN, "DELETE", "/tenantry/v1/hosts/{host}"),
    rule("adopt_tenantry_host", ADMIN, "POST", "/tenantry/v1/hosts/{host}/adopt"),
    *of_route("workers", ADMIN),
    rule(
        "get_tenantry_worker_processes",
        ADMIN_OR_SERVICE,
        "GET",
        "/tenantry/v1/workers/{host}/processes",
        "What a worker is to run, with its keys and passwords; %(worker)s is the host",
    ),
    rule("update_tenantry_worker", ADMIN_OR_SERVICE, "PUT", "/tenantry/v1/workers/{host}"),
    rule("delete_tenantry_worker", ADMIN, "DELETE", "/tenantry/v1/workers/{host}"),
    rule("get_tenantry_metrics", ANY_READER, "GET", "/metrics"),
    rule("get_tenantry_metrics:controller", ADMIN, "GET", "/metrics"),
)
