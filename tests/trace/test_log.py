# SPDX-License-Identifier: Apache-2.0

"""The log of a controller on a real Open vSwitch says what a person wants to know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import lab
from tests.openvswitch import OpenVSwitch


def test_what_happens_is_said(
    dummy_ovs: OpenVSwitch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def said(*parts: str) -> bool:
        return any(all(part in line for part in parts) for line in caplog.messages)

    with lab(dummy_ovs, tmp_path) as net:
        port = net.port(net.network("10.0.0.0/24"), name="web")
        interface = net.attach(port)
        net.settle()
        assert said("store sqlite:", "0 networks, 0 ports")
        assert said(f"OVSDB {dummy_ovs.remote} is connected")
        assert said("is connected from 127.0.0.1:")
        assert said(f"port web ({port['id']}) is ACTIVE at {interface} of br-int on", "ms")
        assert not said("port web", "is DOWN")

        dummy_ovs.ofctl("del-flows", "br-int", "table=0")
        net.until(lambda: said("somebody else changed flows", f"l2 of port web ({port['id']})"))
        net.detach(interface)
        net.until(lambda: said(f"port web ({port['id']}) is DOWN: {interface} of br-int on"))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
