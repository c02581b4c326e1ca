# SPDX-License-Identifier: Apache-2.0

"""What demos and experiments stand on: a network namespace of their own, the controller, patience.

Everything runs in a namespace with Open vSwitches of its own, so the machine's interfaces, bridges
and Open vSwitch are not touched, and the kernel clears away what is left even after ``kill -9``.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import identity
import mininet.net
import namespaces
import openvswitch
import pacer
from mininet.log import setLogLevel
from topology import TRUNK, UPLINK, Controller, Neutron

API_PORT, OPENFLOW_PORT, OVSDB_PORT = 9696, 6653, 6640  # the namespace is ours: they are free there
PATIENCE = 30.0  # seconds until something that does not come up is an error
POLL = 0.05  # seconds between two looks at the API
BEFORE, AFTER = 0.7, 1.5  # seconds of questions, around what an experiment does

COMMON = f"""\
[store]
url = sqlite:///{{directory}}/tenantry.db
[network_log]
file = {{directory}}/network.log
[api]
listen = 127.0.0.1:{API_PORT}
"""
"""Options of every controller here; {directory} is its own."""

ONE_HOST = f"""\
[openflow]
listen = 127.0.0.1:{OPENFLOW_PORT}
[ovsdb]
connections = unix:{{directory}}/ovs/db.sock
integration_bridge =
[networks]
vlan_ranges = {TRUNK}:1000:1999
physical_networks = {TRUNK}, {UPLINK}
"""
"""... of one whose switches are bridges of one Open vSwitch, which Mininet makes."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parser(description, png=None):
    """Of the command line of a program here, which its docstring describes. ``png``: what it draws,
    if it does."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("--tenantry", required=True, type=Path, help="the tenantry command to run")
    if png is not None:
        made.add_argument("--png", required=True, type=Path, help=f"where to draw {png}")
    return made


def play(arguments, function):
    """Run ``function(arguments, cleanup)`` as a program; its exit status. Whatever was made is
    undone by ``cleanup``, however it ends."""
    if os.geteuid():
        sys.exit("this makes network namespaces: run it as root, or with sudo")
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with contextlib.ExitStack() as cleanup:
            try:
                return function(arguments, cleanup)
            finally:
                say("removing everything")
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
    except RuntimeError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def enter(cleanup):
    """Move this process into a namespace of its own; return a directory for its files."""
    setLogLevel("error")
    mininet.net.fixLimits = lambda: None  # it would change sysctls of the whole machine
    namespaces.leave_for_a_new_one()
    openvswitch.run("ip", "link", "set", "lo", "up")
    directory = Path(tempfile.mkdtemp(prefix="tenantry-"))
    cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def one_host(command, directory, cleanup, auth="none"):
    """An Open vSwitch for the bridges of Mininet's, and its controller: ours, and as Mininet has
    it."""
    ovs = openvswitch.OpenVSwitch(directory / "ovs")
    cleanup.callback(ovs.stop)
    ovs.start(system_id="tenantry-mininet")
    os.environ.update(ovs.environment)  # for Mininet's switches
    tenantry = Tenantry(command, directory, ONE_HOST, cleanup, auth)
    return tenantry, Controller("c0", ip="127.0.0.1", port=OPENFLOW_PORT)


def build(topology, cleanup, controllers=(), **params):
    """A Mininet of a topology, started."""
    net = mininet.net.Mininet(topology, controller=None, build=False, **params)
    cleanup.callback(_take_down, net)
    for controller in controllers:
        net.addController(controller)
    net.build()
    net.start()
    return net


def _take_down(net):
    for node in net.values():
        node.waiting = False  # for the end of a command, if this is an interruption
    net.stop()


class Tenantry:
    """The controller, run from the virtual environment, and what one asks of it."""

    def __init__(self, command, directory, options, cleanup, auth="none"):
        """``options``: what its configuration has beside :data:`COMMON`. ``auth``: none, or
        keystone, which is started, too."""
        self.program, self.directory = command, directory
        self.log = directory / f"{command.name}.log"
        config = directory / "tenantry.conf"
        config.write_text((COMMON + options).format(directory=directory))
        self._words = (command, "--config-file", config)
        self.keystone = None
        if auth == "keystone":
            self.keystone = identity.Keystone(command, directory, cleanup)
            self._words += ("--config-file", self.keystone.file)
        token = self.keystone and self.keystone.token
        self.neutron = Neutron(f"http://127.0.0.1:{API_PORT}", token)
        self._process = openvswitch.daemon(*self._words, "serve", directory=directory)
        cleanup.callback(openvswitch.stop, self._process)
        self._wait_for_api()

    def _wait_for_api(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask("status")
            except RuntimeError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    words = self.log.read_text()[-3000:]
                    raise RuntimeError(
                        f"the controller did not come up: {error}\n{words}"
                    ) from None
            time.sleep(POLL)

    def ask(self, what):
        """What the controller says of its own, beside Neutron's API."""
        return self.neutron.request("GET", f"tenantry/v1/{what}")

    def show(self, *words):
        """Run a command of tenantry's, its output on ours; True if it is content."""
        print(f"\n$ tenantry {' '.join(words)}", flush=True)
        return subprocess.run([*self._words, *words]).returncode == 0

    def wait_for_ports(self):
        """Until every port is ACTIVE, which means that the switches have confirmed their flows."""

        def down():
            return [
                port["name"]
                for port in self.neutron.list("port")
                if port["status"] != "ACTIVE" and not port["device_owner"].startswith("network:")
            ]

        until(lambda: not down(), lambda: f"ports not ACTIVE: {' '.join(down())}", self)

    def die(self):
        """As if its machine were switched off."""
        self._process.kill()
        self._process.wait()


