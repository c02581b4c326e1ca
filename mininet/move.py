# SPDX-License-Identifier: Apache-2.0

"""Experiment: a machine moves to another host while it is talked to. How much is lost?

Three hosts with an Open vSwitch each. ``guest`` has a cable to two of them, as a machine that is
moved live has an interface at both ends for a while, and speaks through one at a time::

    guest === host1 (binding)            -- tunnels -- host3 -- asker
          --- host2 (inactive binding) --+

``asker`` asks it a thousand times a second. Meanwhile the first interface goes down, and the guest
says by a gratuitous ARP through the second that it runs there now, as QEMU makes it do. Nobody
calls the API for that: the port's other binding becomes the active one. It prints what was lost,
draws the answers around the move (``--png``), and fails if the guest is not reached there. For how
long nobody may answer is said, and measured by ``make bench``: it is longer on a machine that is
busy with something else.
"""

import socket
import sys
from ipaddress import IPv4Address, ip_network

import hosts
import namespaces
import stage
from stage import say, until
from topology import configure

NETWORK = "10.0.0.0/24"
AT_MOST = 100  # milliseconds, on a quiet machine
EVERYBODY = b"\xff" * 6


class Move(hosts.Hosts):
    def build(self, neutron, directory):
        self.machines(3, directory, uplinks=0)
        of = self.network(neutron, "network", "tenant", (NETWORK,))
        here = {"binding:host_id": "host1"}
        self.tenant_host(neutron, "guest", "tenant", "host1", 11, *of, **here)
        self.tenant_host(neutron, "asker", "tenant", "host3", 12, *of)
        self.addLink("guest", "host2")


def main():
    return stage.play(stage.parser(__doc__, png="the answers").parse_args(), experiment)


def experiment(arguments, cleanup):
    directory = stage.enter(cleanup)
    say("building three hosts")
    tenantry = stage.Tenantry(arguments.tenantry, directory, hosts.OPTIONS, cleanup)
    net = stage.build(Move(tenantry.neutron, directory), cleanup)
    hosts.join(net, tenantry)
    guest, asker = net.get("guest", "asker")
    port = guest.params["neutron_port"]
    stand_by(guest, port, tenantry)
    announce = namespaces.inside(guest.pid, announcer, guest.intfList()[1], port).result()

    address = port["fixed_ips"][0]["ip_address"]
    asker.cmd(f"ping -n -q -c 3 -i 0.2 {address}")  # neighbours are known

    def event():
        move(guest, address)
        announce()

    answers, moment = stage.asked_while(event, asker, address, guest)
    say(f"moved: {answers}")
    (moved,) = tenantry.neutron.list("port", name="guest")
    run = answers.around(moment)
    picture = {
        "title": "A machine moves to another host",
        "event": "it leaves the first",
        "runs": {"": run},
    }
    stage.draw(arguments.tenantry, "plot_answers.py", arguments.png, picture)
    print(f"The port is on {moved['binding:host_id']}.")
    if moved["binding:host_id"] != "host2":
        return 1
    return stage.verdict("The machine moved", AT_MOST, run)


def stand_by(guest, port, tenantry):
    """The guest's second interface is plugged in at the host that it is to move to."""
    path = f"v2.0/ports/{port['id']}/bindings"
    tenantry.neutron.request("POST", path, {"binding": {"host": "host2"}})
    second = guest.intfList()[1]
    configure(
        guest,
        # It must not answer there what it is asked here.
        "sysctl -qw net.ipv4.conf.all.arp_ignore=1",
        f"sysctl -qw net.ipv6.conf.{second}.disable_ipv6=1",
        f"ip link set {second} address {port['mac_address']}",
        f"ip link set {second} mtu {guest.params['mtu']}",
        f"ethtool -K {second} tx off >/dev/null",
    )
    there = hosts.beside(second)
    there.node.plug(there, port)
    (switch,) = (s["id"] for s in tenantry.ask("status")["switches"] if s["host"] == "host2")

    def ready():
        flows = tenantry.ask(f"flows?switch={switch}&object={port['id']}")
        return flows and all(flow["installed"] for flow in flows)

    until(ready, lambda: "host2 does not stand by", tenantry)


def move(guest, address):
    """Off the first interface, onto the second."""
    first, second = guest.intfList()
    length = ip_network(NETWORK).prefixlen
    configure(guest, f"ip link set {first} down", f"ip address add {address}/{length} dev {second}")


def announcer(intf, port):
    """A function that says who is there, by a gratuitous ARP (RFC 5227, 3)."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((str(intf), 0))
    mac = bytes.fromhex(port["mac_address"].replace(":", ""))
    address = IPv4Address(port["fixed_ips"][0]["ip_address"]).packed
    request = bytes.fromhex("0001 0800 06 04 0001") + mac + address + bytes(6) + address
    return lambda: raw.send(EVERYBODY + mac + bytes.fromhex("0806") + request)


if __name__ == "__main__":
    sys.exit(main())
