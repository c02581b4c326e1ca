# SPDX-License-Identifier: Apache-2.0

"""What the demos check: that those who should reach each other do, and that nobody hears what is
none of their business."""

import namespaces
from reachability import Station, probe, table
from stage import say
from topology import FLOATING, TENANT_HOSTS
from wire import Capture, report


class Sources(set):
    """MAC addresses that may send on a network: those of its ports, and of switches that route."""

    def __contains__(self, mac):
        return super().__contains__(mac) or mac.startswith("0e:")


def sources(net, neutron):
    """Who may send on which network, by its name ("behind" is the server's, outside); and the MAC
    addresses of routers."""
    networks = {network["id"]: network["name"] for network in neutron.list("network")}
    macs = {name: Sources() for name in [*networks.values(), "behind"]}
    routers = set()
    for port in neutron.list("port"):
        macs[networks[port["network_id"]]].add(port["mac_address"])
        if port["device_owner"].startswith("network:"):
            routers.add(port["mac_address"])
    outside = net.get("outside")
    for intf, network in zip(outside.intfList(), ("provider", "behind"), strict=True):
        macs[network].add(intf.MAC())
        routers.add(intf.MAC())
    macs["behind"].add(net.get("server").MAC())
    return macs, routers


def show_table(net, neutron, macs, routers, captures):
    """Ask every address from every host, and print who answered. Returns whether all of it is as it
    should be, and what was heard inside hosts, for :func:`show_inside`. ``captures`` are stopped.
    """
    stations = [station(host) for host in net.hosts]
    inside = [
        (macs[station.network], namespaces.inside(host.pid, Capture, host.defaultIntf()).result())
        for station, host in zip(stations, net.hosts, strict=True)
    ]
    (floating,) = neutron.list("floatingip")
    expected = expectations(stations)
    seen = probe(stations, expected, [floating["floating_ip_address"]], routers)
    for capture in (*captures, *(capture for _, capture in inside)):
        capture.stop()
    lines, good = table(stations, expected, seen)
    say()
    print("\n".join(lines), end="\n\n")
    print(f"{FLOATING} is {floating['floating_ip_address']} outside; others share an address.\n")
    return good, inside


def show_inside(inside):
    """Print what hosts have heard of other networks; True if that is nothing."""
    foreign = [
        f"{capture.interface}: {line}"
        for allowed, capture in inside
        for line in report(capture.frames, {None: allowed})[1]
    ]
    print(f"frames of another network inside the {len(inside)} hosts: {len(foreign)}")
    print_lines(foreign)
    return not foreign


def station(host):
    port = host.params.get("neutron_port") or host.params["stranger"]
    network = host.params["subnets"][0].get("name", "behind-").rsplit("-", 1)[0]
    addresses = tuple(fixed["ip_address"] for fixed in port["fixed_ips"])
    return Station(host.name, network, host.pid, port["mac_address"], addresses)


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


def print_lines(lines, most=10):
    for line in lines[:most]:
        print(f"  {line}")
