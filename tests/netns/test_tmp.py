from __future__ import annotations
from pathlib import Path
import pytest, subprocess
from collections.abc import Iterator
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def sh(g, *w):
    d = subprocess.run(g.command(*w), capture_output=True, text=True)
    print("$", *w)
    print(d.stdout[-1500:], d.stderr[-500:])


def test_it(net):
    ext = net.create("network", **{"router:external": True, "name": "ext"})
    net.create(
        "subnet", network_id=ext["id"], cidr="203.0.113.0/24", ip_version=4, enable_dhcp=False
    )
    net.create(
        "subnet", network_id=ext["id"], cidr="2001:db8:ff::/64", ip_version=6, enable_dhcp=False
    )
    a_net, b_net = net.network("10.1.0.0/24", "fd01::/64"), net.network("10.2.0.0/24", "fd02::/64")
    router = net.create("router", name="r", external_gateway_info={"network_id": ext["id"]})
    for n in (a_net, b_net):
        for s in net.api("GET", f"/v2.0/subnets?network_id={n['id']}")["subnets"]:
            print(
                net.api(
                    "PUT",
                    f"/v2.0/routers/{router['id']}/add_router_interface",
                    {"subnet_id": s["id"]},
                )
            )
    pa, pb, pa2 = net.port(a_net), net.port(b_net), net.port(a_net)
    up = net.port(
        ext,
        fixed_ips=[{"ip_address": "203.0.113.1"}, {"ip_address": "2001:db8:ff::1"}],
        port_security_enabled=False,
    )
    a, b, c, out = net.guest(pa), net.guest(pb), net.guest(pa2), net.guest(up)
    for g, n in ((a, 1), (b, 2), (c, 1)):
        g.run("ip", "route", "add", "default", "via", f"10.{n}.0.1")
        g.run("ip", "-6", "route", "add", "default", "via", f"fd0{n}::1")
    for i, x in (("inet", "198.51.100.1/32"), ("inet6", "2001:db8:aa::1/128")):
        out.run("ip", "addr", "add", x, "dev", "lo")
    gw = net.api("GET", f"/v2.0/routers/{router['id']}")["router"]["external_gateway_info"]
    print(gw)
    gw6 = [i["ip_address"] for i in gw["external_fixed_ips"] if ":" in i["ip_address"]][0]
    out.run("ip", "-6", "route", "add", "fd01::/16", "via", gw6)
    net.settle()
    four, six = (ip["ip_address"] for ip in pb["fixed_ips"])
    sh(a, "ping", "-c2", "-W1", "10.1.0.1")
    sh(a, "ping", "-c2", "-W1", "fd01::1")
    sh(a, "ping", "-c2", "-W1", four)
    sh(a, "ping", "-c2", "-W1", six)
    sh(a, "ping", "-c2", "-W1", "198.51.100.1")
    sh(a, "ping", "-c2", "-W2", "2001:db8:aa::1")
    fip = net.create("floatingip", floating_network_id=ext["id"], port_id=pb["id"])
    net.settle()
    print(fip)
    sh(out, "ping", "-c2", "-W1", fip["floating_ip_address"])
    sh(b, "ping", "-c2", "-W1", "198.51.100.1")
    sh(a, "ping", "-c2", "-W1", fip["floating_ip_address"])
    sh(b, "ping", "-c2", "-W1", fip["floating_ip_address"])
    sh(a, "traceroute", "-n", "-q1", "-w1", four) if False else None
    sh(a, "ping", "-c2", "-W1", "10.2.0.77")
    sh(a, "ping", "-c2", "-t1", four)
    sh(a, "ping", "-c1", "-W1", "10.99.0.1")
    p = net.service.packets
    print(vars(p))
    print(net.service.neighbours._entries)
    print("\n".join(l for l in net.ovs.appctl("dpctl/dump-conntrack").splitlines()))
