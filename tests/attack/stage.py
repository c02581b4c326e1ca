# SPDX-License-Identifier: Apache-2.0

"""A ``tenantry serve`` in a process of its own, and what must hold while it is attacked."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenantry.controller import runtime
from tests import dhcp_client
from tests.lab import Lab, Refused, written
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

API, OPENFLOW, OVSDB = 9696, 6653, 6640

SECONDS = float(os.environ.get("ATTACK_SECONDS", 2))
"""How long an attack lasts."""

SEED = int(os.environ.get("ATTACK_SEED", 1))

DESCRIPTORS = 1024
"""What a process has under systemd if nobody says otherwise."""

API_SECONDS, GUEST_SECONDS = 0.25, 1.0
"""How long the API (at its 99th percentile), and a guest that wants an address or meets another for
the first time, may wait: on a machine of which others leave enough, see :meth:`Calm.limit`."""

START_SECONDS = 60


class Stage(Lab):
    """A controller beside this process. The namespace is the test's own, so its ports are, too."""

    def __init__(self, ovs: OpenVSwitch, directory: Path, **options: str) -> None:
        self.ovs = ovs
        self.directory = directory
        self._guests: list[Guest] = []
        self._numbers = itertools.count(1)
        values = {
            "api__listen": f"127.0.0.1:{API}",
            "openflow__listen": f"127.0.0.1:{OPENFLOW}",
            "ovsdb__listen": f"127.0.0.1:{OVSDB}",
            "ovsdb__connections": ovs.remote,
            "ovsdb__datapath_type": "netdev",
            **options,
        }
        self._configuration = written(directory, values)
        self.log = directory / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has the switch."""
        words = ["prlimit", f"--nofile={DESCRIPTORS}:", sys.executable, "-m"]
        words += ["tenantry.controller", "--config-file", str(self._configuration), "serve"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until(self.ready, START_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def api(self, method: str, path: str, body: Any = None, project: str = "demo") -> Any:
        status, answer = self.ask(method, path, body, project)
        if status >= 400:
            raise Refused(status, answer)
        return answer

    def ask(
        self, method: str, path: str, body: Any = None, project: str = "demo", seconds: float = 30
    ) -> tuple[int, Any]:
        """One request over a connection of its own: status and decoded answer. Errors: OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", API, timeout=seconds)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"X-Project-Id": project})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        except http.client.HTTPException as error:
            raise OSError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait until it is so; while the API does not answer, it is not."""
        with runtime.Timeout(seconds, AssertionError(f"it did not come about; {self.tail()}")):
            while not _holds(condition):
                runtime.sleep(0.02)

    def ready(self) -> bool:
        """Whether every switch is here and has confirmed everything."""
        status = self.api("GET", "/tenantry/v1/status")
        switches = status["switches"]
        return bool(switches and status["settled"] and all(s["connected"] for s in switches))

    def settle(self) -> None:
        self.until(self.ready)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    def connections(self) -> int:
        """How often a bridge has connected to the controller, as Open vSwitch tells it."""
        told = (self.ovs.directory / "ovs-vswitchd.log").read_text(errors="replace")
        return sum("br-int<->" in line and ": connected" in line for line in told.splitlines())

    def descriptors(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self) -> int:
        """Its memory in octets."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def whole(self) -> None:
        """It lives, lets everybody in, and every switch holds exactly what it should."""
        assert self.process is not None
        assert self.process.poll() is None, self.tail()
        self.settle()
        answer = self.api("GET", "/tenantry/v1/verify")
        assert answer["ok"], answer
        assert "Traceback" not in self.log.read_text(errors="replace"), self.tail()

    def close(self) -> None:
        for guest in self._guests:
            guest.close()
        self.kill()

    def withstand(
        self, attackers: list[list[str]], newcomers: list[Any], pairs: list[tuple[Guest, str]]
    ) -> None:
        """Run these commands beside each other until they end. Meanwhile the API answers everybody,
        no switch is hung up on, each of these ports' guests gets its address, and each of these
        guests reaches whom it has never spoken to. What came with the attack goes with it."""
        script = dhcp_client.write(self.directory)
        guests = [self.guest(port, bare=True) for port in newcomers]
        calm = Calm([_timed(self) for _ in range(20)])
        calm_guest = Calm([self._address_in_calm(port, script) for port in newcomers[:1]])
        before = self.connections(), self.descriptors(), self.resident()
        watch = _Watch(self)
        running = [_begun(words) for words in attackers]
        try:
            waits = [_address(guest, script) for guest in guests]
            waits += [_greeting(guest, address) for guest, address in pairs]
            for attacker in running:
                _, complaint = attacker.communicate()
                assert attacker.returncode == 0, complaint
        finally:
            times = watch.stop()
            for attacker in running:
                attacker.kill()
                attacker.communicate()
        connections, descriptors, resident = before
        percentile = sorted(times)[math.ceil(len(times) * 0.99) - 1]
        assert percentile < calm.limit(API_SECONDS), f"the API took {percentile:.2f} s"
        limit = max(calm.limit(GUEST_SECONDS), calm_guest.limit(GUEST_SECONDS))
        assert all(wait < limit for wait in waits), waits
        assert self.connections() == connections, f"a switch was hung up on; {self.tail()}"
        # A connection that was cut off may linger for as long as its last words may take.
        self.until(lambda: self.descriptors() <= descriptors + 20)
        assert self.resident() < resident + (100 << 20)

    def _address_in_calm(self, port: Any, script: Path) -> float:
        """How long another guest of a port's network waits for its address."""
        network = self.api("GET", f"/v2.0/networks/{port['network_id']}")["network"]
        return _address(self.guest(self.port(network), bare=True), script)


