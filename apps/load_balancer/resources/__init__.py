# SPDX-License-Identifier: Apache-2.0

"""The API of load balancers: Octavia's, v2."""

from __future__ import annotations

from tenantry.apps.load_balancer.policies import POLICIES
from tenantry.apps.load_balancer.provisioning_status import Provisioning
from tenantry.apps.load_balancer.resources import (
    health_monitors,
    l7policies,
    l7rules,
    listeners,
    load_balancers,
    members,
    offers,
    pools,
    providers,
)
from tenantry.controller.feature.extension import Extension

_KINDS = (load_balancers, listeners, pools, members, health_monitors, l7policies, l7rules)


def extension(provisioning: Provisioning) -> Extension:
    """The kinds of Octavia's API. ``provisioning`` is told of all that changes."""
    return Extension(
        kinds=(*(each.SPEC for each in _KINDS), *offers.SPECS),
        rules={
            **{kind: hooks for each in _KINDS for kind, hooks in each.RULES.items()},
            **offers.HOOKS,
        },
        policies=(*POLICIES, *offers.POLICIES, *providers.POLICIES),
        routes=providers.ROUTES,
        committed=provisioning.committed,
        upgrade=provisioning.opened,
    )
