# SPDX-License-Identifier: Apache-2.0

"""``make demo``: two tenants with equal addresses, each with a router to a shared outside, a table
of who reaches whom, and then yours. With ``--hosts``, several Open vSwitches (:mod:`demo_hosts`).

Everything runs in a network namespace of its own with an Open vSwitch of its own, so the machine's
interfaces, bridges and Open vSwitch are not touched, and the kernel clears away what is left even
after ``kill -9``. Only the API looks out: its port in the machine's namespace is relayed.

Run by the system's Python, which has Mininet; the controller runs from the virtual environment.
"""

import sys

import balanced
import checks
import demo_hosts
import stage
from stage import say
from topology import SUBNETS, Tenants, TenantSwitch
from wire import Capture, report


def main():
    parser = stage.parser(__doc__)
    parser.add_argument("--check", action="store_true", help="exit after the table; 1 if it is off")
    parser.add_argument(
        "--hosts",
        type=int,
        choices=demo_hosts.COUNTS,
        metavar="COUNT",
        help="so many hosts, with an Open vSwitch each, instead of one",
    )
    parser.add_argument(
        "--auth", choices=("none", "keystone"), default="none", help="who is let in"
    )
    arguments = parser.parse_args()
    return stage.play(arguments, demo_hosts.demo if arguments.hosts else demo)


def demo(arguments, cleanup):
    """Build, check and show; whatever is made is undone by ``cleanup``. Returns the exit status."""
    listeners = stage.outer_listeners(arguments.auth)
    directory = stage.enter(cleanup)
    say("starting Open vSwitch and the controller")
    command, auth = arguments.tenantry, arguments.auth
    tenantry, controller = stage.one_host(command, directory, cleanup, auth)
    api = stage.relay(listeners)

    say("creating networks, ports and hosts")
    topology = Tenants(tenantry.neutron)
    net = stage.build(topology, cleanup, [controller], switch=TenantSwitch)

    say("waiting for the ports to become ACTIVE")
    tenantry.wait_for_ports()
    say("asking every address from every host")
    good = show_checks(net, tenantry.neutron)
    balanced_well, vip = balanced.show(net, tenantry, *balanced.OF_RED, cleanup)
    good &= balanced_well
    status = stage.conclude(good, tenantry, "status")
    if not arguments.check:
        stay(net, tenantry, api, vip)
    return status


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


def stay(net, tenantry, api, vip):
    """What a person can do now, until Ctrl-C."""
    red1, red4 = net.get("red1", "red4")
    stage.stay(
        *(tenantry, api, "port list"),
        f"nsenter -t {red1.pid} -n ping 10.0.0.13            # from red1 to red3",
        f"nsenter -t {red1.pid} -n traceroute -n 198.51.100.7  # to the server outside",
        f"nsenter -t {red4.pid} -n curl http://{vip}/        # who answers? ask again",
        f"OVS_RUNDIR={tenantry.directory}/ovs ovs-ofctl -O OpenFlow14 --names dump-flows s1",
    )


if __name__ == "__main__":
    sys.exit(main())
