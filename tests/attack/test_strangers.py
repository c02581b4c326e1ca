# SPDX-License-Identifier: Apache-2.0

"""Strangers at the ports of the controller: whatever they send, everybody else is served."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.stage import API, OPENFLOW, OVSDB, SECONDS, SEED, Stage, stage
from tests.openvswitch import OpenVSwitch

AT = {
    OPENFLOW: ("garbage", "lying switch", "long message", "crowd", "flood"),
    OVSDB: ("garbage", "lying database", "crowd", "flood"),
    API: ("garbage", "requests", "crowd", "flood"),
}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Stage]:
    with stage(ovs, tmp_path) as running:
        yield running
        running.whole()


@pytest.mark.parametrize("port", AT)
def test_a_stranger(net: Stage, port: int) -> None:
    network = net.network("10.0.0.0/24")
    net.open_default_groups()
    for kind in AT[port]:
        newcomer, a, b = (net.port(network) for _ in range(3))
        one, _ = net.guest(a), net.guest(b)
        words = [sys.executable, "-m", "tests.attack.strangers", kind, str(port), str(SECONDS)]
        meeting = (one, b["fixed_ips"][0]["ip_address"])
        try:
            net.withstand([[*words, str(SEED)]], [newcomer], [meeting])
        except AssertionError as error:
            raise AssertionError(f"{kind} at port {port}: {error}") from error
