# SPDX-License-Identifier: Apache-2.0

"""Processes on the hosts of workers: real ones that answer guests, and what they survive."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
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
from tenantry.controller.feature.routes import Silent
from tenantry.controller.model import Network, Port, ProcessState, Subnet, View, Worker
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.workers import is_ready as ready
from tenantry.controller.network.workers import worker_of
from tenantry.controller.openflow.oxm import value_text
from tenantry.controller.worker.there import Place
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
        command=("no-such-command",) if ":" in port.name else ("python3", "server.py"),
        plugs=(Plug(port.id, mac, network.mtu, tuple(addresses), tuple(routes)),),
        files=(File("server.py", SERVER), File("greeting", port.name)),
        check=("sh", "-c", "! grep -q bad greeting"),
        reload_signal="SIGHUP",
        ready=Probe(socket="ask.sock", line="?", expect=f"^{port.name}$"),
        reports=(("greeting", Probe(socket="ask.sock", line="?")),),
        stop_seconds=1.0,
    )


def told_of(view: View, port: Port) -> Process:
    """Beside the server, in its namespace: it is told its files by a command, after each start and
    change."""
    return Process(
        name=f"told-{port.id}",
        namespace=port.id,
        command=("sleep", "100000"),
        files=(File("greeting", port.name),),
        reload=("sh", "-c", 'echo "$LOUD $(cat greeting)" >> loaded'),
        environment=(("LOUD", "VERY"),),
        loads=True,
        ready=Probe(command=("tail", "-n1", "loaded"), expect=f"^VERY {port.name}$"),
        stop_seconds=1.0,
    )


def processes(view: View, worker: str) -> Iterable[Process]:
    for port in view.find(Port):
        if port.device_owner == OWNER and worker_of(view, port.id) == worker:
            yield process_of(view, port)
            if port.device_id == "told":
                yield told_of(view, port)


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

    def web(self, network: Any, name: str, device_id: str = "") -> Any:
        return self.port(network, name=name, device_owner=OWNER, device_id=device_id)

    def state(self, port: Any) -> ProcessState | None:
        return self.controller.model.get(ProcessState, f"web-{port['id']}")

    def is_ready(self, port: Any) -> bool:
        view = View(self.controller.model)
        record = view.get(Port, port["id"])
        return record is not None and ready(view, process_of(view, record))

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

    def machine_of(self, port: Any) -> Machine:
        return next(m for m in self.machines if m.name == self.host_of(port))

    def place(self, port: Any) -> Place:
        return Place(self.directory / self.host_of(port))

    def is_told(self, port: Any, state: str, words: str) -> bool:
        told = self.state(port)
        return told is not None and told.state == state and words in told.reason

    def shown(self, port: Any) -> Any:
        """Addresses and routes of its interface, in a namespace."""
        within = ("ip", "-n", self.place(port).netns(port["id"]), "-json")
        links = json.loads(run(*within, "address"))
        of = [link for link in links if link["ifname"].startswith("wk")]
        kept = [
            (link["mtu"], "UP" in link["flags"], sorted(i["local"] for i in link["addr_info"]))
            for link in of
        ]
        routes = [
            sorted((r["dst"], r.get("gateway")) for r in json.loads(run(*within, version, "route")))
            for version in ("-4", "-6")
        ]
        return kept, routes

    def heard_again(self) -> int:
        """Of how many workers it is just so that they have asked."""
        told = self.api("GET", "/tenantry/v1/workers")
        return sum(worker["alive"] and worker["heard_seconds"] < 1 for worker in told)

    def pid(self, port: Any) -> int:
        found = [
            process["pid"]
            for worker in self.api("GET", "/tenantry/v1/workers")
            for process in worker["processes"]
            if process["name"] == f"web-{port['id']}"
        ]
        return int(found[0])


@contextmanager
def web(directory: Path, count: int, size: str = "", **options: str) -> Iterator[Web]:
    """``size``: of the disk that workers have, if they are to have one of their own. Options as in
    :func:`tests.farm.farm`."""
    before = serve.APPS
    serve.APPS = (*APPS, WEB)
    # The paths of Unix sockets are short, and those of namespaces' names are everybody's.
    where = Path("/tmp") / f"tenantry-workers-{os.getpid()}"
    try:
        with (
            machines(count) as started,
            farm(directory, started, api__listen=f"{CONTROLLER}:9696", **options) as net,
        ):
            net.__class__ = Web
            assert isinstance(net, Web)
            net.workers, net.directory = {}, where
            try:
                for machine in started:
                    if size:
                        (where / machine.name).mkdir(parents=True)
                        run("mount", "-t", "tmpfs", "-o", f"size={size}", "t", where / machine.name)
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
    for directory in where.glob("*"):
        mark = Place(directory).mark
        for line in run("ip", "netns", "list").splitlines():
            if line.startswith(mark):
                name = line.split()[0]
                for pid in run("ip", "netns", "pids", name).split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                run("ip", "netns", "delete", name)
        if directory.is_mount():
            run("umount", "--lazy", directory)
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


def test_what_is_there_is_mended(net: Web) -> None:
    """Processes that are killed, and what somebody does by hand to files, addresses, routes,
    interfaces and namespaces."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    guest = net.plug(net.machines[0], net.port(network))
    port = net.web(network, "one")
    net.until_ready(port)
    answers = lambda: get(guest, port).startswith("one ")  # noqa: E731
    assert eventually(answers)
    pid = net.pid(port)
    os.kill(pid, signal.SIGKILL)
    assert eventually(answers)
    assert eventually(lambda: net.pid(port) not in (0, pid))
    pid = net.pid(port)

    place = net.place(port)
    within = ("ip", "-n", place.netns(port["id"]))
    name = Plug(port["id"], "", 0).interface
    four, six = sorted((ip["ip_address"] for ip in port["fixed_ips"]), key=lambda a: ":" in a)
    inside = net.machine_of(port).guest

    def routes() -> str:
        return inside.run(*within, "route") + inside.run(*within, "-6", "route")

    for change in (
        ("link", "set", name, "down"),
        ("address", "del", f"{four}/24", "dev", name),
        ("address", "add", "10.0.0.99/24", "dev", name),
        ("-6", "route", "del", "default"),
        ("link", "set", name, "mtu", "1280"),
    ):
        right = net.shown(port)
        inside.run(*within, *change)
        assert eventually(lambda right=right: net.shown(port) == right), change  # type: ignore[misc]
    assert "default via 10.0.0.1" in routes() and "default via fd00::1" in routes()
    assert eventually(answers)
    file = place.files(f"web-{port['id']}") / "greeting"
    file.write_text("by hand")
    assert eventually(lambda: file.read_text() == "one")
    run("ip", "netns", "delete", place.netns(port["id"]))
    assert eventually(lambda: place.netns(port["id"]) in run("ip", "netns", "list"))
    assert eventually(answers)
    assert net.pid(port) == pid, "of all that, nothing ends it"
    # And with whoever is there: the interface is gone, too, and made anew.
    os.kill(pid, signal.SIGSTOP)
    run("ip", "netns", "delete", place.netns(port["id"]))
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: net.pid(port) not in (0, pid))
    assert eventually(answers)
    assert six


