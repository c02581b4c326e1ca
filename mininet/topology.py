# SPDX-License-Identifier: Apache-2.0

"""The demo network in Mininet's terms, and the Mininet classes that know Neutron ports.

Two tenants with the same addresses, each with two networks and a router between them, on two
switches that a VLAN trunk joins; and a provider VLAN that leaves through a physical port of the
first, where both routers have their gateways::

    red1 red2 blue1 blue4 web -- s1 ===== trunk ===== s2 -- red3 red4 blue2 blue3
                                 |
                               uplink (VLAN 200, tagged)
                                 |
                                phy1 -- outside -- server      nobody of those is ours

Usable on its own, against a controller that runs already (``make run``)::

    sudo mn --custom mininet/topology.py --topo tenants --switch tenantry --controller remote

This file owns what is built; :mod:`demo` owns what is started around it and what is checked. It
runs on the system's Python with Mininet alone, and ``mn`` executes it by path: it must import
nothing of this project.
"""

import json
import urllib.error
import urllib.request
from ipaddress import ip_network
from urllib.parse import urlencode

from mininet.link import Intf
from mininet.node import Host, OVSBridge, OVSSwitch, RemoteController
from mininet.topo import Topo
from mininet.util import errRun

API = "http://127.0.0.1:9696"
#: Of both tenants: equal on purpose.
SUBNETS = {"": ("10.0.0.0/24", "fd00:a::/64"), "-db": ("10.0.1.0/24", "fd00:b::/64")}
PROVIDER_SUBNETS = ("203.0.113.0/24", "2001:db8:200::/64")
PROVIDER_VLAN = 200
SERVER_SUBNETS = ("198.51.100.0/24", "2001:db8:100::/64")  # behind the router outside
TRUNK, UPLINK = "trunk", "uplink"  # names of physical networks, as the controller's config has them

#: host -> (tenant, network, last part of its address). All but the third of each tenant have an
#: address that the other tenant uses too.
TENANT_HOSTS = {
    "red1": ("red", "", 11),
    "red2": ("red", "", 12),
    "red3": ("red", "", 13),
    "red4": ("red", "-db", 11),
    "blue1": ("blue", "", 11),
    "blue2": ("blue", "", 12),
    "blue3": ("blue", "", 14),
    "blue4": ("blue", "-db", 11),
}
#: network -> its VLAN on the trunk. Named here, so that the controller needs no option for it: what
#: it would choose itself are tunnels, from host to host, and these switches are on one.
TENANT_VLANS = {"red": 1000, "red-db": 1001, "blue": 1002, "blue-db": 1003}
#: host -> its switch, here
PLACES = dict.fromkeys(("red1", "red2", "blue1", "blue4"), "s1")
PLACES |= dict.fromkeys(("red3", "red4", "blue2", "blue3"), "s2")
FLOATING = "red1"  # the host that has a floating IP


