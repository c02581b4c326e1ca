# SPDX-License-Identifier: Apache-2.0

"""The API of load balancers: Octavia's, v2."""

from __future__ import annotations

from tenantry.apps.load_balancer import listeners, load_balancers, offers, providers
from tenantry.apps.load_balancer.policies import POLICIES
from tenantry.apps.load_balancer.status import Provisioning
from tenantry.controller.feature.extension import Extension


def extension(provisioning: Provisioning) -> Extension:
    """The kinds of Octavia's API. ``provisioning`` is told of all that changes."""
    return Extension(
        kinds=(load_balancers.SPEC, listeners.SPEC, *offers.SPECS),
        rules={**load_balancers.RULES, **listeners.RULES, **offers.HOOKS},
        policies=(*POLICIES, *offers.POLICIES, *providers.POLICIES),
        routes=providers.ROUTES,
        committed=provisioning.committed,
        upgrade=provisioning.opened,
    )
