"""The whole controller against its oracle: a real store, a real Open vSwitch, and anything that may
happen to them, in any order.

After whatever happened, once all is confirmed: every switch holds exactly what a computation from
nothing wants; what the API says is in the database; ports are where, and frames go where, the
plain reference model (``system_reference.py``) expects; nothing speaks of what was deleted; and
nothing that did not change was touched.

``make test`` runs a few dozen histories, the same each time; ``make fuzz`` runs new ones.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import ovs.reconnect
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ovs.unixctl.client import UnixctlClient

from controller import runtime
from controller.api import operations
from controller.model import Interface
from controller.pipeline import PHYSICAL, Table
from controller.store import Store
from controller.switch import codec, ovsdb, reconcile
from controller.switch.channel import Connection, Disconnected
from tests.conftest import need
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch
from tests.property.system_reference import HOST, Plug, Reference
from tests.property.system_relay import Relay

TAPS = ("tap0", "tap1", "tap2", "tap3", "tap4")
WIRES = ("wire0", "wire1")
PHYSICAL_NETWORKS = ("red", "blue")
CIDRS = ("10.0.0.0/28", "10.0.0.16/29", "fd00::/64", "fd00:0:0:1::/64")
MACS = ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "fa:16:3e:00:00:03")
ADDRESSES = ("10.0.0.5", "10.0.0.6", "10.0.0.20", "fd00::5", "192.0.2.1")
STRANGER = "52:54:00:00:00:99"
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "tcp:127.0.0.1:1"
"""A controller that no switch ever reaches."""

PICK = st.integers(0, 7)
"""Which of what there is: the remainder decides, so that any number is good."""

STABLE = {
    "network": ("name", "project_id", "admin_state_up", "mtu"),
    "subnet": ("name", "network_id", "cidr", "gateway_ip", "allocation_pools"),
    "port": (
        *("name", "network_id", "mac_address", "fixed_ips", "admin_state_up"),
        *("port_security_enabled", "binding:profile"),
    ),
}
"""What nobody but the writer changes."""


TOWARDS_LATER_SWITCHES = f"set_field:{PHYSICAL:#x}->reg15"
"""After a restart, a switch forgets for a moment what is behind one that connects later."""


class FlowText(NamedTuple):
    """A flow as installed."""

    table: int
    cookie: int
    match: str
    actions: str


def installed(ovs: OpenVSwitch, bridge: str) -> dict[FlowText, float]:
    """The flows of a bridge with their ages, in seconds: 0 again when a flow is written again."""
    found = {}
    for line in ovs.ofctl("--no-names", "dump-flows", bridge).splitlines():
        if "actions=" in line:
            head, _, actions = line.partition(" actions=")
            words = re.split(r", ?", head.strip())
            named = dict(word.partition("=")[::2] for word in words)
            match = ",".join(w for w in words if w.partition("=")[0] not in _NOT_MATCH)
            age = float(named["duration"].rstrip("s"))
            flow = FlowText(int(named["table"]), int(named["cookie"], 16), match, actions)
            found[flow] = age
    return found


_NOT_MATCH = ("cookie", "duration", "table", "n_packets", "n_bytes", "idle_timeout", "idle_age")


def tell(ovs: OpenVSwitch, command: str, *words: str) -> str:
    """As ``ovs-appctl``, without a process: there are very many."""
    error, client = UnixctlClient.create(str(ovs.directory / "ovs-vswitchd.ctl"))
    assert not error
    try:
        error, failure, answer = client.transact(command, list(words))
    finally:
        client.close()
    assert not error and not failure, failure
    return str(answer)


def leaves_by(ovs: OpenVSwitch, bridge: str, flow: str, *options: str) -> set[str]:
    """The interfaces that a packet leaves by, each with its tag if it bears one there."""
    trace = tell(ovs, "ofproto/trace", bridge, flow, "--names", *options)
    out: set[str] = set()
    tag = ""
    for action in trace.rpartition("Datapath actions: ")[2].strip().split(","):
        if action.startswith("push_vlan"):
            tag = "." + action.partition("vid=")[2].rstrip(")")
        elif action == "pop_vlan":
            tag = ""
        elif action != "drop" and not action.startswith("pcp="):
            out.add(action + tag)
    return out


def running(function: Any) -> Any:
    return precondition(lambda self: self.lab is not None)(function)


class System(RuleBasedStateMachine):
    """The rules are what may happen. None waits for what it brings about, unless it must."""

    def __init__(self, ovs: OpenVSwitch) -> None:
        super().__init__()
        self.ovs = ovs
        self.lab: Lab | None = None
        self.reference = Reference()
        self.offline: set[str] = set()  # bridges that cannot reach us
        self.deleted: list[str] = []  # ids of ports
        self._zeros: dict[str, int] = {}
        self._restarts = 0
        self._resources = ExitStack()
        self._running = ExitStack()
        self.directory = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
        self._resources.enter_context(impatience())
        self.relay = Relay(self.directory / "db.sock", ovs.directory / "db.sock")
        self._resources.callback(self.relay.cut)
        self._resources.callback(self._running.close)

    @initialize(bundle=st.sampled_from([2000, 3]))
    def begin(self, bundle: int) -> None:
        patch = mock.patch.object(reconcile, "BUNDLE_MESSAGES", bundle)
        self._resources.enter_context(patch)
        self.vsctl(*["--if-exists", "del-br", "br-int", "--", "--if-exists", "del-br", "br-two"])
        self.start(blind=False)
        self.reference.bridges["br-int"] = self.dpid("br-int")
        self.check()
        self.empty = self.ours("br-int")
        self.create_network(kind="vlan", n=0, segment=0)
        self.create_subnet(n=0, cidr=CIDRS[0])
        self.create_ports(n=0, count=2, security=True, host=0, by_name=None)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.finish()
        finally:
            self._resources.close()

    def finish(self) -> None:
        """Whatever went on, it comes right; and when all is gone, nothing is left."""
        if self.lab is None:
            self.start(blind=False)
        self.mend_ovsdb()
        for bridge in sorted(self.offline):
            self.come_back(bridge)
        self.check()
        for interface in list(self.reference.plugs):
            self.unplug(interface)
        for kind in ("port", "subnet", "network"):
            for id in list(self.reference.of(kind)):
                self.delete(kind, id)
                assert id not in self.reference.of(kind), "nothing uses it any more"
        self.check()
        for bridge in self.reference.bridges:
            assert self.ours(bridge) == self.empty

    # --- the API -----------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API. A refusal answers None, and must change nothing: the bodies will tell."""
        assert self.lab is not None
        try:
            return self.lab.api(method, path, body)
        except Refused as refusal:
            assert refusal.status in (400, 404, 409), refusal
            return None

    def note(self, kind: str, answer: Any) -> None:
        for body in (answer or {}).get(f"{kind}s") or [(answer or {}).get(kind)]:
            if body:
                self.reference.of(kind)[body["id"]] = body

    def some(self, kind: str, n: int) -> str:
        ids = list(self.reference.of(kind))
        return ids[n % len(ids)] if ids else "nothing"

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
        self.note("port", self.ask("POST", "/v2.0/ports", request))

    def binding(self, host: int, by_name: str | None) -> dict[str, Any]:
        places = ["", HOST, "elsewhere"]
        places += [f"{dpid:016x}" for dpid in self.reference.bridges.values()]
        taken = [p["binding:profile"].get("interface_name") for p in self.reference.ports.values()]
        profile = {} if by_name is None or by_name in taken else {"interface_name": by_name}
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
        self.note("port", self.ask("PUT", f"/v2.0/ports/{id}", {"port": body}))

    @running
    @rule(n=PICK, host=PICK, by_name=st.none() | st.sampled_from(TAPS))
    def bind_port(self, n: int, host: int, by_name: str | None) -> None:
        body = {"port": self.binding(host, by_name)}
        self.note("port", self.ask("PUT", f"/v2.0/ports/{self.some('port', n)}", body))

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

    def delete(self, kind: str, id: str) -> None:
        assert self.lab is not None
        head = self.lab.service.store.head
        self.ask("DELETE", f"/v2.0/{kind}s/{id}")
        if self.lab.service.store.head > head:
            del self.reference.of(kind)[id]
            if kind == "port":
                self.deleted.append(id)
            if kind == "network":
                subnets = self.reference.subnets
                for subnet in [s for s in subnets.values() if s["network_id"] == id]:
                    del subnets[subnet["id"]]

    # --- what is plugged in ------------------------------------------------------------------

    def vsctl(self, *words: str) -> str:
        return self.ovs.vsctl(*words)

    def bridge(self, n: int) -> str:
        bridges = sorted(self.reference.bridges)
        return bridges[n % len(bridges)]

    def put(self, interface: str, plug: Plug) -> None:
        """Plug it in there, in one transaction, wherever it was before."""
        ids = [
            f"external_ids:{key}={value}"
            for key, value in (
                ("iface-id", plug.iface_id),
                ("tenantry-physical-network", plug.physical_network),
            )
            if value
        ]
        self.vsctl(
            *("--if-exists", "del-port", interface, "--", "add-port", plug.bridge, interface),
            *(("--", "set", "interface", interface, *ids) if ids else ()),
        )
        self.reference.plugs[interface] = plug

    def whose(self, n: int, stranger: bool) -> str:
        """The id of a port there is, or there was; or none."""
        if stranger:
            return self.deleted[n % len(self.deleted)] if self.deleted else ""
        id = self.some("port", n)
        return "" if id == "nothing" else id

    @rule(interface=st.sampled_from(TAPS), on=PICK, n=PICK, stranger=st.sampled_from([0, 0, 0, 1]))
    def plug(self, interface: str, on: int, n: int, stranger: int) -> None:
        self.put(interface, Plug(self.bridge(on), 0, iface_id=self.whose(n, bool(stranger))))

    @rule(interface=st.sampled_from(WIRES), on=PICK, name=st.sampled_from(PHYSICAL_NETWORKS))
    def wire(self, interface: str, on: int, name: str) -> None:
        self.put(interface, Plug(self.bridge(on), 0, physical_network=name))

    @precondition(lambda self: self.reference.plugs)
    @rule(n=PICK)
    def unplug_some(self, n: int) -> None:
        plugs = list(self.reference.plugs)
        self.unplug(plugs[n % len(plugs)])

    def unplug(self, interface: str) -> None:
        self.vsctl("del-port", interface)
        del self.reference.plugs[interface]

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
        del self.reference.bridges["br-two"]
        self.offline.discard("br-two")
        plugs = self.reference.plugs
        self.reference.plugs = {n: plug for n, plug in plugs.items() if plug.bridge != "br-two"}

    def dpid(self, bridge: str) -> int:
        return int(self.vsctl("get", "bridge", bridge, "datapath_id").strip().strip('"'), 16)

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

    def connect(self, bridge: str) -> None:
        """Lead a bridge to us. Each time in another spelling, as Open vSwitch tries what is new at
        once, and again what it had before only after a second."""
        assert self.lab is not None
        self.offline.discard(bridge)
        self._zeros[bridge] = self._zeros.get(bridge, 0) ^ 1
        address = self.lab.controller.openflow
        target = f"tcp:{address.host}:{'0' * self._zeros[bridge]}{address.port}"
        self.vsctl("set-controller", bridge, target)
        prod(self.ovs)

    def connection(self, bridge: str) -> Connection | None:
        assert self.lab is not None
        return self.lab.service.connections.get(self.reference.bridges[bridge])

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
            if by_us:
                before.close()
            self.connect(bridge)
            self.lab.until(lambda: self.connection(bridge) not in (None, before))

    @running
    @rule(on=PICK)
    def go_away(self, on: int) -> None:
        assert self.lab is not None
        bridge = self.bridge(on)
        self.vsctl("set-controller", bridge, NOBODY)
        self.offline.add(bridge)
        self.lab.until(lambda: self.connection(bridge) is None)

    @running
    @precondition(lambda self: self.offline)
    @rule(on=PICK)
    def come_back_some(self, on: int) -> None:
        bridges = sorted(self.offline)
        self.come_back(bridges[on % len(bridges)])

    def come_back(self, bridge: str) -> None:
        assert self.lab is not None
        self.connect(bridge)
        self.lab.until(lambda: self.connection(bridge) is not None)

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
        if bridge in self.offline or (how == "modify" and found != "told"):
            return  # what was modified in place bears our cookie: nothing but being told helps
        self.check()
        assert self.lab is not None
        before = self.ours(bridge)
        row = before[n % len(before)]
        words = {
            "delete all": ("del-flows", bridge),
            "delete one": ("del-flows", bridge, f"cookie={row.cookie:#x}/-1"),
            "replace one": ("add-flow", bridge, f"table={row.table},{row.match},actions=drop"),
            "add": ("add-flow", bridge, f"table={row.table},priority=999,actions=drop"),
            "modify": ("mod-flows", bridge, f"table={row.table},actions=drop"),
        }[how]
        reconciler = self.lab.service.reconcilers[self.reference.bridges[bridge]]
        repaired = reconciler.repaired
        if found != "told":
            reconciler.connection.on_foreign_changes = lambda changes: None
        self.ovs.ofctl(*words)
        if self.ours(bridge) == before:
            return  # it was dropped before
        if found == "audit":
            reconciler._audit_at = 0
            reconciler.wake()
        if found in ("told", "audit"):
            self.lab.until(lambda: reconciler.repaired > repaired)
        elif found == "connect":
            self.connect(bridge)
            self.lab.until(lambda: self.connection(bridge) not in (None, reconciler.connection))
        else:
            self.stop()
            self.start(blind=False)
        self.check()
        assert self.ours(bridge) == before

    @running
    @rule()
    def stop(self) -> None:
        self._running.close()
        self.lab = None

    @precondition(lambda self: self.lab is None)
    @rule(blind=st.booleans())
    def start(self, blind: bool) -> None:
        """``blind``: switches come before their OVSDB does, and must not be touched before."""
        options = {
            "ovsdb__connections": f"unix:{self.relay.path}",
            "networks__vlan_ranges": "red:100:109,blue:100:109",
            "openflow__audit_interval": "3600",
        }
        if blind:
            self.relay.cut()
            options["ovsdb__integration_bridge"] = ""
            before = {bridge: installed(self.ovs, bridge) for bridge in self.reference.bridges}
        else:
            self.relay.mend()
        prodding = runtime.spawn_after(0.05, prod, self.ovs)
        self.lab = self._running.enter_context(lab(self.ovs, self.directory, **options))
        prodding.kill()
        self.offline.clear()
        self._zeros.clear()
        for bridge in self.reference.bridges:
            if blind or bridge != "br-int":
                self.connect(bridge)
        self.lab.until(lambda: all(map(self.connection, self.reference.bridges)))
        if blind:
            assert not self.lab.service.reconcilers
            for bridge, flows in before.items():
                assert_untouched(flows, installed(self.ovs, bridge))
            self.relay.mend()

    @running
    @rule()
    def restart(self) -> None:
        with self.undisturbed(TOWARDS_LATER_SWITCHES):
            self.stop()
            self.start(blind=False)

    @running
    @rule(n=st.integers(1, 40), network=PICK, up=st.booleans(), again=st.booleans())
    def die(self, n: int, network: int, up: bool, again: bool) -> None:
        """In the middle of a push the connections end, between any two messages; ``again``: it was
        the controller that died, as by kill -9."""
        assert self.lab is not None
        service = self.lab.service
        with dying_after(n) as died:
            self.switch_network(network, not up)
            self.lab.until(lambda: died() or service.settled())
            self.switch_network(network, up)
            self.lab.until(lambda: died() or service.settled())
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
        self.ovs.stop_switch()
        self.ovs.start_switch()
        self._restarts += 1  # which Open vSwitch must take note of: so wait until it has
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:restarts={self._restarts}")
        self.reference.bridges = {bridge: self.dpid(bridge) for bridge in self.reference.bridges}
        prod(self.ovs)

    # --- what must hold ----------------------------------------------------------------------

    def unseen(self) -> dict[str, Any]:
        """What the controller has yet to be told: empty when it knows what is plugged in where."""
        assert self.lab is not None
        records = self.lab.service.model.all(Interface)
        told = {
            (*id, record.iface_id, record.physical_network)
            for id, record in records.items()
            if record.iface_id or record.physical_network
        }
        plugs = {
            (self.reference.bridges[plug.bridge], name, plug.iface_id, plug.physical_network)
            for name, plug in self.reference.plugs.items()
        }
        differences = {
            "gone": told - plugs,
            "new": {plug for plug in plugs if plug[2] or plug[3]} - told,
            "unknown": {plug[:2] for plug in plugs} - records.keys(),
            "away": {bridge for bridge in self.reference.bridges if not self.connection(bridge)},
        }
        return {name: found for name, found in differences.items() if found}

    @running
    @precondition(lambda self: self.relay.whole and not self.offline)
    @rule()
    def check(self) -> None:
        assert self.lab is not None
        self.relay.mend()
        for bridge in sorted(self.offline):
            self.come_back(bridge)
        with mismatch(self.unseen):
            self.lab.until(lambda: not self.unseen())
        self.lab.settle()
        verified = operations.verify(self.lab.service)
        assert verified["ok"], verified
        assert not any(r.refused for r in self.lab.service.reconcilers.values())
        self.read_numbers()
        self.check_bodies()
        self.check_ports()
        for bridge in self.reference.bridges:
            self.check_flows(bridge)
            self.check_frames(bridge)

    def read_numbers(self) -> None:
        listed = self.vsctl("--bare", "--format=csv", "--columns=name,ofport", "list", "interface")
        for line in listed.split():
            name, _, number = line.partition(",")
            if name in self.reference.plugs:
                self.reference.plugs[name].ofport = int(number)

    def check_bodies(self) -> None:
        """What the API answers is what was agreed, and what the database holds."""
        assert self.lab is not None
        for kind, names in STABLE.items():
            listed = self.lab.api("GET", f"/v2.0/{kind}s")[f"{kind}s"]
            answered = {body["id"]: [body[name] for name in names] for body in listed}
            agreed = self.reference.of(kind).items()
            assert answered == {id: [body[name] for name in names] for id, body in agreed}
        store = self.lab.controller.store
        reloaded = Store(f"sqlite:///{self.directory}/tenantry.db", store._schema)
        try:
            assert reloaded.head == store.head
            assert reloaded._replica == store._replica
        finally:
            reloaded.close()

    def check_ports(self) -> None:
        assert self.lab is not None
        shown = {body["id"]: body for body in self.lab.api("GET", "/v2.0/ports")["ports"]}
        for id, port in self.reference.ports.items():
            place = self.reference.place(port)
            assert shown[id]["status"] == self.reference.status(port), (port, place)
            if "binding:host_id" in port and not port["binding:host_id"]:
                assert shown[id]["binding:host_id"] == (HOST if place else "")

    def check_flows(self, bridge: str) -> None:
        """Known destinations are those that should be, and nothing speaks of what is gone."""
        assert self.lab is not None
        store = self.lab.controller.store
        networks = {body["key"]: id for id, body in store.read("network").items()}
        known, learned = set(), set()
        for row in installed(self.ovs, bridge):
            match = dict(word.partition("=")[::2] for word in row.match.split(","))
            if "metadata" in match:
                network = networks[int(match["metadata"], 16)]
                if row.table == Table.L2_LOOKUP.id:
                    known.add((network, match["dl_dst"]))
                elif row.table == Table.L2_LEARNED.id:
                    (key,) = re.findall(r"load:(0x[0-9a-f]+)->", row.actions)
                    learned.add((network, int(key, 16)))
        assert known == self.reference.known(bridge)
        teachers = {
            (port["network_id"], store.read("port")[id]["key"])
            for id, port in self.reference.ports.items()
            if not port["port_security_enabled"] and self.reference.talks(port)
            if (place := self.reference.place(port)) and place.bridge == bridge
        }
        teachers |= {
            (id, PHYSICAL)
            for id, network in self.reference.networks.items()
            if self.reference.wires(network, bridge)
        }
        assert learned <= teachers

    def check_frames(self, bridge: str) -> None:
        """Broadcasts reach whom they should, and nobody else."""
        places = {
            place.interface: port
            for port in self.reference.ports.values()
            if (place := self.reference.place(port))
        }
        for interface, plug in self.reference.plugs.items():
            if plug.bridge != bridge:
                continue
            if plug.physical_network:
                for network in self.reference.networks.values():
                    vlan = network["provider:segmentation_id"]
                    tagged = f"dl_vlan={vlan}," if vlan else ""
                    flow = f"in_port={interface},{tagged}dl_src={STRANGER},dl_dst={BROADCAST}"
                    if network["provider:physical_network"] == plug.physical_network:
                        hear = self.reference.hears_wire(interface, network)
                        assert leaves_by(self.ovs, bridge, flow) == hear, (interface, network)
            else:
                port = places.get(interface)
                source = port["mac_address"] if port else STRANGER
                flow = f"in_port={interface},dl_src={source},dl_dst={BROADCAST}"
                hear = self.reference.hears(port) if port else set()
                assert leaves_by(self.ovs, bridge, flow) == hear, (interface, port)

    def ours(self, bridge: str) -> list[FlowText]:
        """The flows on a bridge but for those that it learned."""
        return sorted(
            flow for flow in installed(self.ovs, bridge) if flow.table != Table.L2_LEARNED.id
        )

    @contextmanager
    def undisturbed(self, but: str = "nothing") -> Iterator[None]:
        """What happens inside writes no flow, what the switch has learned included; ``but`` those
        that have this in their actions."""
        self.check()
        before = {bridge: installed(self.ovs, bridge) for bridge in self.reference.bridges}
        yield
        self.check()
        for bridge, flows in before.items():
            assert_untouched(flows, installed(self.ovs, bridge), but)


