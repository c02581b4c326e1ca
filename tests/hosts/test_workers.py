# SPDX-License-Identifier: Apache-2.0

"""Processes on the hosts of workers: real ones that answer guests, and what they survive."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from eventlet.green import subprocess

from tenantry.apps import APPS
from tenantry.controller import serve
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.processes import File, Plug, Probe, Process, Route
from tenantry.controller.model import Network, Port, ProcessState, Subnet, View, Worker
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.workers import is_ready, worker_of
from tenantry.controller.openflow.oxm import value_text
from tests.farm import CONTROLLER, Farm, Machine, farm, machines
from tests.lab import eventually
from tests.namespace import Guest, run

OWNER = "tests:web"

SERVER = """
import http.server, os, signal, socket, threading

def load(*_):
    global text
    text = open("greeting").read()

load()
signal.signal(signal.SIGHUP, load)
if text == "dies":
    raise SystemExit("it says why")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{text} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

def answer():
    try:
        os.unlink("ask.sock")
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("ask.sock")
        listening.listen()
        while True:
            with listening.accept()[0] as stream:
                stream.recv(100)
                stream.sendall(text.encode())

server = Server(("::", 80), Handler)
threading.Thread(target=answer, daemon=True).start()
server.serve_forever()
"""
"""A web server that reads its greeting again when it is told (SIGHUP)."""


def process_of(view: View, port: Port) -> Process:
    network = view.get(Network, port.network_id)
    assert network is not None
    addresses, routes = [], []
    for ip in port.fixed_ips:
        subnet = view.get(Subnet, ip.subnet_id)
        assert subnet is not None
        addresses.append(f"{address_text(ip.version, ip.address)}/{subnet.prefix_length}")
        if subnet.gateway is not None:
            everywhere = "0.0.0.0/0" if ip.version == 4 else "::/0"
            routes.append(Route(everywhere, address_text(subnet.version, subnet.gateway)))
    mac = value_text("eth_src", port.mac)
    return Process(
        name=f"web-{port.id}",
        namespace=port.id,
        command=("python3", "server.py"),
        plugs=(Plug(port.id, mac, network.mtu, tuple(addresses), tuple(routes)),),
        files=(File("server.py", SERVER), File("greeting", port.name)),
        check=("sh", "-c", "! grep -q bad greeting"),
        reload_signal="SIGHUP",
        ready=Probe(socket="ask.sock", line="?", expect=f"^{port.name}$"),
        reports=(("greeting", Probe(socket="ask.sock", line="?")),),
        stop_seconds=1.0,
    )


def processes(view: View, worker: str) -> Iterable[Process]:
    for port in view.find(Port):
        if port.device_owner == OWNER and worker_of(view, port.id) == worker:
            yield process_of(view, port)


WEB = App(id=250, name="web", build=lambda conf: Parts(processes=processes))


class Web(Farm):
    """A farm with workers."""

    workers: dict[str, Any]
    directory: Path

    def start_worker(self, machine: Machine) -> None:
        words = ["--name", machine.name, "--url", self.controller.api_url]
        directory = str(self.directory / machine.name)
        self.workers[machine.name] = subprocess.Popen(
            machine.guest.command(
                *(sys.executable, "-m", "tenantry.controller.worker", *words),
                *("--directory", directory),
            )
        )

    def kill_worker(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.kill()
        worker.wait()

    def web(self, network: Any, name: str) -> Any:
        return self.port(network, name=name, device_owner=OWNER)

    def state(self, port: Any) -> ProcessState | None:
        return self.controller.model.get(ProcessState, f"web-{port['id']}")

    def is_ready(self, port: Any) -> bool:
        view = View(self.controller.model)
        record = view.get(Port, port["id"])
        return record is not None and is_ready(view, process_of(view, record))

    def until_ready(self, *ports: Any) -> None:
        self.settle()  # what was asked for is in the model
        assert eventually(lambda: all(map(self.is_ready, ports))), [*map(self.state, ports)]

    def host_of(self, port: Any) -> str:
        host = worker_of(View(self.controller.model), port["id"])
        assert host is not None
        return host

    def alive(self) -> set[str]:
        workers = self.controller.model.all(Worker).values()
        return {worker.id for worker in workers if worker.alive}

    def pid(self, port: Any) -> int:
        found = [
            process["pid"]
            for worker in self.api("GET", "/tenantry/v1/workers")
            for process in worker["processes"]
            if process["name"] == f"web-{port['id']}"
        ]
        return int(found[0])


@contextmanager
def web(directory: Path, count: int) -> Iterator[Web]:
    before = serve.APPS
    serve.APPS = (*APPS, WEB)
    # The paths of Unix sockets are short, and those of namespaces' names are everybody's.
    where = Path("/tmp") / f"tenantry-workers-{os.getpid()}"
    try:
        with (
            machines(count) as started,
            farm(directory, started, api__listen=f"{CONTROLLER}:0") as net,
        ):
            net.__class__ = Web
            assert isinstance(net, Web)
            net.workers, net.directory = {}, where
            try:
                for machine in started:
                    net.start_worker(machine)
                assert eventually(lambda: len(net.alive()) == count)
                yield net
            finally:
                for name in list(net.workers):
                    net.kill_worker(name)
                clean(where)
    finally:
        serve.APPS = before


def clean(where: Path) -> None:
    """What workers leave behind, on purpose."""
    from tenantry.controller.worker.there import Place

    for directory in where.glob("*"):
        mark = Place(directory).mark
        for line in run("ip", "netns", "list").splitlines():
            if line.startswith(mark):
                name = line.split()[0]
                for pid in run("ip", "netns", "pids", name).split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                run("ip", "netns", "delete", name)
    shutil.rmtree(where, ignore_errors=True)


@pytest.fixture
def net(own_netns: None, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, 2) as running:
        yield running
        running.verify()


def get(guest: Guest, port: Any, seconds: float = 2.0) -> str:
    """What the first address of a port answers; "" if nothing."""
    address = port["fixed_ips"][0]["ip_address"]
    shown = f"[{address}]" if ":" in address else address
    asking = guest.start("curl", "-sS", "-m", seconds, f"http://{shown}/")
    words, _ = asking.communicate()
    return words if asking.returncode == 0 else ""


def test_a_process_comes_changes_and_goes(net: Web) -> None:
    network = net.network("10.0.0.0/24")
    guest = net.plug(net.machines[0], net.port(network))
    port = net.web(network, "one")
    net.until_ready(port)
    net.settle()
    greeting, pid = get(guest, port).split()
    assert greeting == "one"
    port = net.update("port", port["id"], name="two")
    net.until_ready(port)
    assert get(guest, port).split() == ["two", pid], "it is told, not started anew"
    net.delete("port", port["id"])
    assert eventually(lambda: not list((net.directory / net.machines[0].name / "files").iterdir()))
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
