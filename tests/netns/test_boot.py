# SPDX-License-Identifier: Apache-2.0

"""A hundred machines with nothing but a bare interface come up at once, by themselves."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from tests import dhcp_client
from tests.conftest import need
from tests.lab import Lab, lab
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch

MACHINES = 100

# What a machine does at its start, as a distribution would: DHCP, IPv6 by the kernel, DHCPv6 when
# there is a link-local address. It is up when nothing is tentative, and tells what it has.
BOOT = """
ip link set eth0 up
busybox udhcpc -f -q -T 1 -t 10 -A 1 -i eth0 -s {script} -O mtu 2>/dev/null &
until ip -6 -o address show dev eth0 scope link | grep -qv tentative; do sleep 0.2; done
dhclient -6 -1 -lf {directory}/$1.leases -pf {directory}/$1.pid -cf /dev/null -sf {script} eth0 \
    2>/dev/null
wait %1
until [ "$(ip -6 -o address show dev eth0 scope global | grep -vc tentative)" = 2 ]; do
    sleep 0.2
done
ip -o address show dev eth0 scope global
ip route show default
ip -6 route show default
ip link show eth0
kill "$(cat {directory}/$1.pid)"
"""
TELL = """
case "$EVENT" in
bound|BOUND6) echo "$EVENT dns=$dns$new_dhcp6_name_servers" ;;
esac
"""


def bare_machines(net: Lab, ports: list[Any]) -> list[Guest]:
    """Guests with an interface each that is down; all plugged in at once."""
    guests, commands = [], []
    for number, port in enumerate(ports):
        run("ip", "link", "add", f"t{number}", "type", "veth", "peer", "name", f"e{number}")
        run("ip", "link", "set", f"t{number}", "up")
        guest = net.guest()
        guest.take(f"e{number}")
        mac = port["mac_address"]
        guest.run("ip", "link", "set", f"e{number}", "name", "eth0", "address", mac)
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        commands += ["--", "add-port", "br-int", f"t{number}", "--", "set", "interface"]
        commands += [f"t{number}", f"external_ids:iface-id={port['id']}"]
        guests.append(guest)
    net.ovs.vsctl(*commands[1:])
    net.until(lambda: all(net.controller.status.port(port["id"]) == "ACTIVE" for port in ports))
    return guests


def test_a_hundred_machines_come_up_at_once(ovs: OpenVSwitch, tmp_path: Path) -> None:
    for program in ("busybox", "dhclient"):
        need(shutil.which(program) is not None, program)
    script = dhcp_client.write(tmp_path, "\n".join((*dhcp_client.SCRIPT.splitlines()[:-1], TELL)))
    boot = BOOT.format(script=script, directory=tmp_path)
    with lab(ovs, tmp_path) as net:
        network = net.create("network", mtu=1442)
        four = net.create("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
        six = {
            mode: net.create(
                "subnet",
                network_id=network["id"],
                cidr=cidr,
                ip_version=6,
                ipv6_ra_mode=mode,
                ipv6_address_mode=mode,
            )
            for mode, cidr in (
                ("slaac", "2001:db8:1::/64"),
                ("dhcpv6-stateful", "2001:db8:2::/64"),
            )
        }
        net.router(network)
        ports = [net.port(network) for _ in range(MACHINES)]
        guests = bare_machines(net, ports)
        machines = [
            guest.start("sh", "-c", boot, "boot", str(number))
            for number, guest in enumerate(guests)
        ]
        said = [machine.communicate()[0] for machine in machines]
        for port, text in zip(ports, said, strict=True):
            addresses = set(re.findall(r"inet6? ([^/]+)/", text))
            assert addresses == {ip["ip_address"] for ip in port["fixed_ips"]}, text
            assert "default via 10.0.0.1 dev eth0" in text
            assert re.search(r"default via fe80::\S+ dev eth0 proto ra", text), text
            assert "mtu 1442" in text
            assert f"bound dns={four['service_address']}\n" in text
            assert six["dhcpv6-stateful"]["service_address"] in text
        assert net.controller.packets.dropped == net.controller.packets.failed == 0
        net.verify()
