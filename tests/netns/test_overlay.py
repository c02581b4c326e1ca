"""Several hosts, each with an Open vSwitch of its own: they join, and their guests reach each
other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm import Farm, Machine, farm, machines


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(4) as ready:
        yield ready


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_a_host_joins_and_its_guests_reach_everybody(
    started: list[Machine], tmp_path: Path, kind: str
) -> None:
    with farm(tmp_path, started[:3], networks__tenant_network_type=kind) as net:
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(4)]
        guests = [net.plug(m, p) for m, p in zip(started[:3], ports, strict=False)]
        assert_all_reach(net, guests, ports[:3])
        guest, interface = net.prepare(started[3], ports[3])
        began = time.monotonic()
        net.join(started[3])
        started[3].vsctl(
            *("--no-wait", "add-port", "br-int", interface, "--", "set", "interface", interface),
            f"external_ids:iface-id={ports[3]['id']}",
        )
        net.until(lambda: net.service.port_status(ports[3]["id"]) == "ACTIVE")
        for port in ports[:3]:
            assert guest.pings(port["fixed_ips"][0]["ip_address"], count=2)
        assert time.monotonic() - began < 5
        assert_all_reach(net, [*guests, guest], ports)
        net.verify()


def assert_all_reach(net: Farm, guests: list, ports: list) -> None:
    net.settle()
    for guest in guests:
        for port in ports:
            for ip in port["fixed_ips"]:
                assert guest.pings(ip["ip_address"], count=3), net.dump()
