# SPDX-License-Identifier: Apache-2.0

"""Who may read counters: of what they see, whoever may read anything; where it is, and which switch
does not answer, is an administrator's to know."""

from __future__ import annotations

from tenantry.apps.counters.routes import OBJECTS
from tenantry.controller.feature.policies import ADMIN, ANY_READER, PLACE, of_route

POLICIES = (
    *of_route("counters", ANY_READER, PLACE),
    *of_route("counters/networks", ANY_READER),
    *of_route("hot", ADMIN),
    *(
        rule
        for path in OBJECTS
        for rule in of_route(f"{path}/{{id}}/counters", ANY_READER, ("silent",))
    ),
)
