# SPDX-License-Identifier: Apache-2.0

"""What is dropped of real packets is counted, by cause and by whose it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tenantry.controller.model import Port
from tests.lab import Lab, eventually, lab
from tests.openvswitch import OpenVSwitch
from tests.trace.test_drops import counted

PACKETS = 20


def told(net: Lab, name: str, *whose: int) -> int:
    """The packets of an account, with the one that it was learned of; 0 if there is none."""
    return counted(net).get((name, whose), -1) + 1


def test_drops_are_counted_over_a_restart(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """Of one who may not send, of one who may not get, and of a router, beside what passes."""
    with lab(ovs, tmp_path) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network), net.port(network, security_groups=[]), net.port(network)]
        router = net.router(network)
        a, _, c = (net.guest(port) for port in ports)
        keys = [net.controller.model.all(Port)[port["id"]].key for port in ports]
        query = f"/v2.0/ports?device_id={router['id']}"
        (leg,) = (port["id"] for port in net.api("GET", query)["ports"])
        entered = net.controller.model.all(Port)[leg].key
        for guest in (a, c):
            guest.run("ip", "route", "add", "default", "via", "10.0.0.1")
        a.run("ip", "address", "add", "10.0.0.99/24", "dev", "eth0")
        to_shut, to_c = (port["fixed_ips"][0]["ip_address"] for port in ports[1:])
        net.take_effect()

        def flood(*words: str) -> None:
            command = a.command("ping", "-q", "-c", PACKETS, "-i", 0.01, "-W", 1, *words)
            assert subprocess.run(command, capture_output=True).returncode == 1, "answered"

        assert a.pings(to_c)
        flood("-I", "10.0.0.99", to_c)
        flood(to_shut)
        flood("198.51.100.1")
        accounts = (
            ("not_its_address", keys[0]),
            ("no_ingress_rule", keys[1]),
            ("no_route", keys[0], entered),
        )
        for account in accounts:
            assert eventually(lambda a=account: told(net, *a) >= PACKETS), counted(net)
            assert told(net, *account) <= PACKETS + 5, counted(net)
        assert a.pings(to_c), "all the while others pass"
        net.verify()
        before = counted(net)
    with lab(ovs, tmp_path) as again:
        again.settle()
        again.verify()
        after = counted(again)
        for name, *whose in accounts:
            assert after[name, tuple(whose)] >= before[name, tuple(whose)] > 0