class Calm:
    """How long something takes on this machine now, with nobody attacking: some times of it."""

    def __init__(self, times: list[float]) -> None:
        self.slowest = max(times, default=0.0)

    def limit(self, seconds: float) -> float:
        """A bound in seconds, wider on a machine that is busy with something else."""
        return max(seconds, 10 * self.slowest)


class _Watch:
    """Somebody who asks the API all the time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._times: list[float] = []
        self._over = False
        self._asking = runtime.spawn(self._ask)

    def _ask(self) -> None:
        while not self._over:
            self._times.append(_timed(self._stage))
            runtime.sleep(0.02)

    def stop(self) -> list[float]:
        """How long each answer took, that which is waited for now, too."""
        self._over = True
        self._asking.wait()
        return self._times


def _timed(stage: Stage) -> float:
    started = time.monotonic()
    try:
        stage.ask("GET", "/v2.0/networks?fields=id", seconds=10)
    except OSError:
        return 10.0
    return time.monotonic() - started


def _begun(words: list[str]) -> subprocess.Popen[str]:
    """Start an attacker; it says so when it attacks."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "attacking\n", process.communicate()[1]
    return process


def _address(guest: Guest, script: Path) -> float:
    """How long a guest waits for its address by DHCP."""
    guest.run("ip", "link", "set", "eth0", "up")
    with dhcp_client.running(dhcp_client.udhcpc(guest, script)) as client:
        assert client.told()["EVENT"] == "deconfig"
        started = time.monotonic()
        assert client.told()["ip"]
        return time.monotonic() - started


def _greeting(guest: Guest, address: str) -> float:
    """How long a guest waits for the first answer of another."""
    started = time.monotonic()
    assert guest.pings(address), address
    return time.monotonic() - started


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return bool(condition())
    except (OSError, Refused, ValueError):
        return False


@contextmanager
def stage(ovs: OpenVSwitch, directory: Path, **options: str) -> Iterator[Stage]:
    made = Stage(ovs, directory, **options)
    try:
        made.start()
        yield made
    finally:
        made.close()
