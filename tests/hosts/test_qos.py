# SPDX-License-Identifier: Apache-2.0

"""Limits with real packets between hosts, and outside: whichever gateway translates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.farm import Machine, farm, machines
from tests.hosts.test_gateways import stage
from tests.outside import SERVER
from tests.qos_policies import give, limits, policy
from tests.rates import share

KBPS, SECONDS = 5000, 6  # shorter, and what the meter has not been asked for at the end counts


@pytest.fixture(autouse=True)
def _iperf3() -> None:
    need(shutil.which("iperf3") is not None, "iperf3")


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(4, uplinks=2) as ready:
        yield ready


def test_between_two_hosts_both_ends_are_asked_once(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started[:2]) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(2)]
        one, other = (net.plug(m, port) for m, port in zip(started, ports, strict=False))
        slow = policy(net, bandwidth_limit=limits(KBPS))
        for port in ports:
            give(net, "port", port, slow)
        net.take_effect()
        ends = [port["fixed_ips"][0]["ip_address"] for port in ports]
        assert one.pings(ends[1], count=5)
        for kind in ("tcp", "udp"):
            for sender, receiver, to in ((one, other, ends[1]), (other, one, ends[0])):
                had = share(sender, receiver, to, kbps=KBPS, seconds=SECONDS, kind=kind)
                print(f"{kind} {'there' if sender is one else 'back'}: {had:.3f}")
                assert 0.90 <= had <= 1.05
        net.verify()


def test_a_floating_ips_limit_holds_after_its_gateway_has_died(
    started: list[Machine], tmp_path: Path
) -> None:
    with farm(tmp_path, started) as net:
        on = stage(net)
        floating = net.floating_ip(on.beyond.network, on.port)
        give(net, "floatingip", floating, policy(net, bandwidth_limit=limits(KBPS)))
        net.take_effect()
        first, server, address = on.active, on.beyond.server, floating["floating_ip_address"]
        for died in (False, True):
            if died:
                first.crash()
                net.until(lambda: on.active is not first)
            assert on.inside.pings(SERVER, count=5)
            assert server.pings(address, count=5)
            for sender, receiver, to in ((on.inside, server, SERVER), (server, on.inside, address)):
                had = share(sender, receiver, to, kbps=KBPS, seconds=SECONDS)
                print(f"{'out' if receiver is server else 'in'}: {had:.3f}")
                assert 0.90 <= had <= 1.05
