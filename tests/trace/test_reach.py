# SPDX-License-Identifier: Apache-2.0

"""Bridges that nothing joins, on one host: their ports are what they were, and status says it."""

from __future__ import annotations

from pathlib import Path

from tenantry.controller.api.tenantry import operations
from tests.lab import lab
from tests.openvswitch import OpenVSwitch


def test_two_bridges_of_a_host_are_not_joined_by_tunnels(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    with lab(dummy_ovs, tmp_path, networks__tenant_network_type="vxlan") as net:
        network = net.network("10.0.0.0/24", name="blue")
        net.attach(net.port(network), interface="a")
        net.add_bridge("br-two")
        assert operations.status(net.controller.running)["warnings"] == []
        there = net.port(network)
        net.attach(there, bridge="br-two", interface="b")
        (told,) = operations.status(net.controller.running)["warnings"]
        assert "ports on br-two of test-host do not reach those on br-int of test-host" in told
        assert "br-two of test-host is no integration bridge" in told
        assert net.status(there) == "ACTIVE"
        net.detach("b")
        assert operations.status(net.controller.running)["warnings"] == []
