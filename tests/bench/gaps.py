# SPDX-License-Identifier: Apache-2.0

"""For how long nobody answers while a guest moves to another host, and while a gateway dies; and
how soon is mended what somebody changes by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.switch.host import MEND_SECONDS
from tests import namespace
from tests.bench import Figure, ratio, seconds, turns
from tests.farm import Farm, farm, machines
from tests.hosts.test_gateways import stage
from tests.hosts.test_migration import announced, silent_copy
from tests.lab import lab
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER
from tests.pacer import Pacer, reflecting

MOVES, DEATHS, HANDS = 5, 3, 9
INTERVAL, MULTIPLIER = 100, 4
"""Milliseconds between two messages of BFD, and how many may be missing; as they are by default."""


def bench_move() -> Iterator[Figure]:
    """A guest announces itself at another host; beside a change of a port that a client makes,
    until all switches have confirmed it."""
    gaps, changes = [], []
    for _ in turns(MOVES):
        with (
            namespace.entered(),
            machines(3) as started,
            tempfile.TemporaryDirectory(dir="build") as directory,
            farm(Path(directory), started) as net,
        ):
            one, two, three = started
            network = net.network("10.0.0.0/24")
            port, other = net.port(network), net.port(network)
            (address,) = (ip["ip_address"] for ip in port["fixed_ips"])
            before, asking = net.plug(one, port), net.plug(three, other)
            net.update("port", port["id"], **{"binding:host_id": one.name})
            body = {"binding": {"host": two.name}}
            net.api("POST", f"/v2.0/ports/{port['id']}/bindings", body)
            after, wire = silent_copy(net, port, two, asking)
            with reflecting(before), reflecting(after):
                pacer = Pacer(asking, address)
                assert asking.pings(address, count=3)
                before.run("ip", "link", "set", "eth0", "down")
                wire.send(announced(after, port["mac_address"]))
                net.until(lambda port=port, two=two: net.bound(port) == two.name)
                gaps.append(pacer.result().gap)
            wire.close()
            changes.append(seconds(partial(_pair_allowed, net, other)))
    peer = "a change of a port by the API"
    yield ratio("move.gap", gaps, changes, peer, 8, reference="100 ms")


def _pair_allowed(net: Farm, port: Any) -> None:
    net.update("port", port["id"], allowed_address_pairs=[{"ip_address": "10.0.0.99"}])
    net.settle()


def bench_gateway() -> Iterator[Figure]:
    """The gateway's switch dies; others find out by BFD."""
    gaps = []
    options = {"overlay__bfd_interval": str(INTERVAL), "overlay__bfd_multiplier": str(MULTIPLIER)}
    for _ in turns(DEATHS):
        with (
            namespace.entered(),
            machines(4, uplinks=2) as started,
            tempfile.TemporaryDirectory(dir="build") as directory,
            farm(Path(directory), started, **options) as net,
        ):
            on = stage(net)
            with reflecting(on.beyond.server):
                pacer = Pacer(on.inside, SERVER)
                assert on.inside.pings(SERVER, count=3)
                on.active.crash()
                gaps.append(pacer.result().gap)
    unit = f"x the {INTERVAL * MULTIPLIER} ms of silence"
    yield Figure("gateway.gap", median(gaps) * 1000 / (INTERVAL * MULTIPLIER), unit, 2.5)


def bench_mended() -> Iterator[Figure]:
    """A bridge's fail mode is changed by hand; beside a change that stays, until it is seen."""
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory)) as net,
    ):
        net.settle()
        times, peers = [], []
        for turn in turns(HANDS):
            runtime.sleep(1.2 * MEND_SECONDS)  # twice at once is mended later
            mark = f"external_ids:by-hand={turn}"
            peers.append(seconds(partial(_changed, ovs, mark, mark)))
            times.append(
                seconds(partial(_changed, ovs, "fail_mode=standalone", "fail_mode=secure"))
            )
    yield ratio("by-hand.mended", times, peers, "two ovs-vsctl", 5, reference="100 ms")


def _changed(ovs: OpenVSwitch, what: str, until: str) -> None:
    ovs.vsctl("--no-wait", "set", "bridge", "br-int", what)
    ovs.vsctl("wait-until", "bridge", "br-int", until)
