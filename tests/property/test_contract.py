# SPDX-License-Identifier: Apache-2.0

"""The contract of the pipeline, held against what features compile after any history."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given

from tenantry.apps import APPS
from tenantry.controller.engine.engine import Engine
from tenantry.controller.model import Change, Model
from tenantry.controller.openflow.flow import Failover, Flow
from tests.contract import breaches
from tests.property import histories


def broken(engine: Engine) -> Iterator[str]:
    """Every breach of every flow on every switch, with the flow."""
    for switch in engine.wanted:
        items = [(unit, item) for unit, item, _ in engine.flows(switch)]
        groups = {item.group: item for _, item in items if isinstance(item, Failover)}
        for unit, item in items:
            if isinstance(item, Flow):
                for breach in breaches(unit.app, item, groups):
                    yield f"{unit}: {breach}: {item.text()}"


@given(history=histories.batches)
def test_no_flow_does_what_its_table_does_not_allow(history: list[list[Change]]) -> None:
    model = Model()
    engine = Engine(model, APPS)
    for batch in history:
        engine.touch(histories.apply(model, batch))
        for _ in engine.run():
            pass
    assert engine.failed == {}
    assert [*broken(engine)] == []
