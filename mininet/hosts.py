# SPDX-License-Identifier: Apache-2.0

"""Hosts with an Open vSwitch each, in Mininet's terms: switches that are machines of their own.

Each is a network namespace with three legs at most::

    mgmt ---- host1, host2, ...   192.168.78.0/24: OVSDB and OpenFlow; the controller is there, too
    under --- host1, host2, ...   192.168.77.0/24: tunnels
    ext ----- the gateways, and the router outside

A host joins by one command, ``ovs-vsctl set-manager``, and the controller makes the rest: the
bridge that tenants are plugged into, and the tunnels.
"""

import stage
from mininet.node import Switch
from openvswitch import OpenVSwitch, run
from stage import until
from topology import UPLINK, NeutronTopo, configure, silence

CONTROLLER = "192.168.78.254"
OPTIONS = f"""\
[openflow]
listen = 0.0.0.0:{stage.OPENFLOW_PORT}
[ovsdb]
connections =
listen = 0.0.0.0:{stage.OVSDB_PORT}
datapath_type = netdev
[networks]
tenant_network_type = vxlan
physical_networks = {UPLINK}
"""


class Cable(Switch):
    """What joins machines: a bridge of the kernel's in our namespace, with ``address`` for us."""

    def __init__(self, name, address=None, **params):
        super().__init__(name, dpid="0", **params)
        self._address = address

    def start(self, controllers):
        run("ip", "link", "add", self, "type", "bridge", "mcast_snooping", "0")
        silence(self)
        for intf in self.intfList():
            if intf.name != "lo":
                silence(intf)
                run("ip", "link", "set", intf, "master", self)
        if self._address is not None:
            run("ip", "address", "add", self._address, "dev", self)
        run("ip", "link", "set", self, "up")

    def stop(self, deleteIntfs=True):
        super().stop(deleteIntfs)
        self.cmd(f"ip link delete {self}")


class Machine(Switch):
    """A host: a namespace with an Open vSwitch of its own."""

    def __init__(self, name, directory, **params):
        super().__init__(name, **params)
        self.number = int(self.dpid, 16)
        self.tunnel_address = f"192.168.77.{self.number}"
        self.within = ("nsenter", f"--net=/proc/{self.pid}/ns/net")
        self.ovs = OpenVSwitch(directory / name, self.within)
        configure(self, "sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1")

    def start(self, controllers):
        """Its Open vSwitch, which knows no controller yet."""
        for intf in self.intfList():
            configure(self, f"ethtool -K {intf} tx off >/dev/null")
        configure(self, f"ip address add 192.168.78.{self.number}/24 dev mgmt")
        self.ovs.start(hostname=self.name, tenantry_encap_ip=self.tunnel_address)
        self._bridge("br-phy", "under")
        if UPLINK in self.nameToIntf:
            self._bridge("br-ex", UPLINK)
            mappings = f"external_ids:tenantry-bridge-mappings={UPLINK}:br-ex"
            self.ovs.vsctl("set", "Open_vSwitch", ".", mappings)
        # Userspace tunnels leave by the address of a bridge of the same Open vSwitch.
        configure(
            self,
            f"ip address add {self.tunnel_address}/24 dev br-phy",
            "ip link set br-phy up",
            "ethtool -K br-phy tx off >/dev/null",
        )

    def _bridge(self, name, port):
        kind = ("set", "bridge", name, "datapath_type=netdev")
        self.ovs.vsctl("add-br", name, "--", *kind, "--", "add-port", name, port)

    def join(self):
        """The one command."""
        self.ovs.vsctl("set-manager", f"tcp:{CONTROLLER}:{stage.OVSDB_PORT}")

    def plug(self, intf, port):
        """Make an interface of this machine a port of Neutron's."""
        self.ovs.vsctl(
            *("wait-until", "bridge", "br-int", "--", "add-port", "br-int", str(intf), "--"),
            *("set", "interface", str(intf), f"external_ids:iface-id={port['id']}"),
            f'external_ids:attached-mac="{port["mac_address"]}"',
        )

    def stop(self, deleteIntfs=True):
        self.ovs.stop()
        super().stop(deleteIntfs)