class Neutron:
    """As much of a Neutron client as a topology needs."""

    def __init__(self, api=API, token=None):
        self.api = api
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["X-Auth-Token"] = token

    def request(self, method, path, body=None):
        """Send one request; return the decoded answer. Raises RuntimeError with Neutron's text."""
        request = urllib.request.Request(
            f"{self.api}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise RuntimeError(f"{method} {path} answered {error.code}: {text}") from None
        except urllib.error.URLError as error:
            raise RuntimeError(
                f"no Neutron API at {self.api} ({error.reason}); start one with `make run`"
            ) from None

    def list(self, kind, **filters):
        return self.request("GET", f"v2.0/{_dashed(kind)}s?{urlencode(filters)}")[f"{kind}s"]

    def ensure(self, kind, name, project_id, **body):
        """The resource of that name in that project, created with ``body`` if there is none."""
        found = self.list(kind, name=name, project_id=project_id)
        if found:
            return found[0]
        body.update(name=name, project_id=project_id)
        return self.request("POST", f"v2.0/{_dashed(kind)}s", {kind: body})[kind]

    def router(self, name, project_id, outside, subnets):
        """The router of that name, with an interface for each subnet, and a gateway ``outside``, if
        there is one."""
        gateway = {"external_gateway_info": outside and {"network_id": outside["id"]}}
        router = self.ensure("router", name, project_id, **gateway)
        ports = self.list("port", device_id=router["id"])
        there = {fixed["subnet_id"] for port in ports for fixed in port["fixed_ips"]}
        for subnet in subnets:
            if subnet["id"] not in there:
                path = f"v2.0/routers/{router['id']}/add_router_interface"
                self.request("PUT", path, {"subnet_id": subnet["id"]})
        return router

    def public(self, project_id):
        """The groups of a port that everybody may reach: its project's default group, and one that
        lets everything in."""
        group = self.ensure("security_group", "public", project_id)
        open_already = {
            rule["ethertype"]
            for rule in group["security_group_rules"]
            if rule["direction"] == "ingress"
        }
        for ethertype in {"IPv4", "IPv6"} - open_already:
            rule = {"direction": "ingress", "ethertype": ethertype, "project_id": project_id}
            body = {"security_group_rule": {"security_group_id": group["id"], **rule}}
            self.request("POST", "v2.0/security-group-rules", body)
        (default,) = self.list("security_group", name="default", project_id=project_id)
        return [default["id"], group["id"]]

    def floating_ip(self, outside, port):
        """The floating IP of a port, which gets one if it has none."""
        found = self.list("floatingip", port_id=port["id"])
        if found:
            return found[0]
        body = {
            "floating_network_id": outside["id"],
            "port_id": port["id"],
            "project_id": port["project_id"],
        }
        return self.request("POST", "v2.0/floatingips", {"floatingip": body})["floatingip"]


def _dashed(kind):
    return kind.replace("_", "-")


class TenantHost(Host):
    """A host that takes MAC, MTU and addresses from ``neutron_port`` (a dict of the API's).

    ``subnets`` holds the subnet of each address; ``mtu`` is the network's.
    """

    def config(self, neutron_port=None, subnets=(), mtu=1500, **params):
        if neutron_port is None:
            return super().config(**params)
        params.update(mac=neutron_port["mac_address"], ip=None)
        result = super().config(**params)
        intf = self.defaultIntf()
        commands = [f"ip link set {intf} mtu {mtu}"]
        by_id = {subnet["id"]: subnet for subnet in subnets}
        for fixed in neutron_port["fixed_ips"]:
            subnet = by_id[fixed["subnet_id"]]
            address = f"{fixed['ip_address']}/{ip_network(subnet['cidr']).prefixlen}"
            # Neutron guards addresses against duplicates: the kernel need not wait to find some.
            nodad = " nodad" if subnet["ip_version"] == 6 else ""
            commands.append(f"ip address add {address} dev {intf}{nodad}")
            if subnet["gateway_ip"] and subnet["gateway_ip"] != fixed["ip_address"]:
                commands.append(f"ip route replace default via {subnet['gateway_ip']}")
        # A userspace switch sees the frames before any hardware would fill the checksums in.
        commands.append(f"ethtool -K {intf} tx off >/dev/null")
        configure(self, *commands)
        return result


class TenantSwitch(OVSSwitch):
    """An Open vSwitch for Tenantry: fails secure, OpenFlow 1.4, interfaces bound to Neutron ports.

    The interface to a :class:`TenantHost` names the host's port as its ``iface-id``, which is what
    binds it; a link made with ``physical_network=NAME`` is marked as the way to that network.
    Without ``datapath`` it is the kernel's if there is one, else userspace.
    """

    def __init__(self, name, datapath=None, **params):
        params.setdefault("failMode", "secure")
        params.setdefault("protocols", "OpenFlow14")
        super().__init__(name, datapath=datapath or available_datapath(), **params)

    def intfOpts(self, intf):
        options = super().intfOpts(intf)
        link = intf.link
        peer = link.intf2 if link.intf1 is intf else link.intf1
        port = peer.node.params.get("neutron_port")
        if port is not None:
            options += f" external_ids:iface-id={port['id']}"
            options += f' external_ids:attached-mac=\\"{port["mac_address"]}\\"'
        physical_network = intf.params.get("physical_network")
        if physical_network is not None:
            options += f" external_ids:tenantry-physical-network={physical_network}"
        return options

    def start(self, controllers):
        for intf in self.intfList():
            silence(intf)
        super().start(controllers)


class Controller(RemoteController):
    """A controller that runs already."""

    def checkListening(self):
        """Mininet would ask with telnet, and choke on the bytes of an OpenFlow hello."""


class PhysicalSwitch(OVSBridge):
    """What stands in the rack: an ordinary learning switch, which Tenantry does not control.

    A link made with ``vlan=N`` is an access port of that VLAN; every other is a trunk.
    """

    def __init__(self, name, datapath=None, **params):
        super().__init__(name, datapath=datapath or available_datapath(), **params)

    def intfOpts(self, intf):
        options = super().intfOpts(intf)
        vlan = intf.params.get("vlan")
        return options if vlan is None else f"{options} -- set Port {intf} tag={vlan}"

    def start(self, controllers):
        for intf in self.intfList():
            silence(intf)
        super().start(controllers)


class NeutronTopo(Topo):
    """A topology whose networks and hosts are resources of the API: those that are missing are
    created, the others used as they are."""

    def tenants(self, neutron, provider, places, vlans=None):
        """Both tenants: networks, hosts on the switches that ``places`` names, and a router each
        that leads to ``provider``, a network and its subnets. ``vlans``: of networks on the trunk,
        by name; without, the controller chooses how they are carried."""
        networks = {}
        for name, (tenant, suffix, number) in TENANT_HOSTS.items():
            network = tenant + suffix
            if network not in networks:
                carried = on_wire(TRUNK, vlans[network]) if vlans else {}
                networks[network] = self.network(
                    neutron, network, tenant, SUBNETS[suffix], **carried
                )
            more = {"security_groups": neutron.public(tenant)} if name == FLOATING else {}
            port = self.tenant_host(
                neutron, name, tenant, places[name], number, *networks[network], **more
            )
            if name == FLOATING:
                floated = port
        for tenant in ("red", "blue"):
            subnets = [subnet for suffix in SUBNETS for subnet in networks[tenant + suffix][1]]
            neutron.router(tenant, tenant, provider[0], subnets)
        neutron.floating_ip(provider[0], floated)

    def beyond(self, subnets, switch, **link):
        """The router at the other end of the uplink, on a switch there, and the server behind it.
        Neither is of Neutron's world; ``link`` is what the link to the switch is to be."""
        behind = [
            {"id": cidr, "cidr": cidr, "ip_version": ip_network(cidr).version}
            | {"gateway_ip": str(ip_network(cidr)[1])}
            for cidr in SERVER_SUBNETS
        ]
        self.stranger("outside", "02:00:00:00:02:00", subnets, 1, cls=OutsideRouter)
        self.addLink("outside", switch, **link)
        self.stranger("server", "02:00:00:00:02:07", behind, 7)
        self.addLink("outside", "server")

    def stranger(self, name, mac, subnets, number, cls=None):
        """A host of the physical world, with the ``number``-th address of each subnet."""
        stranger = {"id": None, "mac_address": mac, "fixed_ips": addresses(subnets, number)}
        self.addHost(name, cls=cls or OutsideHost, stranger=stranger, subnets=subnets)

    def network(self, neutron, name, project, cidrs, **body):
        """The network of that name and its subnets."""
        network = neutron.ensure("network", name, project, **body)
        subnets = [
            neutron.ensure(
                "subnet",
                f"{name}-ipv{ip_network(cidr).version}",
                project,
                network_id=network["id"],
                cidr=cidr,
                ip_version=ip_network(cidr).version,
            )
            for cidr in cidrs
        ]
        return network, subnets

    def tenant_host(self, neutron, name, project, switch, number, network, subnets, **more):
        port = neutron.ensure(
            "port",
            name,
            project,
            network_id=network["id"],
            fixed_ips=addresses(subnets, number),
            **more,
        )
        self.addHost(name, cls=TenantHost, neutron_port=port, subnets=subnets, mtu=network["mtu"])
        self.addLink(name, switch)
        return port


class Tenants(NeutronTopo):
    def build(self, neutron=None):
        neutron = neutron or Neutron()
        self.addSwitch("s1")
        self.addSwitch("s2")
        self.addLink("s1", "s2", physical_network=TRUNK)
        provider = self.network(
            neutron,
            "provider",
            "provider",
            PROVIDER_SUBNETS,
            **{"router:external": True, **on_wire(UPLINK, PROVIDER_VLAN)},
        )
        self.tenants(neutron, provider, PLACES, TENANT_VLANS)
        public = {"security_groups": neutron.public("provider")}
        self.tenant_host(neutron, "web", "provider", "s1", 10, *provider, **public)

        # The dpid is for OVSDB alone: by default Mininet would give it s1's, after the digit.
        self.addSwitch("phy1", cls=PhysicalSwitch, dpid="00000000000000ff")
        self.addLink("s1", "phy1", params1={"physical_network": UPLINK})
        self.beyond(provider[1], "phy1", params2={"vlan": PROVIDER_VLAN})


class OutsideHost(TenantHost):
    """A host of the physical world: configured like a tenant's, known to nobody."""

    def config(self, stranger, **params):
        return super().config(neutron_port=stranger, **params)


class OutsideRouter(OutsideHost):
    """The router at the other end of the uplink, with the server's networks behind it."""

    def config(self, stranger, **params):
        result = super().config(stranger, **params)
        behind = self.intfList()[-1]
        commands = [
            f"ip address add {ip_network(c)[1]}/{ip_network(c).prefixlen} dev {behind}"
            for c in SERVER_SUBNETS
        ]
        commands.append("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        commands.append(f"ethtool -K {behind} tx off >/dev/null")
        configure(self, *commands)
        return result


def on_wire(physical_network, vlan):
    """What a network says that is a VLAN of a physical network."""
    return {
        "provider:network_type": "vlan",
        "provider:physical_network": physical_network,
        "provider:segmentation_id": vlan,
    }


def addresses(subnets, number):
    """``fixed_ips`` with the ``number``-th address of each subnet."""
    return [
        {"subnet_id": subnet["id"], "ip_address": str(ip_network(subnet["cidr"])[number])}
        for subnet in subnets
    ]


def configure(node, *commands):
    """Run shell commands in a node that say nothing when all is well; RuntimeError if they do."""
    output = node.cmd("; ".join(commands)).strip()
    if output:
        raise RuntimeError(f"{node} could not be configured: {output}")


def available_datapath():
    """Mininet's word for the datapath to use: ``kernel`` where the module is there or loads."""
    _, _, failed = errRun("ovs-dpctl dump-dps")
    return "user" if failed else "kernel"


def silence(intf: Intf):
    """Stop the kernel from speaking IPv6 on an interface that belongs to a switch."""
    with open(f"/proc/sys/net/ipv6/conf/{intf}/disable_ipv6", "w") as setting:
        setting.write("1")


topos = {"tenants": Tenants}
switches = {"tenantry": TenantSwitch}
hosts = {"tenantry": TenantHost}
