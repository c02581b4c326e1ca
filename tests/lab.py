# SPDX-License-Identifier: Apache-2.0

"""A whole controller in the test's own process, on a real Open vSwitch, with guests plugged in.

The API is called as WSGI; switches and OVSDB are reached as in production. Everything waits on
revisions that switches have confirmed, never on the clock.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from webob import Request

from tenantry.apps.security_groups import SECURITY_GROUPS
from tenantry.controller import runtime, serve
from tenantry.controller.api.tenantry import operations
from tenantry.controller.cli import features
from tenantry.controller.model import Interface
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.nicira import LEARNED_PRIORITY
from tenantry.controller.openflow.pipeline import DROP_CAUSE, Table
from tenantry.controller.serve import Controller
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch

SETTLE_SECONDS = 60  # for a machine that does thirty things at once; an event ends it


class Refused(Exception):
    """The API answered with an error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Lab:
    """A controller with its Open vSwitch. Use :func:`lab` to make one."""

    def __init__(self, controller: Controller, ovs: OpenVSwitch) -> None:
        self.controller = controller
        self.ovs = ovs
        self._guests: list[Guest] = []
        self._numbers = itertools.count(1)

    # --- the API -----------------------------------------------------------------------------

    def api(self, method: str, path: str, body: Any = None, project: str = "demo") -> Any:
        """Call the API; the decoded answer. Errors: Refused."""
        request = Request.blank(path, method=method, headers={"X-Project-Id": project})
        if body is not None:
            request.json = body
        response = request.get_response(self.controller.application)
        answer = json.loads(response.body) if response.body else None
        if response.status_code >= 400:
            raise Refused(response.status_code, answer)
        return answer

    def create(self, kind: str, project: str = "demo", **attributes: Any) -> Any:
        return self.api("POST", f"/v2.0/{kind}s", {kind: attributes}, project)[kind]

    def update(self, kind: str, id: str, **attributes: Any) -> Any:
        return self.api("PUT", f"/v2.0/{kind}s/{id}", {kind: attributes})[kind]

    def delete(self, kind: str, id: str) -> None:
        self.api("DELETE", f"/v2.0/{kind}s/{id}")

    def network(
        self, *cidrs: str, project: str = "demo", pool6: str | None = None, **attributes: Any
    ) -> Any:
        """A network with a subnet for each CIDR, those of IPv6 from the pool, if there is one."""
        network = self.create("network", project, **attributes)
        for cidr in cidrs:
            self._subnet(network, project, cidr, pool6)
        return network

    def external(self, *cidrs: str, pool6: str | None = None, **attributes: Any) -> Any:
        """A network that leads outside, with a subnet for each CIDR."""
        network = self.create("network", **{"router:external": True}, **attributes)
        for cidr in cidrs:
            self._subnet(network, "demo", cidr, pool6, enable_dhcp=False)
        return network

    def _subnet(
        self, network: Any, project: str, cidr: str, pool6: str | None, **more: Any
    ) -> None:
        if ":" in cidr and pool6:
            more["subnetpool_id"] = pool6
        more |= {"network_id": network["id"], "cidr": cidr, "ip_version": 6 if ":" in cidr else 4}
        self.create("subnet", project, **more)

    def subnets(self, network: Any) -> list[Any]:
        found: list[Any] = self.api("GET", f"/v2.0/subnets?network_id={network['id']}")["subnets"]
        return found

    def router(
        self, *networks: Any, outside: Any = None, project: str = "demo", **attributes: Any
    ) -> Any:
        """A router with an interface for each subnet of these networks, and perhaps a gateway."""
        if outside is not None:
            attributes["external_gateway_info"] = {
                "network_id": outside["id"],
                **attributes.pop("gateway", {}),
            }
        router = self.create("router", project, **attributes)
        for network in networks:
            for subnet in self.subnets(network):
                self.interface(router, subnet_id=subnet["id"])
        return self.api("GET", f"/v2.0/routers/{router['id']}")["router"]

    def interface(self, router: Any, action: str = "add", **what: str) -> Any:
        """Add or remove an interface of a router by ``subnet_id`` or ``port_id``."""
        path = f"/v2.0/routers/{router['id']}/{action}_router_interface"
        return self.api("PUT", path, what, router["project_id"])

    def floating_ip(self, outside: Any, port: Any = None, **attributes: Any) -> Any:
        port_id = port and port["id"]
        return self.create(
            "floatingip", floating_network_id=outside["id"], port_id=port_id, **attributes
        )

    def port(self, network: Any, **attributes: Any) -> Any:
        return self.create("port", network["project_id"], network_id=network["id"], **attributes)

    def status(self, port: Any) -> str:
        status: str = self.api("GET", f"/v2.0/ports/{port['id']}")["port"]["status"]
        return status

    def open_default_groups(self) -> None:
        """What is not about security groups is allowed by them."""
        for ethertype in ("IPv4", "IPv6"):
            rule = {"direction": "ingress", "ethertype": ethertype, "used_in_default_sg": True}
            with suppress(Refused):  # from before a restart
                body = {"default_security_group_rule": rule}
                self.api("POST", "/v2.0/default-security-group-rules", body)

    def logged(self) -> list[Any]:
        """The newest lines of the network log."""
        lines: list[Any] = self.api("GET", "/tenantry/v1/network-log")
        return lines

    # --- the switches ------------------------------------------------------------------------

    def add_bridge(self, name: str) -> None:
        """A bridge that connects to the controller."""
        self.ovs.add_bridge(name, f"tcp:{self.controller.openflow}")
        self.until(lambda: any(s.name == name for s in self.controller.status.switches()))
        self.settle()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that passes of the controller bring about."""
        assert self.controller.progress.wait_until(condition, SETTLE_SECONDS), (
            "it did not come about"
        )

    def settle(self) -> None:
        """Until every switch has confirmed everything that the controller knows of."""
        assert self.controller.status.wait_settled(SETTLE_SECONDS), (
            "switches did not confirm in time"
        )

    def take_effect(self) -> None:
        """Until, besides, the datapath has forgotten what it remembers of other flows."""
        self.settle()
        self.ovs.appctl("revalidator/wait")

    def flows(self, bridge: str) -> list[str]:
        """What is installed, sorted, without counters, and accounts of what was dropped."""
        dump = self.ovs.ofctl("--no-stats", "--names", "dump-flows", bridge)
        lines = (line.strip() for line in dump.splitlines() if "actions=" in line)
        return sorted(line for line in lines if "table=DROPPED" not in line)

    def drop_account(self, match: Mapping[str, int]) -> None:
        """Give the switch a flow of DROPPED, as it would have learned it of a packet."""
        words = [f"{field}={value}" for field, value in match.items()]
        words += [f"table={Table.DROPPED.id}", f"cookie={Cookie.DROPS}", "idle_timeout=999"]
        words += [f"priority={LEARNED_PRIORITY}", f"actions=load:0->NXM_NX_{DROP_CAUSE.upper()}[]"]
        self.ovs.ofctl("add-flow", "br-int", ",".join(words))

    def verify(self) -> None:
        """Wanted equals a computation from nothing, and installed equals wanted."""
        answer = operations.verify(self.controller.running)
        assert answer["ok"], answer

    # --- what is plugged in ------------------------------------------------------------------

    def attach(self, port: Any, bridge: str = "br-int", interface: str | None = None) -> str:
        """An interface on a bridge with the port's iface-id; its name. Waits until ACTIVE."""
        name = interface or f"if{next(self._numbers)}"
        kind = [] if interface or self.ovs.dummy else ["type=internal"]
        self.ovs.vsctl(
            *("add-port", bridge, name, "--", "set", "interface", name, *kind),
            f"external_ids:iface-id={port['id']}",
        )
        self.until(lambda: self.status(port) == "ACTIVE")
        return name

    def detach(self, interface: str) -> None:
        self.ovs.vsctl("del-port", interface)
        self.until(
            lambda: all(name != interface for _, name in self.controller.model.all(Interface))
        )
        self.settle()

    def wire(self, bridge: str, interface: str, physical_network: str) -> None:
        """Put an interface that exists on a bridge, as one that leads to a physical network."""
        self.ovs.vsctl(
            *("add-port", bridge, interface, "--", "set", "interface", interface),
            f"external_ids:tenantry-physical-network={physical_network}",
        )
        self.until(
            lambda: any(
                name == interface and record.physical_network == physical_network
                for (_, name), record in self.controller.model.all(Interface).items()
            )
        )
        self.settle()

    def guest(
        self, port: Any | None = None, bridge: str = "br-int", *, bare: bool = False
    ) -> Guest:
        """A machine; with ``port``, plugged into a bridge as it, with its MAC and addresses. One
        that is ``bare`` has the MAC address only, and its interface is down."""
        guest = Guest()
        self._guests.append(guest)
        if port is not None:
            number = next(self._numbers)
            ours, theirs = f"tap{number}", f"eth{number}"
            run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
            # Of itself it says nothing: the guest hears what the switch sends, and that alone.
            run("ip", "link", "set", ours, "addrgenmode", "none", "up")
            guest.take(theirs)
            guest.run("ip", "link", "set", theirs, "name", "eth0")
            guest.run("ip", "link", "set", "eth0", "address", port["mac_address"])
            guest.run("ethtool", "-K", "eth0", "tx", "off")  # userspace OVS sends none of its own
            if not bare:
                guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
                guest.run("ip", "link", "set", "eth0", "up")
            for ip in () if bare else port["fixed_ips"]:
                subnet = self.api("GET", f"/v2.0/subnets/{ip['subnet_id']}")["subnet"]
                length = subnet["cidr"].rpartition("/")[2]
                guest.run("ip", "address", "add", f"{ip['ip_address']}/{length}", "dev", "eth0")
            self.attach(port, bridge, ours)
        return guest

    def close(self) -> None:
        for guest in self._guests:
            guest.close()
        self.controller.stop()