def assert_untouched(
    before: dict[FlowText, float], after: dict[FlowText, float], but: str = "nothing"
) -> None:
    """The same flows, and none of them younger than before."""
    assert before.keys() == after.keys()
    younger = [flow for flow, age in before.items() if after[flow] < age]
    assert not [flow for flow in younger if but not in flow.actions]


def prod(ovs: OpenVSwitch) -> None:
    """Open vSwitch does not wake up for a connection that came about at once: it would look half a
    second later."""
    tell(ovs, "version")


@contextmanager
def mismatch(explain: Callable[[], object]) -> Iterator[None]:
    """Say more when something did not come about."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}: {explain()}") from None


@contextmanager
def impatience() -> Iterator[None]:
    """Whoever lost a connection tries again at once, not after a second or two."""
    made = ovs.reconnect.Reconnect.__init__

    def make(self: Any, now: int) -> None:
        made(self, now)
        self.min_backoff, self.max_backoff = 10, 50

    with (
        mock.patch("tests.lab.SETTLE_SECONDS", 5),
        mock.patch.object(ovs.reconnect.Reconnect, "__init__", make),
        mock.patch.object(ovsdb, "RETRY_SECONDS", 0.02),
    ):
        yield


@contextmanager
def dying_after(messages: int) -> Iterator[Callable[[], bool]]:
    """Connections end when so many more messages have gone to switches; whether they have."""
    left = messages
    send = Connection.send

    def die(self: Connection, data: bytes) -> None:
        nonlocal left
        end = 0
        while left and end < len(data):
            end += codec.read_header(data[end:]).length
            left -= 1
        if end < len(data):
            self._datapath.send(data[:end], close_socket=True)
            raise Disconnected("this is the fault that was asked for")
        send(self, data)

    with mock.patch.object(Connection, "send", die):
        yield lambda: not left


@pytest.fixture(scope="module")
def one_ovs() -> Iterator[OpenVSwitch]:
    """One for all histories; each begins with its own bridges."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch(dummy=True) as ovs:
        yield ovs


def test_whatever_happens(one_ovs: OpenVSwitch) -> None:
    run_state_machine_as_test(
        lambda: System(one_ovs),
        settings=settings(
            max_examples=settings().max_examples // 5,  # each takes a second, not a millisecond
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
