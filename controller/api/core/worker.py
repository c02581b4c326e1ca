# SPDX-License-Identifier: Apache-2.0

"""Workers in the store: the hosts that run processes for features, and which of them are alive.

Nobody makes one: a host does that asks what it is to run (``controller/service/workers.py``). That
one is alive, or is not, is written down: who has which process follows from it, and must not be
another thing after a start of the controller.
"""

from __future__ import annotations

from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    ResourceSpec,
    changed,
    timestamp,
)
from tenantry.controller.store import Draft, Store

WORKER = "worker"


class WorkerNotFound(LookupError):
    """There is no such worker."""


def note(store: Store, host: str, alive: bool) -> None:
    """A worker has come, or is silent. Errors: Unavailable."""

    def change(draft: Draft) -> None:
        before = draft.get(WORKER, host)
        if before is not None:
            if before["alive"] != alive:
                draft.put(WORKER, changed(before, alive=alive))
            return
        now = timestamp()
        body = {"id": host, "project_id": "", "alive": alive, "revision_number": 1}
        draft.put(WORKER, {**body, "created_at": now, "updated_at": now})

    store.write(change, SYSTEM.actor)


def forget(store: Store, host: str, actor: str) -> None:
    """Errors: WorkerNotFound, Unavailable."""

    def change(draft: Draft) -> None:
        if draft.get(WORKER, host) is None:
            raise WorkerNotFound(f"there is no worker {host}; `tenantry worker list` shows all")
        draft.delete(WORKER, host)

    store.write(change, actor)


def extension() -> Extension:
    """The kind ``worker``."""
    attributes = {
        "id": {"allow_post": False, "allow_put": False, "is_visible": True},
        "tenant_id": {"allow_post": False, "allow_put": False, "is_visible": True},
        "alive": {"allow_post": False, "allow_put": False, "is_visible": True},
    }
    spec = ResourceSpec(
        name=WORKER,
        collection="workers",
        attributes=attributes,
        not_found=WorkerNotFound,
        internal=True,
        quota=None,
        standard=(),
    )
    return Extension(kinds=(spec,))
