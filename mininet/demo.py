"""``make demo``: two tenants with equal addresses, each with a router to a shared outside, a table
of who reaches whom, and then yours.

Everything runs in a network namespace of its own with an Open vSwitch of its own, so the machine's
interfaces, bridges and Open vSwitch are not touched, and the kernel clears away what is left even
after ``kill -9``. Only the API looks out: its port in the machine's namespace is relayed.

Run by the system's Python, which has Mininet; the controller runs from the virtual environment.
"""

import argparse
import contextlib
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

import mininet.net
import namespaces
import openvswitch
from mininet.log import setLogLevel
from reachability import Station, probe, table
from topology import (
    FLOATING,
    SUBNETS,
    TENANT_HOSTS,
    TRUNK,
    UPLINK,
    Controller,
    Neutron,
    Tenants,
    TenantSwitch,
)
from wire import Capture, report

API_PORT, OPENFLOW_PORT = 9696, 6653  # the namespace is ours: they are always free there
PATIENCE = 30.0  # seconds until something that does not come up is an error
POLL = 0.1  # seconds between two looks at the API

CONFIG = f"""\
[store]
url = sqlite:///{{directory}}/tenantry.db
[api]
listen = 127.0.0.1:{API_PORT}
[openflow]
listen = 127.0.0.1:{OPENFLOW_PORT}
[ovsdb]
connections = unix:{{directory}}/ovs/db.sock
integration_bridge =
[networks]
vlan_ranges = {TRUNK}:1000:1999
physical_networks = {TRUNK}, {UPLINK}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenantry", required=True, help="the tenantry command to run")
    parser.add_argument("--check", action="store_true", help="exit after the table; 1 if it is off")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("the demo makes network namespaces: run it as root, or with sudo")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        with contextlib.ExitStack() as cleanup:
            try:
                return demo(Path(arguments.tenantry), arguments.check, cleanup)
            finally:
                say("removing everything")
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
    except RuntimeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(tenantry, check, cleanup):
    """Build, check and show; whatever is made is undone by ``cleanup``. Returns the exit status."""
    setLogLevel("error")
    listener = outer_listener()
    api = f"http://127.0.0.1:{listener.getsockname()[1]}"
    namespaces.leave_for_a_new_one()
    openvswitch.run("ip", "link", "set", "lo", "up")

    directory = Path(tempfile.mkdtemp(prefix="tenantry-demo-"))
    cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
    say("starting Open vSwitch and the controller")
    for process in reversed(openvswitch.start(directory / "ovs")):
        cleanup.callback(openvswitch.stop, process)
    config = directory / "tenantry.conf"
    config.write_text(CONFIG.format(directory=directory))
    command = (tenantry, "--config-file", config)
    controller = openvswitch.daemon(*command, "serve", directory=directory)
    cleanup.callback(openvswitch.stop, controller)
    neutron = Neutron(f"http://127.0.0.1:{API_PORT}")
    wait_for_api(neutron, controller, directory / f"{tenantry.name}.log")
    threading.Thread(target=relay, args=(listener,), daemon=True).start()

    say("creating networks, ports and hosts")
    mininet.net.fixLimits = lambda: None  # it would change sysctls of the whole machine
    topology = Tenants(neutron.api)
    net = mininet.net.Mininet(topology, switch=TenantSwitch, controller=None, build=False)
    cleanup.callback(net.stop)
    net.addController(Controller("c0", ip="127.0.0.1", port=OPENFLOW_PORT))
    net.build()
    net.start()

    say("waiting for the ports to become ACTIVE")
    wait_for_ports(neutron)
    say("asking every address from every host")
    good = show_checks(net, neutron)
    good &= show_command(*command, "verify")
    print("\nAll as expected." if good else "\nNOT as expected: see the lines above.")
    show_command(*command, "status")
    if check:
        return 0 if good else 1
    show_farewell(net, tenantry, api, directory)
    while True:
        signal.pause()


def show_checks(net, neutron):
    """Probe, print the table and what the wires carried; True if all of it is as it should be."""
    stations = [station(host) for host in net.hosts]
    networks = {network["id"]: network for network in neutron.list("network")}
    vlans = {n["name"]: n["provider:segmentation_id"] for n in networks.values()}
    macs = {name: Sources() for name in [*vlans, "behind"]}
    routers = set()
    for port in neutron.list("port"):
        macs[networks[port["network_id"]]["name"]].add(port["mac_address"])
        if port["device_owner"].startswith("network:"):
            routers.add(port["mac_address"])
    outside = net.get("outside")
    for intf, network in zip(outside.intfList(), ("provider", "behind"), strict=True):
        macs[network].add(intf.MAC())
        routers.add(intf.MAC())
    macs["behind"].add(net.get("server").MAC())
    (floating,) = neutron.list("floatingip")

    s1, s2, phy1 = net.get("s1", "s2", "phy1")
    trunk = Capture(s1.connectionsTo(s2)[0][0])
    uplink = Capture(s1.connectionsTo(phy1)[0][0])
    hosts = [
        (macs[station.network], namespaces.inside(host.pid, Capture, host.defaultIntf()).result())
        for station, host in zip(stations, net.hosts, strict=True)
    ]
    seen = probe(stations, more=[floating["floating_ip_address"]], routers=routers)
    for capture in (trunk, uplink, *(capture for _, capture in hosts)):
        capture.stop()

    lines, good = table(stations, expectations(stations), seen)
    say()
    print("\n".join(lines), end="\n\n")
    print(f"{FLOATING} is {floating['floating_ip_address']} outside; others share an address.\n")
    tenants = tuple(tenant + suffix for tenant in ("red", "blue") for suffix in SUBNETS)
    for name, capture, carrying in (
        ("trunk", trunk, tenants),
        ("uplink", uplink, ("provider",)),
    ):
        carried, foreign = report(capture.frames, {vlans[n]: macs[n] for n in carrying})
        tags = ", ".join(f"VLAN {vlans[n]} {n}: {carried[vlans[n]]}" for n in carrying)
        print(f"frames on the {name} ({capture.interface}): {tags}; foreign: {len(foreign)}")
        print_lines(foreign)
        good &= not foreign and all(carried[vlans[network]] for network in carrying)
    foreign = []
    for allowed, capture in hosts:
        lines = report(capture.frames, {None: allowed})[1]
        foreign += [f"{capture.interface}: {line}" for line in lines]
    print(f"frames of another network inside the {len(hosts)} hosts: {len(foreign)}")
    print_lines(foreign)
    return good and not foreign


class Sources(set):
    """MAC addresses that may send on a network: those of its ports, and of switches that route."""

    def __contains__(self, mac):
        return super().__contains__(mac) or mac.startswith("0e:")


def expectations(stations):
    """Who should answer whom, by IP version. A tenant's hosts reach each other by its router, and
    the world outside by IPv4, whose addresses are translated; nobody outside knows a way to
    addresses of fd00::/8. The world reaches the host that has a floating IP."""
    tenants = {name: tenant for name, (tenant, *_) in TENANT_HOSTS.items()}
    world = {each.name for each in stations} - tenants.keys()
    expected = {}
    for name in (each.name for each in stations):
        mine = tenants.get(name)
        fellows = {other for other in tenants if tenants[other] == mine} if mine else world
        expected[name] = {"IPv4": (fellows | world | {FLOATING}) - {name}, "IPv6": fellows - {name}}
    expected[FLOATING]["IPv4"].add(FLOATING)  # itself, by way of its router
    return expected


def station(host):
    port = host.params.get("neutron_port") or host.params["stranger"]
    network = host.params["subnets"][0].get("name", "behind-").rsplit("-", 1)[0]
    addresses = tuple(fixed["ip_address"] for fixed in port["fixed_ips"])
    return Station(host.name, network, host.pid, port["mac_address"], addresses)


def show_command(*command):
    """Run a command of tenantry's, its output on ours; True if it is content."""
    print(f"\n$ tenantry {command[-1]}", flush=True)
    return subprocess.run(command).returncode == 0


