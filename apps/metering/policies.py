# SPDX-License-Identifier: Apache-2.0

"""Who may do what to metering labels, and read what they have counted."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    ADMIN,
    ANY_READER,
    MANAGER,
    READER,
    of_kind,
    of_route,
)

_CHECKS = {"create": MANAGER, "get": READER, "delete": MANAGER}

POLICIES = (
    *of_kind(
        "metering_label",
        "/metering/metering-labels",
        {**_CHECKS, "create:shared": ADMIN},  # it counts what other projects send
    ),
    *of_kind("metering_label_rule", "/metering/metering-label-rules", _CHECKS),
    *of_route("metering-labels/{id}/counters", ANY_READER, ("silent",)),
)
