# SPDX-License-Identifier: Apache-2.0

"""Who may ask what an observation point is: whoever may read, of what they see."""

from __future__ import annotations

from tenantry.controller.feature.policies import ANY_READER, of_route

POLICIES = of_route("observation-points", ANY_READER)
