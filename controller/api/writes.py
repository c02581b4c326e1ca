# SPDX-License-Identifier: Apache-2.0

"""The log of writes: one line for each commit, with who made it and what became of what.

The whole of it, each body before and after, is in the store's own log (``commit_log``), with the
same actor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tenantry.controller.log import EACH, called
from tenantry.controller.store import Change, Commit

LOG = logging.getLogger(__name__)

FEW = 3
"""So many of a kind are named; of more, there is their number."""


def tell(commit: Commit) -> None:
    """A line for a commit."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in commit.changes:
        groups.setdefault((_verb(change), change.kind), []).append(change)
    done = ", ".join(f"{verb} {_what(kind, some)}" for (verb, kind), some in groups.items())
    LOG.info("%s: %s", commit.actor, done, extra=EACH)


def _verb(change: Change) -> str:
    if change.before is None:
        return "creates"
    return "deletes" if change.after is None else "updates"


def _what(kind: str, changes: list[Change]) -> str:
    if len(changes) > FEW:
        return f"{len(changes):,} of kind {kind}"
    return " and ".join(_named(changes, kind))


def _named(changes: Iterable[Change], kind: str) -> Iterable[str]:
    for change in changes:
        name = str((change.after or change.before or {}).get("name") or "")
        yield called(kind, name, change.id)