def test_it_goes_on_without_worker_controller_and_switch(net: Web) -> None:
    network = net.network("10.0.0.0/24")
    guest = net.plug(net.machines[0], net.port(network))
    ports = [net.web(network, name) for name in ("one", "two", "three")]
    net.until_ready(*ports)
    pids = [*map(net.pid, ports)]
    answers = lambda: [get(guest, port).split()[1:] for port in ports]  # noqa: E731
    right = [[str(pid)] for pid in pids]
    assert eventually(lambda: answers() == right)

    for machine in net.machines:  # the workers are killed, and back in no time
        net.kill_worker(machine.name)
        net.start_worker(machine)
    assert answers() == right
    assert eventually(lambda: net.heard_again() == 2)
    net.until_ready(*ports)
    assert answers() == right

    rows = [
        machine.vsctl("--columns=_uuid,name,ofport", "list", "interface")
        for machine in net.machines
    ]
    net.stop_controller()
    assert answers() == right
    for machine in net.machines:  # also, who starts without a controller knows what he has
        net.kill_worker(machine.name)
        net.start_worker(machine)
    os.kill(pids[0], signal.SIGKILL)
    assert eventually(lambda: bool(get(guest, ports[0])))
    net.start_controller()
    net.until_ready(*ports)
    assert answers()[1:] == right[1:]
    assert net.pid(ports[0]) != pids[0]
    again = [
        machine.vsctl("--columns=_uuid,name,ofport", "list", "interface")
        for machine in net.machines
    ]
    assert rows == again, "a start moves no interface"

    for machine in net.machines:
        machine.crash()
        machine.restart()
    assert eventually(lambda: [bool(answer) for answer in answers()] == [True] * 3)
    assert [*map(net.pid, ports)][1:] == pids[1:], "what runs is given its interface back"


