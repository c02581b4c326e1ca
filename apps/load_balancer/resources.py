# SPDX-License-Identifier: Apache-2.0

"""The API of load balancers: Octavia's, v2."""

from __future__ import annotations

from tenantry.controller.feature.extension import Extension


def extension() -> Extension:
    """The kinds of Octavia's API."""
    return Extension()
