# SPDX-License-Identifier: Apache-2.0

"""The flows of each feature, compiled from the sample topology, as a person reviewed them.

When a change is meant, ``python -m tests.unit.test_golden`` writes the files anew: read the diff.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tenantry.apps import APPS
from tenantry.controller.feature.app import App
from tenantry.controller.openflow.codec import encode_flow
from tenantry.controller.sample.pipeline_page import compiled, listing
from tests import ofctl
from tests.conftest import need

GOLDEN = Path(__file__).parent / "golden"
FLOWS = compiled()


def text(app: App) -> str:
    return listing(one for one in FLOWS if one.unit.app is app)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_flows_are_as_reviewed(app: App) -> None:
    assert text(app) == (GOLDEN / f"{app.name}.txt").read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {app.name for app in APPS}


def test_open_vswitch_reads_text_and_bytes_alike() -> None:
    need(shutil.which("ovs-ofctl") is not None, "ovs-ofctl")
    from_text = ofctl.read_text(one.flow.text() for one in FLOWS)
    bodies = [encode_flow(one.flow, one.unit.app.id)[1] for one in FLOWS]
    from_bytes = [ofctl.without_cookie(line) for line in ofctl.read_bytes(bodies)]
    assert len(from_bytes) == len(FLOWS)
    assert from_bytes == from_text


if __name__ == "__main__":
    for app in APPS:
        (GOLDEN / f"{app.name}.txt").write_text(text(app))
