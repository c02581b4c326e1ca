"""``make demo``: two tenants with equal addresses, each with a router to a shared outside, a table
of who reaches whom, and then yours. With ``--hosts``, several Open vSwitches (:mod:`demo_hosts`).

Everything runs in a network namespace of its own with an Open vSwitch of its own, so the machine's
interfaces, bridges and Open vSwitch are not touched, and the kernel clears away what is left even
after ``kill -9``. Only the API looks out: its port in the machine's namespace is relayed.

Run by the system's Python, which has Mininet; the controller runs from the virtual environment.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import checks
import demo_hosts
import stage
from openvswitch import OpenVSwitch
from stage import say
from topology import SUBNETS, TRUNK, UPLINK, Controller, Tenants, TenantSwitch
from wire import Capture, report

OPTIONS = f"""\
[store]
url = sqlite:///{{directory}}/tenantry.db
[network_log]
file = {{directory}}/network.log
[api]
listen = 127.0.0.1:{stage.API_PORT}
[openflow]
listen = 127.0.0.1:{stage.OPENFLOW_PORT}
[ovsdb]
connections = unix:{{directory}}/ovs/db.sock
integration_bridge =
[networks]
vlan_ranges = {TRUNK}:1000:1999
physical_networks = {TRUNK}, {UPLINK}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenantry", required=True, type=Path, help="the tenantry command to run")
    parser.add_argument("--check", action="store_true", help="exit after the table; 1 if it is off")
    parser.add_argument(
        "--hosts",
        type=int,
        choices=demo_hosts.COUNTS,
        metavar="COUNT",
        help="so many hosts, with an Open vSwitch each, instead of one",
    )
    arguments = parser.parse_args()
    if arguments.hosts:
        return stage.play(lambda cleanup: demo_hosts.demo(arguments, cleanup))
    return stage.play(lambda cleanup: demo(arguments, cleanup))


def demo(arguments, cleanup):
    """Build, check and show; whatever is made is undone by ``cleanup``. Returns the exit status."""
    listener = stage.outer_listener()
    directory = stage.enter(cleanup)
    say("starting Open vSwitch and the controller")
    ovs = OpenVSwitch(directory / "ovs")
    cleanup.callback(ovs.stop)
    ovs.start(system_id="tenantry-demo")
    os.environ.update(ovs.environment)  # for Mininet's switches
    tenantry = stage.Tenantry(arguments.tenantry, directory, OPTIONS, cleanup)
    api = stage.relay(listener)

    say("creating networks, ports and hosts")
    controller = Controller("c0", ip="127.0.0.1", port=stage.OPENFLOW_PORT)
    topology = Tenants(tenantry.neutron.api)
    net = stage.build(topology, cleanup, [controller], switch=TenantSwitch)

    say("waiting for the ports to become ACTIVE")
    tenantry.wait_for_ports()
    say("asking every address from every host")
    good = show_checks(net, tenantry.neutron)
    good &= tenantry.show("verify")
    print("\nAll as expected." if good else "\nNOT as expected: see the lines above.")
    tenantry.show("status")
    if arguments.check:
        return 0 if good else 1
    show_farewell(net, tenantry, api)
    while True:
        signal.pause()


def show_checks(net, neutron):
    """Probe, print the table and what the wires carried; True if all of it is as it should be."""
    vlans = {n["name"]: n["provider:segmentation_id"] for n in neutron.list("network")}
    macs, routers = checks.sources(net, neutron)
    s1, s2, phy1 = net.get("s1", "s2", "phy1")
    trunk = Capture(s1.connectionsTo(s2)[0][0])
    uplink = Capture(s1.connectionsTo(phy1)[0][0])
    good, inside = checks.show_table(net, neutron, macs, routers, (trunk, uplink))
    tenants = tuple(tenant + suffix for tenant in ("red", "blue") for suffix in SUBNETS)
    for name, capture, carrying in (
        ("trunk", trunk, tenants),
        ("uplink", uplink, ("provider",)),
    ):
        carried, foreign = report(capture.frames, {vlans[n]: macs[n] for n in carrying})
        tags = ", ".join(f"VLAN {vlans[n]} {n}: {carried[vlans[n]]}" for n in carrying)
        print(f"frames on the {name} ({capture.interface}): {tags}; foreign: {len(foreign)}")
        checks.print_lines(foreign)
        good &= not foreign and all(carried[vlans[network]] for network in carrying)
    return checks.show_inside(inside) and good


def show_farewell(net, tenantry, api):
    """Print what a person can do now."""
    openstack = tenantry.program.parent / "openstack"
    red1 = net.get("red1")
    print(
        f"\nThe Neutron API is at {api}. Things to try from another terminal:\n\n"
        f"  {openstack} --os-auth-type none --os-endpoint {api} port list\n"
        f"  nsenter -t {red1.pid} -n ping 10.0.0.13            # from red1 to red3\n"
        f"  nsenter -t {red1.pid} -n traceroute -n 198.51.100.7  # to the server outside\n"
        f"  OVS_RUNDIR={tenantry.directory}/ovs ovs-ofctl -O OpenFlow14 --names dump-flows s1\n"
        f"  less {tenantry.log}\n\n"
        "Ctrl-C ends the demo and leaves nothing behind.",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
