# SPDX-License-Identifier: Apache-2.0

"""Where the histories of ``test_system.py`` play: a controller that can be started and stopped, on
an Open vSwitch that outlives it, with all that must hold whenever everything is confirmed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from tenantry.controller import runtime
from tenantry.controller.api.tenantry import operations, verify
from tenantry.controller.model import Interface
from tenantry.controller.openflow.pipeline import PHYSICAL, Table
from tenantry.controller.store import Store
from tenantry.controller.switch.connection import Connection
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch
from tests.property.system_faults import Relay, impatience
from tests.property.system_reference import HOST, Plug, Reference
from tests.property.system_switch import (
    assert_untouched,
    installed,
    leaves_by,
    ours,
    prod,
    tell,
)

STRANGER = "52:54:00:00:00:99"
BROADCAST = "ff:ff:ff:ff:ff:ff"

STABLE = {
    "network": ("name", "project_id", "admin_state_up", "mtu"),
    "subnet": ("name", "network_id", "cidr", "gateway_ip", "allocation_pools"),
    "port": (
        *("name", "network_id", "mac_address", "fixed_ips", "admin_state_up"),
        *("port_security_enabled", "binding:profile"),
    ),
}
"""What nobody but the writer changes."""


class Stage(RuleBasedStateMachine):
    """What there is, what was asked for, and the checks; the rules come with the subclass."""

    def __init__(self, ovs: OpenVSwitch) -> None:
        super().__init__()
        self.ovs = ovs
        self.lab: Lab | None = None
        self.reference = Reference()
        self.offline: set[str] = set()  # bridges that cannot reach us
        self.bridges_gone: set[str] = set()  # since the start, by datapath id
        self.deleted: list[str] = []  # ids of ports
        self.empty: list[tuple[int, str]] = []  # what a bridge holds that has nothing to do
        self._zeros: dict[str, int] = {}
        self.resources = ExitStack()
        self._running = ExitStack()
        self.directory = Path(self.resources.enter_context(tempfile.TemporaryDirectory()))
        self.resources.enter_context(impatience())
        self.relay = Relay(self.directory / "db.sock", ovs.directory / "db.sock")
        self.resources.callback(self.relay.cut)
        self.resources.callback(self._running.close)

    def finish(self) -> None:
        """Whatever went on, it comes right; and when all is gone, nothing is left."""
        if self.lab is None:
            self.start(blind=False)
        self.check()
        for interface in list(self.reference.plugs):
            self.unplug(interface)
        for kind in ("port", "subnet", "network"):
            for id in list(self.reference.of(kind)):
                self.delete(kind, id)
                assert id not in self.reference.of(kind), "nothing uses it any more"
        self.check()
        for bridge in self.reference.bridges:
            assert self.matches(bridge) == self.empty

    def matches(self, bridge: str) -> list[tuple[int, str]]:
        """Tables and matches of a bridge's flows; some actions bear its own datapath id."""
        return sorted((flow.table, flow.match) for flow in ours(self.ovs, bridge))

    # --- asking and doing --------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API. A refusal answers None, and must change nothing: the bodies will tell."""
        assert self.lab is not None
        try:
            return self.lab.api(method, path, body)
        except Refused as refusal:
            assert refusal.status in (400, 404, 409), refusal
            return None

    def note(self, kind: str, answer: Any, **own: Any) -> None:
        """Remember what was agreed; ``own`` is what an answer does not tell from what it sees."""
        for body in (answer or {}).get(f"{kind}s") or [(answer or {}).get(kind)]:
            if body:
                self.reference.of(kind)[body["id"]] = {**body, **own}

    def some(self, kind: str, n: int) -> str:
        ids = list(self.reference.of(kind))
        return ids[n % len(ids)] if ids else "nothing"

    def delete(self, kind: str, id: str) -> None:
        assert self.lab is not None
        head = self.lab.controller.store.head
        self.ask("DELETE", f"/v2.0/{kind}s/{id}")
        if self.lab.controller.store.head > head:
            del self.reference.of(kind)[id]
            if kind == "port":
                self.deleted.append(id)
            if kind == "network":
                subnets = self.reference.subnets
                for subnet in [s for s in subnets.values() if s["network_id"] == id]:
                    del subnets[subnet["id"]]

    def vsctl(self, *words: str) -> str:
        return self.ovs.vsctl(*words)

    def bridge(self, n: int) -> str:
        bridges = sorted(self.reference.bridges)
        return bridges[n % len(bridges)]

    def dpid(self, bridge: str) -> int:
        return int(self.vsctl("get", "bridge", bridge, "datapath_id").strip().strip('"'), 16)

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

    def unplug(self, interface: str) -> None:
        self.vsctl("del-port", interface)
        del self.reference.plugs[interface]

    # --- connections, starts and stops -------------------------------------------------------

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
        return self.lab.controller.progress.connections.get(self.reference.bridges[bridge])

    def is_owned(self, bridge: str) -> bool:
        """Whether the controller sees, and mends, what somebody does to a bridge."""
        return (
            bridge == "br-int"
            and self.relay.whole
            and self.lab is not None
            and self.lab.controller.hosts.databases[f"unix:{self.relay.path}"]._bridge is not None
        )

    def wait_for_bridge(self) -> None:
        """Until the controller has taken the integration bridge back, and Open vSwitch knows."""
        assert self.lab is not None
        target = f"tcp:{self.lab.controller.openflow}"
        self.vsctl(
            *("wait-until", "bridge", "br-int", "fail_mode=secure", "protocols=OpenFlow14"),
            *("datapath_id!=[]", f"external_ids:tenantry-store={self.lab.controller.store.id}"),
            *("--", "wait-until", "controller", "br-int", f'target="{target}"'),
        )
        prod(self.ovs)

    def come_back(self, bridge: str) -> None:
        assert self.lab is not None
        self.connect(bridge)
        self.lab.until(lambda: self.connection(bridge) is not None)

    def stop(self) -> None:
        self._running.close()
        self.lab = None

    def start(self, blind: bool) -> None:
        """``blind``: switches come before their OVSDB does, and must not be touched before."""
        options = {
            "ovsdb__connections": f"unix:{self.relay.path}",
            "ovsdb__service_port": "",  # so that all bridges are alike
            "networks__vlan_ranges": "red:100:109,blue:100:109",
            "openflow__audit_interval": "3600",
        }
        self.offline.clear()
        self.bridges_gone.clear()
        self._zeros.clear()
        if blind:
            self.relay.cut()
            options["ovsdb__integration_bridge"] = ""
            before = {bridge: installed(self.ovs, bridge) for bridge in self.reference.bridges}
        else:
            self.relay.mend()
            following = self.follow_integration_bridge()
        self.lab = self._running.enter_context(lab(self.ovs, self.directory, **options))
        if blind:
            for bridge in self.reference.bridges:
                self.connect(bridge)
            self.lab.until(lambda: all(map(self.connection, self.reference.bridges)))
            assert not self.lab.controller.progress.reconcilers
            for bridge, flows in before.items():
                assert_untouched(flows, installed(self.ovs, bridge))
            self.relay.mend()
        else:
            following.wait()

    def follow_integration_bridge(self) -> Any:
        """As soon as a starting controller has led br-int to itself, lead the other bridges, too:
        it waits for all that are told to connect to anybody."""
        others = self.reference.bridges.keys() - {"br-int"}
        before = self.vsctl("--if-exists", "get", "bridge", "br-int", "controller").strip()

        def follow() -> None:
            if before:
                changed = f"controller!={before.strip('[]')}"
                self.vsctl("wait-until", "bridge", "br-int", changed)
                target = self.vsctl("get-controller", "br-int").strip()
                for bridge in others:
                    self.vsctl("set-controller", bridge, target)
            prod(self.ovs)

        return runtime.spawn(follow)

    # --- what must hold ----------------------------------------------------------------------

    def unseen(self) -> dict[str, Any]:
        """What the controller has yet to be told: empty when it knows what is plugged in where."""
        assert self.lab is not None
        records = self.lab.controller.model.all(Interface)
        told = {
            (record.switch, record.name, record.iface_id, record.physical_network)
            for record in records.values()
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

    def check(self) -> None:
        assert self.lab is not None
        self.relay.mend()
        for bridge in sorted(self.offline):
            self.come_back(bridge)
        with mismatch(self.unseen):
            self.lab.until(lambda: not self.unseen())
        self.lab.settle()
        self.check_verified(operations.verify(self.lab.controller.running))
        refused = [
            reconciler.refused for reconciler in self.lab.controller.progress.reconcilers.values()
        ]
        assert not any(refused), refused
        self.read_numbers()
        self.check_bridge()
        self.check_bodies()
        self.check_ports()
        for bridge in self.reference.bridges:
            self.check_flows(bridge)
            self.check_frames(bridge)

    def check_verified(self, answer: dict[str, Any]) -> None:
        """All is as it should be. One that came and went while its OVSDB could not be asked is
        expected back: nobody has said that it is gone."""
        assert self.bridges_gone.issuperset(answer["absent"]), answer
        present = [s for s in answer["switches"] if s["id"] not in answer["absent"]]
        wrong = (*verify.FAULTS, "error", "stale", "conflicts")
        assert not any(switch[fault] for switch in present for fault in wrong), answer
        assert answer["settled"] and not answer["failed"], answer
        assert answer["ok"] == (not answer["absent"]), answer

    def check_bridge(self) -> None:
        """The integration bridge is as it must be, whatever somebody did to it."""
        if self.is_owned("br-int"):
            columns = ("fail_mode", "protocols", "external_ids:tenantry-store")
            found = [self.vsctl("get", "bridge", "br-int", each).strip() for each in columns]
            assert self.lab is not None
            store = self.lab.controller.store.id
            assert found == ["secure", "[OpenFlow14]", f'"{store}"'], found

    def read_numbers(self) -> None:
        """What nobody can foresee."""
        assert self.lab is not None
        for name, number in re.findall(r"^    (\S+) (\d+)/", tell(self.ovs, "dpif/show"), re.M):
            if name in self.reference.plugs:
                self.reference.plugs[name].ofport = int(number)
        numbers = {id: port["key"] for id, port in self.lab.controller.store.read("port").items()}
        self.reference.numbers = numbers

    def check_bodies(self) -> None:
        """What the API answers is what was agreed, and what the database holds."""
        assert self.lab is not None
        for kind, names in STABLE.items():
            listed = self.lab.api("GET", f"/v2.0/{kind}s")[f"{kind}s"]
            answered = {body["id"]: [body[name] for name in names] for body in listed}
            agreed = self.reference.of(kind).items()
            assert answered == {id: [body[name] for name in names] for id, body in agreed}
        store = self.lab.controller.store
        reloaded = Store(f"sqlite:///{self.directory}/tenantry.db", store.schema)
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
            host = port["binding:host_id"] or (HOST if place else "")
            assert shown[id]["binding:host_id"] == host

    def check_flows(self, bridge: str) -> None:
        """Known destinations are those that should be, and nothing speaks of what is gone."""
        assert self.lab is not None
        store = self.lab.controller.store
        networks = {body["key"]: id for id, body in store.read("network").items()}
        known, learned = set(), set()
        for line in tell(self.ovs, "bridge/dump-flows", bridge).splitlines():
            match, _, actions = line.partition("actions=")
            named = dict(word.partition("=")[::2] for word in re.split(r", ?", match))
            if "metadata" in named:
                network = networks[int(named["metadata"], 16)]
                if named["table_id"] == str(Table.L2_LOOKUP.id):
                    known.add((network, named["dl_dst"]))
                elif named["table_id"] == str(Table.L2_LEARNED.id):
                    (key,) = re.findall(r"load:(0x[0-9a-f]+)->", actions)
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

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """What happens inside writes no flow, and loses nothing that a switch has learned."""
        self.check()
        before = {bridge: installed(self.ovs, bridge) for bridge in self.reference.bridges}
        yield
        self.check()
        for bridge, flows in before.items():
            assert_untouched(flows, installed(self.ovs, bridge))


@contextmanager
def mismatch(explain: Callable[[], object]) -> Iterator[None]:
    """Say more when something did not come about."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}: {explain()}") from None
