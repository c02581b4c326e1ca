# SPDX-License-Identifier: Apache-2.0

"""Several machines with an Open vSwitch each, an underlay between them, and a controller that they
join by one command.

::

    controller --- mgmt (bridge) --- machine 1, 2, ...   192.168.78.0/24: OVSDB and OpenFlow
                   under (bridge) -- machine 1, 2, ...   192.168.77.0/24: tunnels
                   ext (bridge) ---- those with an uplink, and the router outside
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tenantry.controller.cli import features
from tenantry.controller.model import Binding, Interface, Switch
from tenantry.controller.serve import Controller
from tests.lab import Lab, written
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch
from tests.outside import furnish, wired

CONTROLLER = "192.168.78.254"


class Machine(OpenVSwitch):
    """An Open vSwitch in a namespace of its own, with a leg in each of the bridges."""

    def __init__(self, number: int, *, uplink: bool = False, version: int = 4) -> None:
        """``version``: of the addresses that tunnels have."""
        super().__init__()
        self.number = number
        self.name = f"host{number}"
        self.uplink = uplink
        self.tunnel_address = f"192.168.77.{number}" if version == 4 else f"fd00:77::{number}"
        self._tunnel_prefix = f"{self.tunnel_address}/{24 if version == 4 else 64}"
        self.guest = Guest()
        self._within = self.guest.command()

    def __enter__(self) -> Machine:
        self._leg("mgmt", "mgmt", f"192.168.78.{self.number}/24")
        self._leg("under", "under")
        if self.uplink:
            self._leg("ext", "uplink")
        super().__enter__()
        # Userspace tunnels leave by an address of a bridge of their own Open vSwitch.
        self.vsctl(
            *("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev"),
            *("--", "add-port", "br-phy", "under"),
        )
        self._address()
        return self

    def _address(self) -> None:
        self.guest.run("sysctl", "-qw", "net.ipv6.conf.br-phy.accept_dad=0")
        self.guest.run("ip", "link", "set", "br-phy", "up")
        self.guest.run("ip", "address", "replace", self._tunnel_prefix, "dev", "br-phy")
        self.guest.run("ethtool", "-K", "br-phy", "tx", "off")

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.guest.close()

    def _leg(self, bridge: str, name: str, address: str = "") -> None:
        ours, theirs = f"{bridge[0]}{self.number}", f"t{bridge[0]}{self.number}"
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        run("ip", "link", "set", ours, "master", bridge)
        wired(ours)
        self.guest.take(theirs)
        self.guest.run("ip", "link", "set", theirs, "name", name)
        self.guest.run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
        self.guest.run("ip", "link", "set", name, "up")
        self.guest.run("ethtool", "-K", name, "tx", "off")
        if address:
            self.guest.run("ip", "address", "add", address, "dev", name)

    def start_switch(self) -> None:
        super().start_switch()
        self.vsctl(
            *("set", "Open_vSwitch", ".", f"external_ids:hostname={self.name}"),
            f"external_ids:tenantry-encap-ip={self.tunnel_address}",
        )

    def crash(self) -> None:
        """ovs-vswitchd dies; with it the bridge that has the tunnel's address."""
        self.crash_switch()

    def restart(self) -> None:
        self.start_switch()
        self._address()

    def cut(self, leg: str = "under", *, mend: bool = False) -> None:
        """Pull the cable to a bridge, or plug it in again."""
        run("ip", "link", "set", f"{leg[0]}{self.number}", "up" if mend else "down")

    def join(self, port: int) -> None:
        """The one command."""
        self.vsctl("set-manager", f"tcp:{CONTROLLER}:{port}")
        if self.uplink:
            self.vsctl("--no-wait", "--may-exist", "add-br", "br-ex")
            self.vsctl(
                *("set", "bridge", "br-ex", "datapath_type=netdev", "--"),
                *("--may-exist", "add-port", "br-ex", "uplink", "--", "set", "Open_vSwitch", "."),
                "external_ids:tenantry-bridge-mappings=uplink:br-ex",
            )


class OwnHost(OpenVSwitch):
    """The controller's: an Open vSwitch in the test's own namespace, with a leg in ``under``."""

    def __init__(self, version: int = 4) -> None:
        super().__init__()
        self._address = "192.168.77.254/24" if version == 4 else "fd00:77::254/64"

    def __enter__(self) -> OwnHost:
        run("ip", "link", "add", "uown", "type", "veth", "peer", "name", "own")
        run("ip", "link", "set", "uown", "master", "under")
        for leg in ("uown", "own"):
            wired(leg)
        super().__enter__()
        self.vsctl(
            *("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev"),
            *("--", "add-port", "br-phy", "own"),
        )
        run("sysctl", "-qw", "net.ipv6.conf.br-phy.accept_dad=0")
        run("ip", "link", "set", "br-phy", "up")
        run("ip", "address", "replace", self._address, "dev", "br-phy")
        run("ethtool", "-K", "br-phy", "tx", "off")
        return self


