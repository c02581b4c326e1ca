# SPDX-License-Identifier: Apache-2.0

"""An address that two guests share, by allowed address pairs: keepalived says who has it (VRRP)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenantry.controller.model import Binding
from tests.conftest import need
from tests.farm import Farm, Machine, answered, farm, machines
from tests.lab import eventually
from tests.namespace import Guest
from tests.pacer import Pacer, reflecting

SHARED = ("10.0.0.100", "fd00:a::100")
MASTER = "Entering MASTER STATE"

# Whoever hears no advertisement for three intervals, and up to one more, takes over: 2 s at most
# (RFC 5798, 6.1, Master_Down_Interval).
CONFIGURATION = """
global_defs {{
    vrrp_version 3
}}
vrrp_instance shared {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 0.5
    virtual_ipaddress {{
        10.0.0.100/24
    }}
    virtual_ipaddress_excluded {{
        fd00:a::100/64
    }}
}}
"""


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    need(shutil.which("keepalived") is not None, "keepalived")
    with machines(3) as ready:
        yield ready


class Keepalived:
    """The daemon in a guest; :attr:`log` is where it says what it does."""

    def __init__(self, guest: Guest, directory: Path, priority: int) -> None:
        directory.mkdir()
        file = directory / "keepalived.conf"
        file.write_text(CONFIGURATION.format(priority=priority))
        self._process = subprocess.Popen(
            guest.command(
                *("keepalived", "--vrrp", "--dont-fork", "--dont-respawn"),
                *("--log-console", "--log-detail", "--no-syslog", f"--use-file={file}"),
                *(f"--pid={directory}/pid", f"--vrrp_pid={directory}/vrrp.pid"),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Keepalived:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def until(self, words: str) -> None:
        """Wait until it says so."""
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if words in line:
                return
        raise AssertionError("".join(said))


class Stage:
    """Two guests on two machines that share an address; who asks for it is on the third."""

    def __init__(self, net: Farm, stack: ExitStack, directory: Path) -> None:
        self.net = net
        network, other = (
            net.network(four, six)
            for four, six in (("10.0.0.0/24", "fd00:a::/64"), ("10.1.0.0/24", "fd00:b::/64"))
        )
        net.router(network, other)
        pairs = [{"ip_address": address} for address in SHARED]
        self.ports = [net.port(network, allowed_address_pairs=pairs) for _ in range(2)]
        asking = [net.port(network), net.port(other)]
        self.guests = [net.plug(*at) for at in zip(net.machines, self.ports, strict=False)]
        self.beside, self.behind = (net.plug(net.machines[2], port) for port in asking)
        for guest in self.guests:
            stack.enter_context(reflecting(guest))
        self.daemons = [
            stack.enter_context(Keepalived(guest, directory / str(priority), priority))
            for guest, priority in zip(self.guests, (150, 100), strict=True)
        ]
        self.daemons[0].until(MASTER)
        net.settle()
        self.tap = net.controller.model.get(Binding, self.ports[0]["id"]).interface

    def cable(self, way: str) -> None:
        """That of the first guest, to which the address belongs if both are there."""
        self.net.machines[0].guest.run("ip", "link", "set", self.tap, way)

    def _holders(self) -> list[int]:
        return [
            number
            for number, guest in enumerate(self.guests)
            if all(f" {address}/" in guest.run("ip", "-o", "address") for address in SHARED)
        ]

    def move(self, asking: Guest, way: str, to: int) -> list[int]:
        """The address moves; how many questions nobody has answered meanwhile, by family."""
        questions = [(asking, address) for address in SHARED]
        assert all(answered(questions, patient=True)), self.net.dump()
        pacers = [Pacer(asking, address) for address in SHARED]
        self.cable(way)
        self.daemons[to].until(MASTER)
        for address in SHARED:
            assert eventually(lambda address=address: asking.pings(address)), self.net.dump()
        results = [pacer.result() for pacer in pacers]
        assert eventually(lambda: self._holders() == [to]), self._holders()
        gaps = [result.gap for result in results]
        print(f"to {self.net.machines[to].name}: nobody answered for {gaps} s")
        return [len(result.lost) for result in results]


def test_an_address_that_is_shared_moves(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack, tmp_path)
        away = on.move(on.beside, "down", to=1)
        assert min(away) > 0, "it has not moved"
        on.move(on.beside, "up", to=0)
        net.verify()


def test_an_address_that_is_shared_moves_behind_a_router(
    started: list[Machine], tmp_path: Path
) -> None:
    with farm(tmp_path, started) as net, ExitStack() as stack:
        on = Stage(net, stack, tmp_path)
        away = on.move(on.behind, "down", to=1)
        assert min(away) > 0, "it has not moved"
        on.move(on.behind, "up", to=0)
        net.verify()
