# SPDX-License-Identifier: Apache-2.0

"""Nobody sees or writes what Neutron's rules refuse: thousands of attempts (``attempts.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.api.attempts import CALLERS, OWNER, Attempt, Person, wrong
from tests.api.conftest import Api, caller
from tests.api.one_of_each import one_of_each


def test_nobody_sees_or_writes_what_the_rules_refuse(make_api: Callable[..., Api]) -> None:
    now = {"who": caller(OWNER, "admin", "service")}
    world = one_of_each(make_api(authenticate=lambda request: now["who"]))
    people = [Person(caller(*each), {}) for each in CALLERS]

    def call(attempt: Attempt) -> tuple[int, Any]:
        now["who"] = attempt.who
        return world.api.request(attempt.method, attempt.url, attempt.body)

    faults = wrong(world, people, call)
    assert not faults, "\n".join(faults[:20])