@pytest.mark.parametrize("how", ["worker", "host"])
def test_another_takes_over(net: Web, how: str) -> None:
    network = net.network("10.0.0.0/24")
    one, two = net.machines
    guest = net.plug(two, net.port(network))
    ports, moves, stays = list[Any](), list[Any](), list[Any]()
    while len(moves) < 2 or len(stays) < 2:  # which worker has a port is as random as its id
        ports.append(net.web(network, f"web{len(ports)}"))
        (moves if net.host_of(ports[-1]) == one.name else stays).append(ports[-1])
    net.until_ready(*ports)
    pids = [*map(net.pid, stays)]
    assert all(eventually(lambda port=port: bool(get(guest, port))) for port in ports)  # type: ignore[misc]

    lost = time.monotonic()
    if how == "worker":
        net.kill_worker(one.name)
    else:
        for leg in ("mgmt", "under"):
            one.cut(leg)
    old = {port["id"]: net.pid(port) for port in moves}
    for port in moves:
        while get(guest, port, 0.3).split()[1:] in ([], [str(old[port["id"]])]):
            assert time.monotonic() - lost < 30
    took = time.monotonic() - lost
    print(f"taken over after {took:.2f} s")
    assert took < 5.0
    assert {net.host_of(port) for port in ports} == {two.name}
    assert [*map(net.pid, stays)] == pids, "nothing else moves"

    if how == "worker":
        net.start_worker(one)
    else:
        for leg in ("mgmt", "under"):
            one.cut(leg, mend=True)
    assert eventually(lambda: {net.host_of(port) for port in moves} == {one.name})
    net.until_ready(*ports)
    assert all(eventually(lambda port=port: bool(get(guest, port))) for port in ports)  # type: ignore[misc]
    assert eventually(lambda: all(net.bound(port) == one.name for port in moves))
    assert [*map(net.pid, stays)] == pids
    names = {Plug(port["id"], "", 0).interface for port in moves}
    assert eventually(lambda: not names & set(two.vsctl("list-ports", "br-int").split()))
    assert eventually(
        lambda: len(list((net.directory / two.name / "files").iterdir())) == len(stays)
    )


