# SPDX-License-Identifier: Apache-2.0

"""How long packets wait while a switch that holds 50,000 flows connects again, beside how long
while ``ovs-ofctl dump-flows`` reads the same, in turns.

Userspace OVS answers the controller in the thread that forwards, so what is asked of it at once is
what packets wait for. Real traffic, as in ``tenantry drill``, in namespaces that end with it.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from tenantry.controller import runtime
from tenantry.controller.cli.drill import PER_SECOND, STAGE
from tenantry.controller.cli.traffic import Talk
from tenantry.controller.openflow.flow import Flow, Output
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.switch import channel
from tests.bench import ROUNDS, Figure, ratio, turns
from tests.bench.codec import flows
from tests.bench.reconnect import COUNT, Again
from tests.namespace import run
from tests.openvswitch import OpenVSwitch

CALM_SECONDS = 1.0


def bench() -> Iterator[Figure]:
    words = [*STAGE, sys.executable, "-m", "tests.bench.waits"]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    lost, ours, dumps = json.loads(done.stdout)
    yield Figure("reconnect.50k.lost", lost, "packets", 0)
    yield ratio(
        "reconnect.50k.wait",
        ours,
        dumps,
        "the wait for ovs-ofctl dump-flows",
        0.55,
        reference="30 ms",
    )


def _plug(ovs: OpenVSwitch, number: int) -> None:
    """A guest ``g1`` or ``g2`` at the OpenFlow port 60000 and something."""
    tap, guest = f"t{number}", f"g{number}"
    run("ip", "netns", "add", guest)
    run("ip", "link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", guest)
    run("sysctl", "-qw", f"net.ipv6.conf.{tap}.disable_ipv6=1")
    run("ip", "link", "set", tap, "up")
    run("ip", "-n", guest, "link", "set", "eth0", "up")
    run("ip", "-n", guest, "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
    run("ip", "-n", guest, "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    run("ip", "netns", "exec", guest, "ethtool", "-K", "eth0", "tx", "off")
    request = f"ofport_request={60_000 + number}"
    ovs.vsctl("add-port", "br-int", tap, "--", "set", "interface", tap, request)


def _round(event: Callable[[], object]) -> tuple[int, float]:
    """Packets lost, and the seconds that the slowest was on its way, while something happens."""
    talks = [Talk(n, f"g{n}", "eth0", [f"10.0.0.{m}", f"fd00::{m}"], PER_SECOND) for n, m in _WAYS]
    start = time.time_ns()
    for talk in talks:
        talk.begin(start)
    runtime.sleep(CALM_SECONDS)
    event()
    runtime.sleep(CALM_SECONDS)
    for talk in talks:
        talk.end()
    heard = [talk.heard() for talk in talks]
    ways = [
        came - sent for each in heard for _, packet, sent, came in each.arrivals if packet >= 0
    ]  # broadcasts have no number
    return sum(each.sent for each in heard) - len(ways), max(ways) / 1e9


_WAYS = ((1, 2), (2, 1))


def main() -> None:
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    ways = [
        Flow(Table.CLASSIFY, 900, {"in_port": 60_000 + n}, (Output(60_000 + m),)) for n, m in _WAYS
    ]
    with OpenVSwitch() as ovs:
        again = Again(ovs, [*flows(COUNT), *ways])
        try:
            for number, _ in _WAYS:
                _plug(ovs, number)
            again.want(True)
            for address in ("10.0.0.2", "fd00::2"):
                run("ip", "netns", "exec", "g1", "ping", "-q", "-c1", "-w10", address)
            events = (lambda: again.reconnect(ovs), lambda: ovs.ofctl("dump-flows", "br-int"))
            rounds = [[_round(event) for event in events] for _ in turns(ROUNDS)]
        finally:
            channel.stop(again.channel)
    ours, dumps = zip(*rounds, strict=True)
    lost = sum(lost for lost, _ in ours)
    json.dump([lost, *([wait for _, wait in each] for each in (ours, dumps))], sys.stdout)


if __name__ == "__main__":
    main()