def eventually(condition: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> bool:
    """Whether it comes to be so: for what OVSDB or the kernel says, which wakes nobody here."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        runtime.sleep(0.02)
    return True


def written(directory: Path, values: dict[str, str]) -> Path:
    """A configuration file in a directory that has the controller's other files, too."""
    values = {
        "store__url": f"sqlite:///{directory}/tenantry.db",
        "api__listen": "127.0.0.1:0",
        "network_log__file": f"{directory}/network.log",
        "health__file": f"{directory}/health.json",
        **values,
    }
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        group, _, option = name.partition("__")
        sections.setdefault(group, []).append(f"{option} = {value}")
    file = directory / "tenantry.conf"
    file.write_text("".join(f"[{g}]\n" + "\n".join(o) + "\n" for g, o in sections.items()))
    return file


@contextmanager
def lab(
    ovs: OpenVSwitch, directory: Path, *, groups: bool | None = None, **options: str
) -> Iterator[Lab]:
    """A running controller on ``ovs``. ``options`` are "group__name" of configuration options.

    With ``groups``, security groups are as in production; without (False), they are left out. If
    nobody says (None), they are in nobody's way: on a real switch every default group is open, on a
    dummy one, where nothing tracks connections, they are left out.
    """
    values = {
        "openflow__listen": "127.0.0.1:0",
        "ovsdb__connections": ovs.remote,
        "ovsdb__datapath_type": "dummy" if ovs.dummy else "netdev",
        # One host: its networks have the MTU of the wires, and so do its guests.
        "networks__tenant_network_type": "" if "networks__vlan_ranges" in options else "local",
        **options,
    }
    file = written(directory, values)
    left_out = groups is False or (groups is None and ovs.dummy)
    apps = [app for app in serve.APPS if app is not SECURITY_GROUPS or not left_out]
    made = Lab(Controller(features.load([str(file)]), apps), ovs)
    try:
        if groups is None and not left_out:
            made.open_default_groups()
        if values.get("ovsdb__integration_bridge", "br-int"):
            made.until(lambda: bool(made.controller.progress.reconcilers))
            made.settle()
        yield made
    finally:
        made.close()