def until(condition, otherwise, tenantry):
    """Wait for something; RuntimeError that says what ``otherwise()`` returns, and the controller's
    status, if it does not come about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise()}\nstatus: {tenantry.ask('status')}")
        time.sleep(POLL)


def asked_while(event, asker, address, answerer):
    """Do something, while a node asks another a thousand times a second: what became of that
    (:class:`pacer.Answers`), and when it was done, on the clock ``time.monotonic``."""
    with pacer.reflecting(answerer):
        asking = pacer.Pacer(asker, address)
        time.sleep(BEFORE)
        moment = time.monotonic()
        event()
        time.sleep(AFTER)
        return asking.result(), moment


def verdict(what, at_most, *runs):
    """Say for how long nobody answered at the longest in these runs (:meth:`pacer.Answers.around`);
    the exit status. At most that many milliseconds are expected of a quiet machine. Where none are
    lost nothing has happened; that somebody answers again has been seen."""
    longest = max(run["gap"] for run in runs)
    if min(run["gap"] for run in runs) == 0:
        print("NOT as expected: nothing was lost.")
        return 1
    print(f"{what}; nobody answered for {longest:.0f} ms.")
    if longest >= at_most:
        print(f"On a quiet machine that is less than {at_most} ms: is this one busy?")
    return 0


def draw(tenantry, script, png, picture):
    """Draw ``picture``, by the virtual environment's Python, which has matplotlib."""
    words = [tenantry.parent / "python", Path(__file__).with_name(script), png]
    subprocess.run(words, input=json.dumps(picture), text=True, check=True)


def conclude(good, tenantry, *shown):
    """Say whether all is as it should be, and what commands of tenantry's say; the exit status."""
    good &= tenantry.show("verify")
    print("\nAll as expected." if good else "\nNOT as expected: see the lines above.")
    for command in shown:
        tenantry.show(*command.split())
    return 0 if good else 1


def stay(tenantry, api, openstack, *to_try):
    """Print what a person can do now, a line each, and wait for Ctrl-C. ``openstack``: a command
    of that client's."""
    client = f"{tenantry.program.parent / 'openstack'} --os-auth-type none --os-endpoint {api}"
    if tenantry.keystone:
        file = f"OS_CLIENT_CONFIG_FILE={tenantry.keystone.environment['OS_CLIENT_CONFIG_FILE']}"
        client = f"{file} {tenantry.program.parent / 'openstack'} --os-cloud admin"
    lines = [
        f"{client} {openstack}",
        *to_try,
        f"less {tenantry.log}",
    ]
    print(f"\nThe Neutron API is at {api}. Things to try from another terminal:\n")
    print(*(f"  {line}" for line in lines), sep="\n")
    print("\nCtrl-C ends the demo and leaves nothing behind.", flush=True)
    while True:
        signal.pause()


def outer_listeners(auth="none"):
    """Sockets on the ports that are to be reached, by port. To be made before the namespace is
    left: only they look out of it. That of the API is on any free port if somebody has the usual
    one; with a Keystone, whose catalogue has it, that is an error (RuntimeError)."""
    listeners = {}
    for port in (API_PORT, identity.PORT) if auth == "keystone" else (API_PORT,):
        try:
            listeners[port] = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            if auth == "keystone":
                raise RuntimeError(
                    f"port {port} is taken ({error.strerror}): Keystone's catalogue names it; end "
                    f"who has it (ss -ltnp 'sport = {port}'), or leave AUTH=keystone out"
                ) from None
            listeners[port] = socket.create_server(("127.0.0.1", 0))
            say(f"port {port} is taken: the API will be at {listeners[port].getsockname()[1]}")
    return listeners


def relay(listeners):
    """Pass every connection on to who listens inside, in the background; the URL of the API. The
    listeners (:func:`outer_listeners`) were made outside, the connections go inside."""

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client, port):
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()

    def accept(listener, port):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, port), daemon=True).start()

    for port, listener in listeners.items():
        threading.Thread(target=accept, args=(listener, port), daemon=True).start()
    return f"http://127.0.0.1:{listeners[API_PORT].getsockname()[1]}"


_started = time.monotonic()


def say(text=""):
    """Print a line of progress with the time since the start, or an empty line."""
    print(f"[{time.monotonic() - _started:4.1f} s] {text}" if text else "", flush=True)