class OwnHost:
    """The controller's own Open vSwitch, in our namespace: where it has its service port, by which
    it reaches what is in tenants' networks."""

    ADDRESS = "192.168.77.254"

    def __init__(self, directory, cleanup):
        self.ovs = OpenVSwitch(directory / "own")
        cleanup.callback(self.ovs.stop)
        self.ovs.start(hostname="controller", tenantry_encap_ip=self.ADDRESS)

    @property
    def options(self):
        """In the place of :data:`OPTIONS`."""
        return OPTIONS.replace("connections =", f"connections = {self.ovs.remote}")

    def attach(self):
        """To what tunnels go by; when the machines are there."""
        run("ip", "link", "add", "own", "type", "veth", "peer", "name", "own-under")
        run("ip", "link", "set", "own-under", "master", "under", "up")
        run("ip", "link", "set", "own", "up")
        self.ovs.vsctl(
            *("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev"),
            *("--", "add-port", "br-phy", "own"),
        )
        run("ip", "address", "add", f"{self.ADDRESS}/24", "dev", "br-phy")
        run("ip", "link", "set", "br-phy", "up")
        run("ethtool", "-K", "br-phy", "tx", "off")


class Hosts(NeutronTopo):
    """So many machines, the first ``uplinks`` of which reach the outside."""

    def machines(self, count, directory, uplinks=2):
        self.addSwitch("mgmt", cls=Cable, address=f"{CONTROLLER}/24")
        self.addSwitch("under", cls=Cable)
        self.addSwitch("ext", cls=Cable)
        for number in range(1, count + 1):
            name = f"host{number}"
            self.addSwitch(name, cls=Machine, directory=directory, inNamespace=True)
            for cable in ("mgmt", "under"):
                self.addLink(name, cable, intfName1=cable)
            if number <= uplinks:
                self.addLink(name, "ext", intfName1=UPLINK)

    def provider(self, neutron, cidrs):
        """The network outside, and its subnets."""
        wire = {"provider:network_type": "flat", "provider:physical_network": UPLINK}
        return self.network(
            neutron, "provider", "provider", cidrs, **{"router:external": True}, **wire
        )


def machines(net):
    return [switch for switch in net.switches if isinstance(switch, Machine)]


def join(net, tenantry):
    """All machines join; tenants' hosts are plugged in, and everything is as it should be when this
    returns: ports ACTIVE, tunnels up."""
    for machine in machines(net):
        machine.join()
    for host in net.hosts:
        port = host.params.get("neutron_port")
        if port is not None:
            intf = beside(host.defaultIntf())
            intf.node.plug(intf, port)
    tenantry.wait_for_ports()
    wait_for_gateways(net, tenantry)


def beside(intf):
    """The interface at the other end of a link."""
    return intf.link.intf2 if intf.link.intf1 is intf else intf.link.intf1


def wait_for_gateways(net, tenantry):
    """Until every router has all the gateways that it can have, and who watches them sees them."""
    uplinks = sum(UPLINK in machine.nameToIntf for machine in machines(net))

    def not_there():
        short = [
            f"gateways of {router['name']}"
            for router in tenantry.neutron.list("router")
            if len(gateways(tenantry, router)) < uplinks
        ]
        return short + [
            f"{host['name']} to {tunnel['peer']}"
            for host in tenantry.ask("hosts")
            for tunnel in host["tunnels"]
            if tunnel["state"] != "up"
        ]

    until(lambda: not not_there(), lambda: f"not there: {', '.join(not_there())}", tenantry)
    tenantry.ask("wait")


def gateways(tenantry, router):
    """The hosts that can be a router's gateway, the one that is it first."""
    agents = tenantry.neutron.request("GET", f"v2.0/routers/{router['id']}/l3-agents")["agents"]
    ordered = sorted(agents, key=lambda agent: agent["ha_state"] != "active")
    return [agent["host"] for agent in ordered]
