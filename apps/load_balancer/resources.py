# SPDX-License-Identifier: Apache-2.0

"""The API of load balancers: Octavia's, v2."""

from __future__ import annotations

from tenantry.apps.load_balancer import listeners, load_balancers
from tenantry.apps.load_balancer.policies import POLICIES
from tenantry.apps.load_balancer.status import Provisioning
from tenantry.controller.feature.extension import Extension


def extension(provisioning: Provisioning) -> Extension:
    """The kinds of Octavia's API. ``provisioning`` is told of all that changes."""
    return Extension(
        kinds=(load_balancers.SPEC, listeners.SPEC),
        rules={**load_balancers.RULES, **listeners.RULES},
        policies=POLICIES,
        committed=provisioning.committed,
        upgrade=provisioning.opened,
    )