def show_farewell(net, tenantry, api, directory):
    """Print what a person can do now."""
    openstack = tenantry.parent / "openstack"
    red1 = net.get("red1")
    print(
        f"\nThe Neutron API is at {api}. Things to try from another terminal:\n\n"
        f"  {openstack} --os-auth-type none --os-endpoint {api} port list\n"
        f"  nsenter -t {red1.pid} -n ping 10.0.0.13            # from red1 to red3\n"
        f"  nsenter -t {red1.pid} -n traceroute -n 198.51.100.7  # to the server outside\n"
        f"  OVS_RUNDIR={directory}/ovs ovs-ofctl -O OpenFlow14 --names dump-flows s1\n"
        f"  less {directory}/{tenantry.name}.log\n\n"
        "Ctrl-C ends the demo and leaves nothing behind.",
        flush=True,
    )


def outer_listener():
    """A socket on the API's usual port, or on any free one if somebody has that."""
    try:
        return socket.create_server(("127.0.0.1", API_PORT))
    except OSError:
        listener = socket.create_server(("127.0.0.1", 0))
        say(f"port {API_PORT} is taken: the API will be at {listener.getsockname()[1]}")
        return listener


def relay(listener):
    """Pass every connection on to the API. The listener was made outside, the others are inside."""

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client):
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", API_PORT)) as server,
        ):
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()

    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


def wait_for_api(neutron, controller, log):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return neutron.request("GET", "tenantry/v1/status")
        except RuntimeError as error:
            if controller.poll() is not None or time.monotonic() > deadline:
                words = log.read_text()[-3000:]
                raise RuntimeError(f"the controller did not come up: {error}\n{words}") from None
        time.sleep(POLL)


def wait_for_ports(neutron):
    """Until every port is ACTIVE, which means that the switches have confirmed their flows."""
    deadline = time.monotonic() + PATIENCE
    while down := [
        p["name"]
        for p in neutron.list("port")
        if p["status"] != "ACTIVE" and not p["device_owner"].startswith("network:")
    ]:
        if time.monotonic() > deadline:
            status = neutron.request("GET", "tenantry/v1/status")
            raise RuntimeError(f"ports not ACTIVE: {' '.join(down)}\nstatus: {status}")
        time.sleep(POLL)


def interrupt(_number, _frame):
    raise KeyboardInterrupt


_started = time.monotonic()


def say(text=""):
    """Print a line of progress with the time since the start, or an empty line."""
    print(f"[{time.monotonic() - _started:4.1f} s] {text}" if text else "", flush=True)


def print_lines(lines, most=10):
    for line in lines[:most]:
        print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
