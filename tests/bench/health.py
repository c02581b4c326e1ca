# SPDX-License-Identifier: Apache-2.0

"""What it costs to ask 2,000 members of load balancers whether they are alive, by HTTP, every five
seconds; and when it is known everywhere that some have died."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tenantry.apps.load_balancer.records import MemberHealth
from tenantry.controller import runtime
from tests import namespace
from tests.balancers import Balancers
from tests.bench import Figure
from tests.health import Monitored
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

GUESTS, PORTS = 10, 200
DELAY, RETRIES = 5, 2
SECONDS = 15.0

SERVER = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
for port in range(1000, 1000 + int(sys.argv[1])):
    listening = socket.create_server(("0.0.0.0", port))
    listening.setblocking(False)
    ready.register(listening, selectors.EVENT_READ, True)
print("up", flush=True)
while True:
    for key, _ in ready.select():
        try:
            if key.data:
                stream, _ = key.fileobj.accept()
                ready.register(stream, selectors.EVENT_READ, False)
            else:
                ready.unregister(key.fileobj)
                key.fileobj.recv(4096)
                key.fileobj.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
                key.fileobj.close()
        except OSError:
            key.fileobj.close()
"""


def bench() -> Iterator[Figure]:
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory)) as net,
    ):
        assert net.controller.service_port.up.wait(10)
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(GUESTS)]
        guests = [net.guest(port) for port in ports]
        calm = _measured()
        servers = [_serve(guest) for guest in guests]
        monitored = Monitored(Balancers(net), network)
        pool = monitored.pool("HTTP", delay=DELAY, timeout=3, max_retries_down=RETRIES)
        for port in ports:
            for number in range(1000, 1000 + PORTS):
                monitored.member(pool, port, number)
        count = GUESTS * PORTS
        net.until(lambda: len(net.controller.prober) == count)
        net.until(lambda: _alive(net, True) == count)
        before = sum(net.controller.prober.asked.values())
        busy = _measured()
        asked = sum(net.controller.prober.asked.values()) - before
        due = SECONDS * count / DELAY
        yield Figure("health.2000.asked", asked / due, "of those due", 0.97, at_least=True)
        yield Figure("health.2000.cpu", 100 * (busy[0] - calm[0]), "% of a processor", 40)
        wait = f"{1000 * calm[1]:.1f} ms without"
        yield Figure("health.2000.wait", 1000 * busy[1], "ms (99 %) for a turn", today=wait)
        yield Figure("health.2000.failed", sum(net.controller.prober.failed.values()), "failed", 0)
        died = time.monotonic()
        servers[0].kill()
        net.until(lambda: _alive(net, False) == PORTS)
        net.settle()
        took, most = time.monotonic() - died, DELAY * RETRIES + 1
        said = f"{took:.1f} s"
        yield Figure("health.2000.dead", took / most, "x (delay x retries + 1 s)", 1, today=said)


def _serve(guest: Guest) -> subprocess.Popen[str]:
    server = guest.start(sys.executable, "-c", SERVER, PORTS)
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"
    return server


def _alive(net: Lab, alive: bool) -> int:
    found: Any = net.controller.model.all(MemberHealth).values()
    return sum(health.alive is alive for health in found)


def _measured() -> tuple[float, float]:
    """Of this process: how much of a processor it takes, and by how much who sleeps for 10 ms is
    late, but for the worst hundredth: an answer to a switch's echo waits for as long."""
    started, worked, late = time.monotonic(), time.process_time(), []
    while time.monotonic() < started + SECONDS:
        asleep = time.monotonic()
        runtime.sleep(0.01)
        late.append(time.monotonic() - asleep - 0.01)
    took = time.monotonic() - started
    return (time.process_time() - worked) / took, sorted(late)[len(late) * 99 // 100]