class Farm(Lab):
    """The machines and their controller. Use :func:`farm` to make one."""

    def __init__(self, file: Path, machines: list[Machine]) -> None:
        self._file = file
        controller = Controller(features.load([str(file)]))
        self.machines = machines
        self._by_switch: dict[str, Machine] = {machine.name: machine for machine in machines}
        self.stopped = False
        super().__init__(controller, machines[0])

    def join(self, machine: Machine) -> int:
        """A machine joins; its datapath id, once its switch is as it should be."""
        if machine not in self.machines:
            self.machines.append(machine)
        assert self.controller.joining is not None
        machine.join(self.controller.joining.port)
        self.until(lambda: self._dpid(machine) in self.controller.progress.reconcilers)
        self.settle()
        dpid = self._dpid(machine)
        assert dpid is not None
        if machine.uplink:
            self.until(
                lambda: bool(
                    self.controller.model.ids(
                        Interface, ("switch", "physical_network"), (dpid, "uplink")
                    )
                )
            )
            self.settle()
        return dpid

    def _dpid(self, machine: Machine) -> int | None:
        switches = self.controller.model.all(Switch).values()
        return next((s.id for s in switches if s.host == machine.name and s.integration), None)

    def plug(self, machine: Machine, port: Any, *, bare: bool = False) -> Guest:
        """A guest on a machine, plugged in as a port; waits until ACTIVE."""
        guest, ours = self.prepare(machine, port, bare=bare)
        machine.vsctl(
            *("--no-wait", "add-port", "br-int", ours, "--", "set", "interface", ours),
            f"external_ids:iface-id={port['id']}",
        )
        self.until(lambda: self.controller.status.port(port["id"]) == "ACTIVE")
        return guest

    def unplug(self, port: Any) -> None:
        """Take a port's interface off its switch; waits until DOWN. The guest is as it was."""
        binding = self.controller.model.get(Binding, port["id"])
        assert binding is not None
        machine = self._by_switch[binding.host]
        machine.vsctl("--no-wait", "del-port", "br-int", binding.interface)
        self.until(lambda: self.controller.status.port(port["id"]) == "DOWN")

    def prepare(self, machine: Machine, port: Any, *, bare: bool = False) -> tuple[Guest, str]:
        """A guest with a cable to a machine, that is not plugged in yet; the cable's end there."""
        guest = Guest()
        self._guests.append(guest)
        number = next(self._numbers)
        ours, theirs = f"tap{number}", f"eth{number}"
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        machine.guest.take(ours)
        machine.guest.run("sysctl", "-qw", f"net.ipv6.conf.{ours}.disable_ipv6=1")
        machine.guest.run("ip", "link", "set", ours, "up")
        guest.take(theirs)
        guest.run("ip", "link", "set", theirs, "name", "eth0")
        guest.run("ip", "link", "set", "eth0", "address", port["mac_address"])
        mtu = self.api("GET", f"/v2.0/networks/{port['network_id']}")["network"]["mtu"]
        guest.run("ip", "link", "set", "eth0", "mtu", mtu)
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        if not bare:
            self.bring_up(guest, port)
        return guest, ours

    def bring_up(self, guest: Guest, port: Any) -> None:
        """Addresses and default routes, as of the port's subnets."""
        guest.run("ip", "link", "set", "eth0", "up")
        for ip in port["fixed_ips"]:
            subnet = self.api("GET", f"/v2.0/subnets/{ip['subnet_id']}")["subnet"]
            length = subnet["cidr"].rpartition("/")[2]
            guest.run("ip", "address", "replace", f"{ip['ip_address']}/{length}", "dev", "eth0")
            if subnet["gateway_ip"]:
                guest.run("ip", "route", "replace", "default", "via", subnet["gateway_ip"])

    def stop_controller(self) -> None:
        """As if its machine were switched off."""
        if not self.stopped:
            self.stopped = True
            self.controller.stop()

    def start_controller(self) -> None:
        """Once more, with what it had stored; it is back when all machines are."""
        self.controller = Controller(features.load([str(self._file)]))
        self.stopped = False
        self.until(
            lambda: all(
                self._dpid(m) in self.controller.progress.reconcilers for m in self.machines
            )
        )
        self.settle()

    def close(self) -> None:
        for guest in self._guests:
            guest.close()
        self.stop_controller()

    def bound(self, port: Any) -> str | None:
        """The machine where a port is."""
        binding = self.controller.model.get(Binding, port["id"])
        return binding.host if binding else None

    def flows_on(self, machine: Machine) -> set[str]:
        """What is installed in a machine's switch, without counters and what it has learned."""
        dump = machine.ofctl("--no-stats", "--names", "dump-flows", "br-int")
        lines = (line.strip() for line in dump.splitlines() if "actions=" in line)
        learned = ("table=L2_LEARNED", "table=SERVICE_BACK", "table=DROPPED")
        return {line for line in lines if not any(table in line for table in learned)}

    def take_effect(self) -> None:
        self.settle()
        for machine in self.machines:
            machine.appctl("revalidator/wait")

    def dump(self) -> str:
        """For a person who wants to know what went wrong."""
        return "\n".join(
            f"=== {m.name}\n{m.vsctl('show')}\n{m.ofctl('--names', 'dump-flows', 'br-int')}"
            for m in self.machines
        )


