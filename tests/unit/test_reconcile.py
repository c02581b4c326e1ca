# SPDX-License-Identifier: Apache-2.0

"""Faults while pushing that a real switch does not make on demand."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.controller.openflow import codec
from tenantry.controller.switch import reconcile
from tenantry.controller.switch.reconcile import BUNDLE_MESSAGES, Push, Reconciler, Refusal


class Numbers:
    """As much of a connection as preparing bundles needs."""

    def xid(self) -> int:
        return 1

    def xids(self, count: int) -> int:
        return 1


def test_chunks_after_one_that_is_refused_whole_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    some: Any = None
    reconciler = Reconciler(Numbers(), some, some, some, audit_seconds=1.0)  # type: ignore[arg-type]
    refused = range(BUNDLE_MESSAGES * 2 + 500)
    sent: list[int] = []

    def transfer(connection: Any, bundle: Any, following: Any) -> dict[int, Any]:
        following.get()  # prepared ahead, before the errors are known
        if any(codec.cookie(body) in refused for body in bundle.bodies):
            return {0: None}
        sent.extend(codec.cookie(body) for body in bundle.bodies)
        return {}

    def refuse(errors: Any) -> None:
        reconciler.refused.append(Refusal("unit", "error", frozenset(refused)))

    monkeypatch.setattr(reconcile, "transfer", transfer)
    monkeypatch.setattr(reconciler, "_refuse", refuse)
    every = range(BUNDLE_MESSAGES * 4)
    push = Push()
    reconciler._send([cookie.to_bytes(8, "big") + bytes(52) for cookie in every], push)
    assert sent == list(range(len(refused), len(every)))
    assert push.added == len(sent)
