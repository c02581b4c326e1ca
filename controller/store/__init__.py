# SPDX-License-Identifier: Apache-2.0

"""The store: what people asked for, durable, and the log of every change to it.

``change.py`` has the values, ``replica.py`` what is in memory, ``draft.py`` a change being made,
``sql.py`` the four tables, ``store.py`` the :class:`Store` that ties them together. The store
knows no kind of resource: what a kind claims and links is told to it by the kind's :class:`Shape`.
"""

from tenantry.controller.store.change import (
    Body,
    Change,
    Claim,
    ClaimTaken,
    Commit,
    Link,
    LinkBroken,
    Shape,
    StaleDraft,
    StoreError,
    Unavailable,
)
from tenantry.controller.store.draft import Draft
from tenantry.controller.store.store import Store

__all__ = [
    "Body",
    "Change",
    "Claim",
    "ClaimTaken",
    "Commit",
    "Draft",
    "Link",
    "LinkBroken",
    "Shape",
    "StaleDraft",
    "Store",
    "StoreError",
    "Unavailable",
]