class Beyond:
    """What is outside: a router on ``ext``, and the server behind it, as in tests/outside.py."""

    def __init__(self, net: Farm) -> None:
        wire = {"provider:network_type": "flat", "provider:physical_network": "uplink"}
        self.network = net.external("203.0.113.0/24", "2001:db8::/64", **wire)
        self.router, self.server = Guest(), Guest()
        net._guests += [self.router, self.server]
        run("ip", "link", "add", "eo", "type", "veth", "peer", "name", "eo2")
        run("ip", "link", "set", "eo", "master", "ext")
        wired("eo")
        self.router.take("eo2")
        self.router.run("ip", "link", "set", "eo2", "name", "eth0")
        furnish(self.router, self.server)


def bridges() -> None:
    """The three bridges, in the test's own namespace."""
    for name in ("mgmt", "under", "ext"):
        run("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0")
        wired(name)
    run("ip", "address", "add", f"{CONTROLLER}/24", "dev", "mgmt")


@contextmanager
def machines(count: int, uplinks: int = 0, version: int = 4) -> Iterator[list[Machine]]:
    """So many machines; the first ``uplinks`` of them reach the outside. ``version``: of the
    addresses that tunnels have."""
    bridges()
    with ExitStack() as stack:
        yield [
            stack.enter_context(Machine(number, uplink=number <= uplinks, version=version))
            for number in range(1, count + 1)
        ]


@contextmanager
def farm(
    directory: Path,
    started: list[Machine],
    *,
    join: bool = True,
    groups: bool = False,
    **options: str,
) -> Iterator[Farm]:
    """A controller, and machines that have joined it. ``groups``: security groups are as in
    production, not open. Options as in :func:`tests.lab.lab`."""
    values = {
        "openflow__listen": f"{CONTROLLER}:6653",
        "ovsdb__listen": f"{CONTROLLER}:6640",
        "ovsdb__connections": "",
        "ovsdb__datapath_type": "netdev",
        "networks__tenant_network_type": "vxlan",
        "networks__physical_mtu": "1500",
        # Switches that share two processors with others may not be heard for a second.
        "overlay__bfd_multiplier": "15",
        **options,
    }
    file = written(directory, values)
    made = Farm(file, list(started))
    try:
        if not groups:
            made.open_default_groups()
        for machine in started if join else ():
            made.join(machine)
        yield made
    finally:
        made.close()


def unreached(
    guests: list[Guest], addresses: list[str], *, patient: bool = True
) -> list[tuple[int, str]]:
    """Which of these addresses which guest (by its place in the list) cannot ping, all at once."""
    pairs = [(number, address) for number in range(len(guests)) for address in addresses]
    asked = [(guests[number], address) for number, address in pairs]
    found = zip(pairs, answered(asked, patient=patient), strict=True)
    return [pair for pair, reached in found if not reached]


def answered(questions: list[tuple[Guest, str]], *, patient: bool = False) -> list[bool]:
    """Whether each guest gets an answer when it pings its address. All at once; each ends with its
    first answer, or after some two seconds; half a minute if ``patient``, as whoever expects every
    answer should be."""
    tries, seconds = (30, 1) if patient else (7, 0.3)
    # Not `-c 1 -w 2`, which ends with the first error, of a neighbour looked for before, say.
    again = f"for try in $(seq {tries}); do ping -n -q -c 1 -W {seconds} $0 && exit; done; exit 1"
    pings = [guest.start("sh", "-c", again, address) for guest, address in questions]
    for ping in pings:
        ping.communicate()
    return [ping.returncode == 0 for ping in pings]
