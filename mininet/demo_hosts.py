# SPDX-License-Identifier: Apache-2.0

"""``make demo HOSTS=3``: the demo's two tenants on several hosts, joined by tunnels::

    host1: red                   host2: red and blue          host3: blue
      |      |                     |      |                     |
    under    ext                 under    ext                 under       VXLAN; the world outside

Red has no port on the last host and blue none on the first. The first two lead outside, each for
both routers, and stand in for each other.
"""

import itertools

import balanced
import checks
import hosts
import stage
from stage import say
from topology import PROVIDER_SUBNETS, TENANT_HOSTS
from wire import Capture, by_tunnel

COUNTS = range(3, 10)
HEALTH = 0  # the VNI of tunnels by which hosts watch each other


class Spread(hosts.Hosts):
    def build(self, neutron, count, directory):
        self.machines(count, directory)
        provider = self.provider(neutron, PROVIDER_SUBNETS)
        self.tenants(neutron, provider, places(count))
        self.beyond(provider[1], "ext")


def places(count):
    """{tenant's host: the host that it is on}"""
    of = {"red": range(1, count), "blue": range(2, count + 1)}
    turns = {tenant: itertools.cycle(numbers) for tenant, numbers in of.items()}
    return {name: f"host{next(turns[tenant])}" for name, (tenant, *_) in TENANT_HOSTS.items()}


def demo(arguments, cleanup):
    """Build, check and show; whatever is made is undone by ``cleanup``. Returns the exit status."""
    listeners = stage.outer_listeners(arguments.auth)
    directory = stage.enter(cleanup)
    say("starting the controller")
    command, auth = arguments.tenantry, arguments.auth
    tenantry = stage.Tenantry(command, directory, hosts.OPTIONS, cleanup, auth)
    api = stage.relay(listeners)

    say(f"creating networks and ports, and {arguments.hosts} hosts with an Open vSwitch each")
    net = stage.build(Spread(tenantry.neutron, arguments.hosts, directory), cleanup)
    say(f"on every host: ovs-vsctl set-manager tcp:{hosts.CONTROLLER}:{stage.OVSDB_PORT}")
    hosts.join(net, tenantry)
    say("asking every address from every host")
    good = show_checks(net, tenantry)
    good &= balanced.show(net, tenantry, *balanced.OF_RED, cleanup)[0]
    status = stage.conclude(good, tenantry, "host list", "status")
    if not arguments.check:
        stay(net, tenantry, api)
    return status


def show_checks(net, tenantry):
    """Probe, print the table and what passed the underlay; True if all of it is as it should be."""
    macs, routers = checks.sources(net, tenantry.neutron)
    under = net.get("under")
    captures = {
        machine: Capture(under.connectionsTo(machine)[0][0], by_tunnel)
        for machine in hosts.machines(net)
    }
    good, inside = checks.show_table(net, tenantry.neutron, macs, routers, captures.values())
    good &= show_underlay(captures, tenantry)
    return checks.show_inside(inside) and good


def show_underlay(captures, tenantry):
    """Print which tunnels carried what. A network is to be carried between the hosts of its tenant
    and those that lead outside, and nowhere else."""
    names = {machine.tunnel_address: machine.name for machine in captures}
    leading = set()
    for router in tenantry.neutron.list("router"):
        leading.update(hosts.gateways(tenantry, router))
    vnis = {HEALTH: "health"}
    for network in tenantry.neutron.list("network"):
        if network["provider:network_type"] == "vxlan":
            vnis[network["provider:segmentation_id"]] = network["name"]
    here = places(len(captures))
    may = {
        name: leading | {here[host] for host, (tenant, *_) in TENANT_HOSTS.items() if tenant == of}
        for name in vnis.values()
        for of in [name.removesuffix("-db")]
    }
    may["health"] = set(names.values())
    carried, foreign = {}, []
    for machine, capture in captures.items():
        for (source, destination, vni), count in capture.frames.items():
            if source != machine.tunnel_address:
                continue  # counted where it was sent
            network = vnis.get(vni, f"VNI {vni}")
            ends = machine.name, names.get(destination, destination)
            if not may.get(network, set()).issuperset(ends):
                foreign.append(f"{count} of {network} from {ends[0]} to {ends[1]}")
            pair = " - ".join(sorted(ends))
            carried.setdefault(network, {}).setdefault(pair, 0)
            carried[network][pair] += count
    print("VXLAN packets between hosts:")
    for vni, network in sorted(vnis.items()):
        pairs = ", ".join(f"{p}: {n}" for p, n in sorted(carried.get(network, {}).items()))
        print(f"  VNI {vni:<5} {network:8} {pairs or '-'}")
    print(f"of a network that one of the two has no business with: {len(foreign)}")
    checks.print_lines(foreign)
    return not foreign and len(carried) == len(vnis)


def stay(net, tenantry, api):
    """What a person can do now, until Ctrl-C."""
    red1, red2, host3 = net.get("red1", "red2", "host3")
    (router,) = tenantry.neutron.list("router", name="red")
    gateway = net.get(hosts.gateways(tenantry, router)[0])
    stage.stay(
        *(tenantry, api, "network agent list"),
        f"nsenter -t {red1.pid} -n ping 10.0.0.12              # from red1 to red2",
        f"nsenter -t {red2.pid} -n ping -i 0.1 198.51.100.7  # outside; its gateway dies:",
        f"kill -9 $(cat {gateway.ovs.directory}/ovs-vswitchd.pid)",
        f"nsenter -t {host3.pid} -n tcpdump -n -i under        # what host3 says to others",
        f"OVS_RUNDIR={host3.ovs.directory} ovs-ofctl -O OpenFlow14 --names dump-flows br-int",
    )
