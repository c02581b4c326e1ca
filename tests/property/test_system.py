# SPDX-License-Identifier: Apache-2.0

"""The whole controller against its oracle: a real store, a real Open vSwitch, and anything that may
happen to them, in any order.

After whatever happened, once all is confirmed: every switch holds exactly what a computation from
nothing wants; what the API says is in the database; ports are where, and frames go where, the
plain reference model (``system_reference.py``) expects; nothing speaks of what was deleted; and
nothing that did not change was touched.

``make test`` runs a few dozen histories, the same each time; ``make fuzz`` runs new ones.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tenantry.controller import runtime
from tenantry.controller.switch import reconcile
from tests.conftest import need
from tests.openvswitch import OpenVSwitch
from tests.property.system_faults import dying_after
from tests.property.system_reference import HOST, Plug
from tests.property.system_stage import BROADCAST, STRANGER, Stage
from tests.property.system_switch import leaves_by, ours, prod

TAPS = ("tap0", "tap1", "tap2", "tap3", "tap4")
WIRES = ("wire0", "wire1")
PHYSICAL_NETWORKS = ("red", "blue")
CIDRS = ("10.0.0.0/28", "10.0.0.16/29", "fd00::/64", "fd00:0:0:1::/64")
MACS = ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "fa:16:3e:00:00:03")
ADDRESSES = ("10.0.0.5", "10.0.0.6", "10.0.0.20", "fd00::5", "192.0.2.1")
NOBODY = "tcp:127.0.0.1:1"
"""A controller that no switch ever reaches."""

HANDS = {
    "set-controller": ("set-controller", "br-int", NOBODY),
    "del-controller": ("del-controller", "br-int"),
    "standalone": ("set-fail-mode", "br-int", "standalone"),
    "all at once": ("del-controller", "br-int", "--", "del-fail-mode", "br-int"),
    "protocols": ("set", "bridge", "br-int", "protocols=OpenFlow10"),
    "nobody's": ("remove", "bridge", "br-int", "external_ids", "tenantry-store"),
}

PICK = st.integers(0, 7)
"""Which of what there is: the remainder decides, so that any number is good."""

RESTARTS = itertools.count()


def running(function: Any) -> Any:
    return precondition(lambda self: self.lab is not None)(function)


class System(Stage):
    """The rules are what may happen. None waits for what it brings about, unless it must."""

    @initialize(bundle=st.sampled_from([2000, 3]), bridges=st.sampled_from([2, 1]))
    def begin(self, bundle: int, bridges: int) -> None:
        """Two ports of a VLAN network, on one bridge or on two, with a wire on each."""
        patch = mock.patch.object(reconcile, "BUNDLE_MESSAGES", bundle)
        self.resources.enter_context(patch)
        self.vsctl(*["--if-exists", "del-br", "br-int", "--", "--if-exists", "del-br", "br-two"])
        self.start(blind=False)
        self.reference.bridges["br-int"] = self.dpid("br-int")
        self.check()
        self.empty = self.matches("br-int")
        if bridges == 2:
            self.add_bridge()
        self.create_network(kind="vlan", n=0, segment=0)
        self.create_subnet(n=0, cidr=CIDRS[0])
        self.create_ports(n=0, count=3, security=False, host=0, by_name=None)
        for n in range(2):
            self.plug(TAPS[n], on=n, n=n, stranger=0)
            self.wire(WIRES[n], on=n, name=PHYSICAL_NETWORKS[0], port=None)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.finish()
        finally:
            self.resources.close()

    # --- the API -----------------------------------------------------------------------------

    @running
    @rule(
        kind=st.sampled_from(["default", "local", "flat", "vlan", "vlan"]),
        n=st.integers(0, 1),
        segment=st.integers(0, 2),
    )
    def create_network(self, kind: str, n: int, segment: int) -> None:
        body: dict[str, Any] = {} if kind == "default" else {"provider:network_type": kind}
        if kind in ("flat", "vlan"):
            body["provider:physical_network"] = PHYSICAL_NETWORKS[n]
        if kind == "vlan" and segment:
            body["provider:segmentation_id"] = 100 + segment
        self.note("network", self.ask("POST", "/v2.0/networks", {"network": body}))

    @running
    @rule(n=PICK, cidr=st.sampled_from(CIDRS))
    def create_subnet(self, n: int, cidr: str) -> None:
        version = 6 if ":" in cidr else 4
        body = {"network_id": self.some("network", n), "cidr": cidr, "ip_version": version}
        self.note("subnet", self.ask("POST", "/v2.0/subnets", {"subnet": body}))

    @running
    @rule(
        n=PICK,
        count=st.integers(1, 3),
        security=st.booleans(),
        host=st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
        by_name=st.none() | st.sampled_from(TAPS),
    )
    def create_ports(
        self, n: int, count: int, security: bool, host: int, by_name: str | None
    ) -> None:
        body = {
            "network_id": self.some("network", n),
            "port_security_enabled": security,
            **self.binding(host, by_name if count == 1 else None),
        }
        request = {"ports": [body] * count} if count > 1 else {"port": body}
        asked = {"binding:host_id": body["binding:host_id"]}
        self.note("port", self.ask("POST", "/v2.0/ports", request), **asked)

    def binding(self, host: int, by_name: str | None) -> dict[str, Any]:
        places = ["", HOST, "elsewhere"]
        places += [f"{dpid:016x}" for dpid in self.reference.bridges.values()]
        profile = {"interface_name": by_name} if by_name else {}
        return {"binding:host_id": places[host % len(places)], "binding:profile": profile}

    @running
    @rule(
        n=PICK,
        what=st.sampled_from(["name", "admin_state_up", "port_security_enabled", "mac", "ips"]),
        value=PICK,
    )
    def update_port(self, n: int, what: str, value: int) -> None:
        id = self.some("port", n)
        body: dict[str, Any] = {what: bool(value % 2)}
        if what == "name":
            body = {"name": f"name {value}"}
        elif what == "mac":
            body = {"mac_address": MACS[value % len(MACS)]}
        elif what == "ips":
            subnet = {"subnet_id": self.some("subnet", value)}
            address = {"ip_address": ADDRESSES[value % len(ADDRESSES)]}
            body = {"fixed_ips": ([], [subnet], [address], [subnet, address])[value % 4]}
        self.change_port(id, body)

    @running
    @rule(n=PICK, host=PICK, by_name=st.none() | st.sampled_from(TAPS))
    def bind_port(self, n: int, host: int, by_name: str | None) -> None:
        self.change_port(self.some("port", n), self.binding(host, by_name))

    def change_port(self, id: str, body: dict[str, Any]) -> None:
        answer = self.ask("PUT", f"/v2.0/ports/{id}", {"port": body})
        if answer:
            before = self.reference.ports[id]["binding:host_id"]
            self.note("port", answer, **{"binding:host_id": body.get("binding:host_id", before)})

    @running
    @rule(n=PICK, up=st.booleans())
    def switch_network(self, n: int, up: bool) -> None:
        body = {"network": {"admin_state_up": up}}
        self.note("network", self.ask("PUT", f"/v2.0/networks/{self.some('network', n)}", body))

    @running
    @rule(n=PICK, count=st.integers(2, 12))
    def rush(self, n: int, count: int) -> None:
        """Many callers at once, each with a port of its own."""
        body = {"port": {"network_id": self.some("network", n)}}
        callers = [runtime.spawn(self.ask, "POST", "/v2.0/ports", body) for _ in range(count)]
        for caller in callers:
            self.note("port", caller.wait())

    @running
    @rule(kind=st.sampled_from(["port", "port", "subnet", "network"]), n=PICK)
    def delete_some(self, kind: str, n: int) -> None:
        self.delete(kind, self.some(kind, n))

    # --- what is plugged in ------------------------------------------------------------------

    @rule(interface=st.sampled_from(TAPS), on=PICK, n=PICK, stranger=st.sampled_from([0, 0, 0, 1]))
    def plug(self, interface: str, on: int, n: int, stranger: int) -> None:
        self.put(interface, Plug(self.bridge(on), 0, iface_id=self.whose(n, bool(stranger))))

    @rule(
        interface=st.sampled_from(WIRES),
        on=PICK,
        name=st.sampled_from(PHYSICAL_NETWORKS),
        port=st.none() | PICK,
    )
    def wire(self, interface: str, on: int, name: str, port: int | None) -> None:
        """A wire to a physical network; ``port``: by mistake, it has a port's name, too."""
        iface_id = "" if port is None else self.whose(port, False)
        self.put(interface, Plug(self.bridge(on), 0, iface_id, name))

    @precondition(lambda self: self.reference.plugs)
    @rule(n=PICK)
    def unplug_some(self, n: int) -> None:
        plugs = list(self.reference.plugs)
        self.unplug(plugs[n % len(plugs)])

    @precondition(lambda self: self.reference.plugs)
    @rule(n=PICK, port=PICK, stranger=st.booleans())
    def relabel(self, n: int, port: int, stranger: bool) -> None:
        """Somebody changes his mind about whose an interface is."""
        plugs = {name: p for name, p in self.reference.plugs.items() if not p.physical_network}
        if plugs:
            interface = list(plugs)[n % len(plugs)]
            plugs[interface].iface_id = id = self.whose(port, stranger)
            ids = ("set", "interface", interface, f"external_ids:iface-id={id}")
            gone = ("remove", "interface", interface, "external_ids", "iface-id")
            self.vsctl(*(ids if id else gone))

    @running
    @precondition(lambda self: "br-two" not in self.reference.bridges)
    @rule()
    def add_bridge(self) -> None:
        self.ovs.add_bridge("br-two")
        self.connect("br-two")
        self.reference.bridges["br-two"] = self.dpid("br-two")

    @precondition(lambda self: "br-two" in self.reference.bridges)
    @rule()
    def delete_bridge(self) -> None:
        self.vsctl("del-br", "br-two")
        self.bridges_gone.add(f"{self.reference.bridges.pop('br-two'):016x}")
        self.offline.discard("br-two")
        plugs = self.reference.plugs
        self.reference.plugs = {n: plug for n, plug in plugs.items() if plug.bridge != "br-two"}

    @running
    @rule(n=PICK)
    def strange_frame(self, n: int) -> None:
        """A frame that the switch learns from, if it comes from where that is allowed."""
        plugs = list(self.reference.plugs.items())
        if plugs:
            interface, plug = plugs[n % len(plugs)]
            flow = f"in_port={interface},dl_src={STRANGER},dl_dst={BROADCAST}"
            leaves_by(self.ovs, plug.bridge, flow, "-generate")

    # --- what goes wrong ---------------------------------------------------------------------

    @running
    @rule(on=PICK, by_us=st.booleans())
    def lose_connection(self, on: int, by_us: bool) -> None:
        assert self.lab is not None
        bridge = self.bridge(on)
        if bridge in self.offline:
            return
        self.lab.until(lambda: self.connection(bridge) is not None)
        with self.undisturbed():
            before = self.connection(bridge)
            assert before is not None
            if by_us or self.is_owned(bridge):  # or it is mended before anybody notices
                before.close()
            self.connect(bridge)
            self.lab.until(lambda: self.connection(bridge) not in (None, before))

    @running
    @rule(on=PICK)
    def go_away(self, on: int) -> None:
        assert self.lab is not None
        bridge = self.bridge(on)
        if self.is_owned(bridge):
            return  # it would be taken back at once: see change_bridge
        self.vsctl("set-controller", bridge, NOBODY)
        self.offline.add(bridge)
        self.lab.until(lambda: self.connection(bridge) is None)

    @running
    @precondition(lambda self: self.offline)
    @rule(on=PICK)
    def come_back_some(self, on: int) -> None:
        bridges = sorted(self.offline)
        self.come_back(bridges[on % len(bridges)])

    @running
    @rule(how=st.sampled_from(sorted(HANDS)))
    def change_bridge(self, how: str) -> None:
        """Somebody has other plans with the integration bridge; the controller takes it back."""
        if self.is_owned("br-int"):
            self.check()
            self.vsctl(*HANDS[how])
            self.wait_for_bridge()

    @running
    @rule()
    def delete_integration_bridge(self) -> None:
        """It is made again; what was plugged in is not."""
        if self.is_owned("br-int"):
            self.check()
            self.vsctl("--no-wait", "del-br", "br-int")
            self.wait_for_bridge()
            self.reference.bridges["br-int"] = self.dpid("br-int")
            plugs = self.reference.plugs
            self.reference.plugs = {n: p for n, p in plugs.items() if p.bridge != "br-int"}

    @precondition(lambda self: self.relay.whole)
    @rule()
    def cut_ovsdb(self) -> None:
        self.relay.cut()

    @rule()
    def mend_ovsdb(self) -> None:
        self.relay.mend()

    @running
    @rule(
        on=PICK,
        n=st.integers(0, 50),
        how=st.sampled_from(["delete all", "delete one", "replace one", "add", "modify"]),
        found=st.sampled_from(["told", "audit", "connect", "restart"]),
    )
    def tamper(self, on: int, n: int, how: str, found: str) -> None:
        """Somebody changes flows by hand; it is mended when the switch tells, at the audit, at
        the next connection, at the next start."""
        bridge = self.bridge(on)
        if bridge in self.offline:
            return
        self.check()
        assert self.lab is not None
        before = ours(self.ovs, bridge)
        row = before[n % len(before)]
        words = {
            "delete all": ("del-flows", bridge),
            "delete one": ("del-flows", bridge, f"cookie={row.cookie:#x}/-1"),
            "replace one": ("add-flow", bridge, f"table={row.table},{row.match},actions=drop"),
            "add": ("add-flow", bridge, f"table={row.table},priority=999,actions=drop"),
            "modify": ("mod-flows", bridge, f"table={row.table},actions=drop"),
        }[how]
        reconciler = self.lab.controller.progress.reconcilers[self.reference.bridges[bridge]]
        repaired = reconciler.repaired
        told = reconciler.connection.on_foreign_changes
        if found != "told":
            reconciler.connection.on_foreign_changes = lambda tables: None
        self.ovs.ofctl(*words)
        if ours(self.ovs, bridge) == before:
            found = "nothing"  # these dropped already, or it is mended by now
        if found == "audit":
            reconciler._audit_at = 0
            reconciler.wake()
        if found in ("told", "audit"):
            self.lab.until(lambda: reconciler.repaired > repaired)
        elif found == "connect":
            self.connect(bridge)
            self.lab.until(lambda: self.connection(bridge) not in (None, reconciler.connection))
        elif found == "restart":
            self.stop()
            self.start(blind=False)
        reconciler.connection.on_foreign_changes = told
        self.check()
        assert ours(self.ovs, bridge) == before

    @running
    @rule()
    def stop_controller(self) -> None:
        self.stop()

    @precondition(lambda self: self.lab is None)
    @rule(blind=st.booleans())
    def start_controller(self, blind: bool) -> None:
        self.start(blind)

    @running
    @rule()
    def restart(self) -> None:
        with self.undisturbed():
            self.stop()
            self.start(blind=False)

    @running
    @rule(n=st.integers(1, 40), network=PICK, up=st.booleans(), again=st.booleans())
    def die(self, n: int, network: int, up: bool, again: bool) -> None:
        """In the middle of a push the connections end, between any two messages; ``again``: it was
        the controller that died, as by kill -9."""
        assert self.lab is not None
        controller = self.lab.controller
        with dying_after(n) as died:
            self.switch_network(network, not up)
            self.lab.until(lambda: died() or controller.status.settled())
            self.switch_network(network, up)
            self.lab.until(lambda: died() or controller.status.settled())
            if again:
                self.stop()
        if again:
            self.start(blind=False)
        elif died():
            for bridge in self.reference.bridges.keys() - self.offline:
                self.connect(bridge)

    @rule()
    def restart_switch(self) -> None:
        """Open vSwitch dies and comes back, without a single flow."""
        self.ovs.crash_switch()
        self.ovs.start_switch()
        # Something new, of which Open vSwitch must take note: wait until it has.
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:restarts={next(RESTARTS)}")
        self.reference.bridges = {bridge: self.dpid(bridge) for bridge in self.reference.bridges}
        prod(self.ovs)


@pytest.fixture(scope="module")
def one_ovs() -> Iterator[OpenVSwitch]:
    """One for all histories; each begins with its own bridges."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch(dummy=True) as ovs:
        yield ovs


def test_whatever_happens(one_ovs: OpenVSwitch) -> None:
    run_state_machine_as_test(
        lambda: System(one_ovs),  # type: ignore[arg-type]
        settings=settings(
            max_examples=settings().max_examples // 6,  # each takes a second, not a millisecond
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
