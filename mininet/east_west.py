# SPDX-License-Identifier: Apache-2.0

"""Experiment: where does traffic between two networks of a tenant go, and what does it cost?

Two machines on different networks and switches, and a third switch where the router's gateway is::

    a (10.1.0.0/24) -- s1 --+
                            |
             central -- gw -+- core        core is an ordinary switch, not ours
                            |
    b (10.2.0.0/24) -- s2 --+

First the tenant's router joins the networks: it is on every switch, and a packet is routed where it
starts. Then a machine on ``gw`` does, as a central router would. Both times it pings from a to b,
captures on the wire of ``gw``, and reads the counters of the switches' routes. It prints what it
saw, draws the latencies (``--png``), and fails if a packet took the wrong way.
"""

import re
import subprocess
import sys

import openvswitch
import stage
from mininet.topo import Topo
from topology import (
    TRUNK,
    UPLINK,
    PhysicalSwitch,
    TenantHost,
    TenantSwitch,
    addresses,
)
from wire import Capture

NETWORKS = {"one": "10.1.0.0/24", "two": "10.2.0.0/24"}
CENTRAL = 200  # last part of the central machine's addresses
ROUTE_TABLE = 55
INTERVAL = 0.005  # seconds between two pings
STRAY = 40  # frames: hosts' own multicast, and floods before core has learned an address


class EastWest(Topo):
    def build(self, neutron):
        outside = neutron.ensure(
            "network",
            "outside",
            "admin",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": UPLINK,
            },
        )
        neutron.ensure(
            "subnet",
            "outside",
            "admin",
            network_id=outside["id"],
            cidr="203.0.113.0/24",
            ip_version=4,
        )
        nets = {}
        for name, cidr in NETWORKS.items():
            network = neutron.ensure("network", name, "tenant")
            subnet = neutron.ensure(
                "subnet", name, "tenant", network_id=network["id"], cidr=cidr, ip_version=4
            )
            nets[name] = (network, [subnet])
        neutron.router("router", "tenant", outside, [subnets[0] for _, subnets in nets.values()])
        self.addSwitch("core", cls=PhysicalSwitch, dpid="00000000000000ff")
        for number, switch in enumerate(("s1", "s2", "gw"), 1):
            self.addSwitch(switch, dpid=f"{number:016x}")
            self.addLink(switch, "core", params1={"physical_network": TRUNK})
        self.addSwitch("up", cls=PhysicalSwitch, dpid="00000000000000fe")
        self.addLink("gw", "up", params1={"physical_network": UPLINK})
        for name, network, switch, number, secure in (
            ("a", "one", "s1", 11, True),
            ("b", "two", "s2", 12, True),
            ("left", "one", "gw", CENTRAL, False),
            ("right", "two", "gw", CENTRAL, False),
        ):
            of, subnets = nets[network]
            port = neutron.ensure(
                "port",
                name,
                "tenant",
                network_id=of["id"],
                fixed_ips=addresses(subnets, number),
                port_security_enabled=secure,
            )
            self.addHost(name, cls=TenantHost, neutron_port=port, subnets=subnets)
            self.addLink(name, switch)
        self.addLink("left", "right")  # two hosts that are one router: each has one port


def main():
    parser = stage.parser(__doc__, png="the latencies")
    parser.add_argument("--count", type=int, default=1000, help="pings each way of routing")
    return stage.play(parser.parse_args(), experiment)


def experiment(arguments, cleanup):
    net = build(arguments.tenantry, cleanup)
    seen = {}
    for way in ("distributed", "centralised"):
        if way == "centralised":
            centralise(net)
        seen[way] = measure(net, arguments.count)
    times = {way: each["times"] for way, each in seen.items()}
    stage.draw(arguments.tenantry, "plot_latency.py", arguments.png, times)
    return judge(seen, arguments.count)


def build(tenantry, cleanup):
    """A controller, three switches and their hosts, in a namespace of their own."""
    directory = stage.enter(cleanup)
    running, controller = stage.one_host(tenantry, directory, cleanup)
    net = stage.build(EastWest(running.neutron), cleanup, [controller], switch=TenantSwitch)
    running.wait_for_ports()
    return net


def centralise(net):
    """From now on the two networks are joined by a machine on gw (by two, with a cable)."""
    left, right = net.get("left", "right")
    cable = {host: host.intfList()[-1] for host in (left, right)}
    for host, own, peer, far in (
        (left, "192.0.2.1", "192.0.2.2", NETWORKS["two"]),
        (right, "192.0.2.2", "192.0.2.1", NETWORKS["one"]),
    ):
        host.cmd(
            f"ip address add {own}/30 dev {cable[host]}; ip route replace {far} via {peer}; "
            f"sysctl -qw net.ipv4.ip_forward=1; ethtool -K {cable[host]} tx off"
        )
    for name, far, near in (("a", "two", "one"), ("b", "one", "two")):
        via = NETWORKS[near].replace("0/24", str(CENTRAL))
        net.get(name).cmd(f"ip route replace {NETWORKS[far]} via {via}")


def measure(net, count):
    """Ping from a to b: the times in ms, the frames on gw's wire, and how often each switch has
    routed a packet."""
    a, gw = net.get("a", "gw")
    target = NETWORKS["two"].replace("0/24", "12")
    a.cmd(f"ping -n -q -c 5 -i 0.2 {target}")  # neighbours are known
    for name, near in (("a", "one"), ("b", "two")):  # core has learned where both are: what is
        central = NETWORKS[near].replace("0/24", str(CENTRAL))  # routed has a router's address
        net.get(name).cmd(f"ping -n -q -c 2 -i 0.2 {central}")
    before = {name: routed(name) for name in ("s1", "s2", "gw")}
    capture = Capture(gw.connectionsTo(net.get("core"))[0][0])
    output = a.cmd(f"ping -n -c {count} -i {INTERVAL} {target}")
    capture.stop()
    return {
        "times": [float(ms) for ms in re.findall(r"time=([\d.]+)", output)],
        "frames": sum(capture.frames.values()),
        "routed": {name: routed(name) - n for name, n in before.items()},
    }


def routed(switch):
    """Packets that a switch's routes have taken."""
    openvswitch.run("ovs-appctl", "revalidator/purge")  # the datapath's counts are in, too
    words = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", switch, f"table={ROUTE_TABLE}"]
    dump = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return sum(int(n) for n in re.findall(r"n_packets=(\d+)", dump))


def judge(seen, count):
    """Print what was seen; 0 if it was as it should be."""
    print(f"{'':12} {'answers':>8} {'median ms':>10} {'frames at gw':>13}  routed by")
    for way, each in seen.items():
        times = sorted(each["times"])
        middle = times[len(times) // 2] if times else float("nan")
        by = ", ".join(f"{name}: {n}" for name, n in each["routed"].items())
        print(f"{way:12} {len(times):>8} {middle:>10.3f} {each['frames']:>13}  {by}")
    near, far = seen["distributed"], seen["centralised"]
    good = (
        len(near["times"]) == len(far["times"]) == count
        and near["frames"] <= STRAY
        and near["routed"]["gw"] == 0
        and near["routed"]["s1"] >= count
        and near["routed"]["s2"] >= count
        and far["frames"] >= 4 * count  # there and back, in and out
    )
    print("East-west traffic does not pass the gateway's switch." if good else "NOT as expected.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
