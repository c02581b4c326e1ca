# SPDX-License-Identifier: Apache-2.0

"""Who may do what to trunks."""

from __future__ import annotations

from tenantry.controller.feature.policies import (
    MEMBER,
    READER,
    actions,
    of_kind,
    tagging,
)

POLICIES = (
    *of_kind(
        "trunk",
        "/trunks",
        {
            "create": MEMBER,
            "get": READER,
            "update": MEMBER,
            "delete": MEMBER,
            **tagging(get=READER, update=MEMBER),
        },
    ),
    *actions(
        "/trunks", {"get_subports": READER, "add_subports": MEMBER, "remove_subports": MEMBER}
    ),
)
