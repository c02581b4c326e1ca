# SPDX-License-Identifier: Apache-2.0

"""Fake hosts, in a process of their own: for each a real ovsdb-server and a fake switch.

Started by ``Beside("tests.bench.fake")``; the methods of :class:`Hosts` are what may be called.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.cli.openvswitch import SCHEMA, until_listens
from tests.bench import beside, rows
from tests.bench.fake_switch import Switch
from tests.namespace import run


class Hosts:
    """All the hosts; they are numbered from 0, and so are their bridges, from datapath id 1."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tenantry-fake-"))
        self._servers: list[subprocess.Popen[bytes]] = []
        self._switches: list[Switch] = []
        self._connections: list[Any] = []

    def start(self, hosts: list[Mapping[str, Mapping[str, str]]]) -> list[str]:
        """A host for each item: the ``external_ids`` of its interfaces by name. Where the
        databases listen."""
        template = self._directory / "template.db"
        run("ovsdb-tool", "create", str(template), SCHEMA)
        for number in range(len(hosts)):
            database = self._directory / f"{number}.db"
            shutil.copy(template, database)
            words = ["ovsdb-server", str(database), f"--remote=punix:{self._path(number)}"]
            control = f"--unixctl={self._directory}/{number}.ctl"
            log = self._directory / "log"
            with log.open("ab") as output:
                self._servers.append(
                    subprocess.Popen(
                        [*words, control, "--no-chdir"],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                    )
                )
        for number, interfaces in enumerate(hosts):
            until_listens(self._servers[number], self._directory / f"{number}.sock")
            self._switches.append(Switch(number + 1, list(interfaces)))
            rows.add_bridge(self._path(number), host_name(number), number + 1)
            rows.add_interfaces(self._path(number), interfaces)
        return [f"unix:{self._path(number)}" for number in range(len(hosts))]

    def _path(self, number: int) -> str:
        return str(self._directory / f"{number}.sock")

    def tunnels(self, numbers: list[int]) -> None:
        """Hosts that tunnels lead to: an address for each, and a port, which we are to name."""
        for number in numbers:
            address = f"192.0.2.{number}" if number < 200 else f"198.51.100.{number - 200}"
            rows.set_external_ids(self._path(number), {"tenantry-encap-ip": address})
            self._switches[number].add_port("tn-vxlan")

    def connect(self, host: str, port: int, numbers: list[int] | None = None) -> None:
        """From now on all switches, or these, want to be connected to this controller."""
        self.leave()
        chosen = range(len(self._switches)) if numbers is None else numbers
        for number in chosen:
            self.connect_one(number, host, port)

    def connect_one(self, number: int, host: str, port: int) -> None:
        self._connections.append(runtime.spawn(self._switches[number].run, host, port))

    def leave(self) -> None:
        """Hang up; the switches keep their flows."""
        for connection in reversed(self._connections):
            connection.kill()
        self._connections = []

    def plug(self, number: int, name: str, ids: Mapping[str, str]) -> None:
        """A new interface on a host: OVSDB's word first, as with a real switch."""
        rows.add_interfaces(self._path(number), {name: ids})
        self._switches[number].add_port(name)

    def counts(self) -> dict[str, int]:
        """What all switches hold and have been sent, in sum."""
        return {
            "flows": sum(switch.flows for switch in self._switches),
            "flow_mods": sum(switch.flow_mods for switch in self._switches),
        }

    def flow_mods(self) -> list[int]:
        """How many each switch has been sent."""
        return [switch.flow_mods for switch in self._switches]

    def start_echoes(self, number: int, interval: float) -> None:
        """A switch asks for an echo every ``interval`` seconds, until it has to leave."""
        switch = self._switches[number]
        switch.echoes.clear()
        self._connections.append(runtime.spawn(switch.echo, interval))

    def echoes(self, number: int) -> list[float]:
        """The round-trip times since the last call, in seconds."""
        found, self._switches[number].echoes = self._switches[number].echoes, []
        return found

    def close(self) -> None:
        self.leave()
        for server in self._servers:
            server.terminate()
            server.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def looked_after(remotes: list[str]) -> dict[str, str]:
    """The options of a controller of such hosts. None of them is its own, where it would miss its
    service port in the kernel and make it again and again."""
    return {"ovsdb__connections": ",".join(remotes), "ovsdb__service_port": ""}


def host_name(number: int) -> str:
    return f"host-{number}"


def main() -> None:
    hosts = Hosts()
    calls = ("start", "connect", "connect_one", "leave", "plug", "counts", "tunnels", "flow_mods")
    calls += ("start_echoes", "echoes")
    try:
        beside.answer({name: getattr(hosts, name) for name in calls})
    finally:
        hosts.close()


if __name__ == "__main__":
    main()
