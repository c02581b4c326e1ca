# SPDX-License-Identifier: Apache-2.0

"""What policies and quotas cost a create: ports of a member whose project has a quota, beside the
same where nobody is asked, in turns, in one process and without HTTP. Both write to disk.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from webob import Request

from tenantry.controller.api import application
from tenantry.controller.api.access import Access
from tenantry.controller.api.kind import ResourceType
from tenantry.controller.api.policy import Policy
from tenantry.controller.cli import features
from tenantry.controller.feature.context import Context
from tenantry.controller.store import Store
from tests.bench import Figure, in_turns, ratio

CREATES, TURNS = 10, 60
MEMBER = Context("red", "mary", False, "mary", frozenset({"member", "reader"}))


def bench() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="build") as name, ExitStack() as stack:
        judged = _creates(Path(name) / "judged.db", stack)
        with ExitStack() as unasked:
            for cls, method, answer in _UNASKED:
                unasked.enter_context(patch.object(cls, method, answer))
            free = _creates(Path(name) / "free.db", stack)

        def create_freely() -> None:
            with ExitStack() as unasked:
                for cls, method, answer in _UNASKED:
                    unasked.enter_context(patch.object(cls, method, answer))
                free()

        times = in_turns(judged, create_freely, rounds=TURNS)
        yield ratio("judged.create", *times, "without policies and quotas", 1.15)


_UNASKED: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (ResourceType, "check_quota", lambda *asked: None),
    (Policy, "recognised", lambda policy, context: context),
    (Access, "check_create", lambda *asked: None),
    (Access, "may_get", lambda *asked: True),
    (Access, "hidden", lambda *asked: frozenset()),
)
"""Whom a create asks, and what they say if nobody is asked."""


def _creates(database: Path, stack: ExitStack) -> Callable[[], None]:
    """Ten creates, of an API of its own."""
    conf = features.load([])
    parts = [app.build(conf) for app in features.apps()]
    kinds = application.kinds([part.extension for part in parts if part.extension])
    store = Store(f"sqlite:///{database}", kinds)
    stack.callback(store.close)
    quotas = {"network": 100, "subnet": 100, "port": 2 * CREATES * TURNS}
    app = application.application(store, kinds, lambda request: MEMBER, quotas=quotas)

    def create(kind: str, **attributes: Any) -> str:
        request = Request.blank(f"/v2.0/{kind}s", method="POST")
        request.body = json.dumps({kind: attributes}).encode()
        response = request.get_response(app)
        assert response.status_int == 201, response.body
        id: str = response.json_body[kind]["id"]
        return id

    network = create("network")
    for cidr, version in (("10.0.0.0/16", 4), ("fd00::/64", 6)):
        create("subnet", network_id=network, cidr=cidr, ip_version=version)

    def ten() -> None:
        for _ in range(CREATES):
            create("port", network_id=network)

    ten()
    return ten
