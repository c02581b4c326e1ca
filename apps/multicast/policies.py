# SPDX-License-Identifier: Apache-2.0

"""Who may see which ports have asked for which groups: whoever may see the ports."""

from __future__ import annotations

from tenantry.controller.feature.policies import ANY_READER, of_route

POLICIES = of_route("multicast", ANY_READER)