def test_what_cannot_run_is_told_and_tried_again(net: Web) -> None:
    network = net.network("10.0.0.0/24")
    guest = net.plug(net.machines[0], net.port(network))
    port = net.web(network, "one")
    net.until_ready(port)
    pid = net.pid(port)
    port = net.update("port", port["id"], name="a bad one")
    assert eventually(lambda: net.is_told(port, "refused", "grep -q bad"))
    assert get(guest, port).split() == ["one", str(pid)], "the old one goes on"
    port = net.update("port", port["id"], name="two")
    net.until_ready(port)
    assert get(guest, port).split() == ["two", str(pid)]

    dies = net.web(network, "dies")
    assert eventually(lambda: net.is_told(dies, "failed", "it says why"))
    dies = net.update("port", dies["id"], name="lives")
    net.until_ready(dies)
    assert get(guest, dies).startswith("lives ")
    strange = net.web(network, "none: such")  # see process_of
    assert eventually(lambda: net.is_told(strange, "failed", "no-such-command"))
    shown = net.api("GET", "/tenantry/v1/workers")
    assert any(p["reason"] and not p["confirmed"] for w in shown for p in w["processes"])
    assert "SERVER" not in str(shown) and "import" not in str(shown)


def test_a_process_can_be_asked(net: Web) -> None:
    network = net.network("10.0.0.0/24")
    port = net.web(network, "how are you")
    net.until_ready(port)
    running = net.controller.running
    assert running.ask_process(f"web-{port['id']}", "greeting") == "how are you"
    with pytest.raises(Silent, match="no nothing"):
        running.ask_process(f"web-{port['id']}", "nothing")
    with pytest.raises(Silent, match="no worker"):
        running.ask_process("web-none", "greeting")


def test_a_worker_of_another_store_is_left_alone(net: Web, tmp_path: Path) -> None:
    """Whoever starts a controller with an empty database loses nothing by that."""
    network = net.network("10.0.0.0/24")
    port = net.web(network, "one")
    net.until_ready(port)
    pid = net.pid(port)
    host = net.machine_of(port)
    net.kill_worker(host.name)
    file = net.directory / host.name / "wanted.json"
    file.write_text(file.read_text().replace(net.controller.store.id, "another"))
    net.start_worker(host)
    assert eventually(lambda: net.controller.model.get(Worker, host.name).alive)  # type: ignore[union-attr]
    assert Path(f"/proc/{pid}").exists()


def test_two_in_one_namespace_and_one_that_is_told_by_a_command(net: Web) -> None:
    network = net.network("10.0.0.0/24")
    port = net.web(network, "one", "told")
    told = lambda: net.controller.model.get(ProcessState, f"told-{port['id']}")  # noqa: E731

    def is_ready() -> bool:
        view = View(net.controller.model)
        record = view.get(Port, port["id"])
        return record is not None and ready(view, told_of(view, record))

    net.until_ready(port)
    assert eventually(is_ready), told()
    loaded = net.place(port).files(f"told-{port['id']}") / "loaded"
    assert loaded.read_text() == "VERY one\n"
    assert set(run("ip", "netns", "pids", net.place(port).netns(port["id"])).split()) >= {
        str(net.pid(port))
    }
    port = net.update("port", port["id"], name="two")
    net.settle()
    assert eventually(is_ready), told()
    assert loaded.read_text() == "VERY one\nVERY two\n"
    shown = [p for w in net.api("GET", "/tenantry/v1/workers") for p in w["processes"]]
    (pid,) = (p["pid"] for p in shown if p["name"].startswith("told-"))
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: loaded.read_text() == "VERY one\nVERY two\nVERY two\n")
    port = net.update("port", port["id"], device_id="")
    net.settle()
    assert eventually(lambda: not loaded.parent.exists())
    net.until_ready(port)


def test_a_full_disk_costs_nothing_that_runs(own_netns: None, tmp_path: Path) -> None:
    with web(tmp_path, 1, size="512k") as net:
        network = net.network("10.0.0.0/24")
        guest = net.plug(net.machines[0], net.port(network))
        port = net.web(network, "one")
        net.until_ready(port)
        assert eventually(lambda: get(guest, port).startswith("one "))
        pid = net.pid(port)
        filler = net.directory / net.machines[0].name / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        port = net.update("port", port["id"], name="two")
        assert eventually(lambda: net.is_told(port, "failed", "No space left"))
        assert get(guest, port).split() == ["one", str(pid)]
        filler.unlink()
        net.until_ready(port)
        assert get(guest, port).split() == ["two", str(pid)]
