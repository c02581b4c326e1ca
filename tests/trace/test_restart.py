# SPDX-License-Identifier: Apache-2.0

"""A controller that starts again finds everything as it should be, and sends nothing."""

from __future__ import annotations

from pathlib import Path

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


def test_a_restart_sends_nothing(dummy_ovs: OpenVSwitch, tmp_path: Path) -> None:
    """Neither for ports on the switch itself nor for ports on one that connects later."""
    options = {"networks__vlan_ranges": "wire:100:199"}
    with lab(dummy_ovs, tmp_path, **options) as net:
        net.add_bridge("br-two")
        net.wire("br-int", "wire1", "wire")
        net.wire("br-two", "wire2", "wire")
        network = net.network("10.0.0.0/24", "fd00::/64")
        for bridge in ("br-int", "br-two"):
            net.attach(net.port(network), bridge)
            net.attach(net.port(network, port_security_enabled=False), bridge)
        net.settle()
        before = {bridge: net.flows(bridge) for bridge in ("br-int", "br-two")}
        where = str(net.controller.openflow)
    for late in ("br-int", "br-two"):
        target = dummy_ovs.vsctl("get-controller", late).strip()
        dummy_ovs.vsctl("set-controller", late, "tcp:127.0.0.1:1")
        with lab(
            dummy_ovs,
            tmp_path,
            openflow__listen=where,
            ovsdb__integration_bridge="",
            **options,
        ) as net:
            net.until(lambda: len(net.controller.progress.connections) == 1)
            assert not net.controller.progress.reconcilers
            dummy_ovs.vsctl("set-controller", late, target)
            net.until(lambda: len(net.controller.progress.reconcilers) == 2)
            net.settle()
            assert sent(net) == 0
            assert {bridge: net.flows(bridge) for bridge in before} == before
            net.verify()


def sent(net: Lab) -> int:
    pushes = [reconciler.sent for reconciler in net.controller.progress.reconcilers.values()]
    return sum(push.added + push.deleted for push in pushes)
