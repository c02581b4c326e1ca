# SPDX-License-Identifier: Apache-2.0

"""What OpenFlow and OVSDB tell of the same switch becomes records, whoever speaks first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.model import (
    Address,
    Change,
    Health,
    Host,
    Interface,
    Model,
    Switch,
    Tunnel,
)
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.switch.inventory import PHYSICAL_NETWORK, Inventory

REMOTE, OTHER = "unix:/run/one.sock", "tcp:192.0.2.1:6640"


class Bench:
    """An inventory whose changes go straight into a model."""

    def __init__(self, *remotes: str, physical_interfaces: dict[str, str] | None = None) -> None:
        self.model = Model()
        self.emitted: list[Change] = []
        self.inventory = Inventory(remotes, self._emit, physical_interfaces or {})

    def _emit(self, changes: list[Change]) -> None:
        self.emitted += changes
        self.model.apply(changes)

    def switches(self) -> dict[int, tuple[str, str]]:
        return {s.id: (s.name, s.host) for s in self.model.all(Switch).values()}

    def interfaces(self) -> dict[tuple[int, str], tuple[int, str, str]]:
        """By datapath id and name: number, iface-id and physical network."""
        found = self.model.all(Interface).values()
        return {i.id: (i.ofport, i.iface_id, i.physical_network) for i in found}


def iface(port_id: str) -> dict[str, str]:
    return {"iface-id": port_id}


@pytest.mark.parametrize("openflow_first", [True, False])
def test_switch_with_ovsdb_in_either_order(openflow_first: bool) -> None:
    bench = Bench(REMOTE)

    def openflow() -> None:
        bench.inventory.ports(1, {5: "tap1", 6: "eth1"})

    def ovsdb() -> None:
        ids = {"tap1": iface("p"), "eth1": {PHYSICAL_NETWORK: "wire"}, "unrelated": iface("q")}
        bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, ids)

    first, second = (openflow, ovsdb) if openflow_first else (ovsdb, openflow)
    first()
    assert bench.switches() == {}
    second()
    assert bench.switches() == {1: ("br-int", "node1")}
    assert bench.interfaces() == {(1, "tap1"): (5, "p", ""), (1, "eth1"): (6, "", "wire")}
    assert bench.model.get(Host, "node1") == Host("node1")
    assert {i.host for i in bench.model.all(Interface).values()} == {"node1"}


def test_a_switch_is_held_back_until_every_ovsdb_has_had_its_say() -> None:
    bench = Bench(REMOTE, OTHER)
    bench.inventory.ports(1, {5: "tap1"})
    bench.inventory.ports(2, {5: "tap1"})
    bench.inventory.ports(3, {5: "eth1"})
    assert bench.inventory.waiting_for() == sorted([REMOTE, OTHER])
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"tap1": iface("p")})
    assert bench.switches() == {1: ("br-int", "node1")}, "2 and 3 may be the other's"
    assert bench.inventory.waiting_for() == [OTHER]
    bench.inventory.synced(OTHER, "node2", {2: "br-int"}, {"tap1": iface("q")})
    assert bench.inventory.waiting_for() == []
    assert bench.switches() == {
        1: ("br-int", "node1"),
        2: ("br-int", "node2"),
        3: (dpid_text(3), ""),
    }
    assert bench.interfaces()[1, "tap1"] == (5, "p", "")
    assert bench.interfaces()[2, "tap1"] == (5, "q", "")


def test_without_ovsdb_nobody_is_waited_for() -> None:
    bench = Bench(physical_interfaces={"eth1": "wire"})
    bench.inventory.ports(3, {1: "eth1", 2: "s1-eth2"})
    assert bench.switches() == {3: (dpid_text(3), "")}
    assert bench.interfaces() == {(3, "eth1"): (1, "", "wire"), (3, "s1-eth2"): (2, "", "")}


def test_what_ovsdb_says_of_a_wire_beats_the_options() -> None:
    bench = Bench(REMOTE, physical_interfaces={"eth1": "wire"})
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {"eth1": {PHYSICAL_NETWORK: "cable"}})
    bench.inventory.ports(1, {1: "eth1"})
    assert bench.interfaces() == {(1, "eth1"): (1, "", "cable")}


LONG = "tap0123456789abcdef"
CUT = LONG[:15]


def test_names_longer_than_openflow_can_say() -> None:
    """OVSDB tells the whole name, OpenFlow 15 bytes of it."""
    bench = Bench(REMOTE)
    bench.inventory.ports(1, {5: CUT})
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {LONG: iface("p")})
    assert bench.interfaces() == {(1, CUT): (5, "p", "")}
    bench.inventory.interface(REMOTE, LONG, iface("q"))
    assert bench.interfaces() == {(1, CUT): (5, "q", "")}
    bench.inventory.interface(REMOTE, LONG, None)
    assert bench.interfaces() == {(1, CUT): (5, "", "")}


def test_interfaces_come_change_and_go() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {})
    bench.inventory.ports(1, {})
    bench.inventory.interface(REMOTE, "tap1", iface("p"))
    assert bench.interfaces() == {}, "no number yet"
    bench.inventory.ports(1, {5: "tap1"})
    assert bench.interfaces() == {(1, "tap1"): (5, "p", "")}
    bench.inventory.ports(1, {8: "tap1"})
    assert bench.interfaces() == {(1, "tap1"): (8, "p", "")}
    bench.inventory.interface(REMOTE, "tap1", {})
    assert bench.interfaces() == {(1, "tap1"): (8, "", "")}
    bench.inventory.ports(1, {})
    assert bench.interfaces() == {}


def test_an_interface_gone_from_ovsdb_first() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {"tap1": iface("p")})
    bench.inventory.ports(1, {5: "tap1"})
    bench.inventory.interface(REMOTE, "tap1", None)
    assert bench.interfaces() == {(1, "tap1"): (5, "", "")}
    bench.inventory.ports(1, {})
    assert bench.interfaces() == {}
    bench.inventory.interface(REMOTE, "tap1", None)  # once more is no error


def test_interfaces_of_other_bridges_are_left_alone() -> None:
    bench = Bench(REMOTE, OTHER)
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {"tap1": iface("p")})
    bench.inventory.synced(OTHER, "node2", {2: "br"}, {"tap1": iface("q")})
    bench.inventory.ports(1, {5: "tap1"})
    bench.inventory.ports(2, {5: "tap1"})
    bench.inventory.interface(REMOTE, "tap1", iface("r"))
    assert bench.interfaces() == {(1, "tap1"): (5, "r", ""), (2, "tap1"): (5, "q", "")}


def test_reconnected_ovsdb_with_changes() -> None:
    """What happened while the connection was down is made up for."""
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br", 2: "br2"}, {"tap1": iface("p")})
    bench.inventory.ports(1, {5: "tap1", 6: "tap2"})
    bench.inventory.ports(2, {1: "eth1"})
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"tap2": iface("q")})
    assert bench.switches() == {1: ("br-int", "node1")}
    assert bench.interfaces() == {(1, "tap1"): (5, "", ""), (1, "tap2"): (6, "q", "")}


def test_reconnected_switch_with_changes() -> None:
    bench = Bench()
    bench.inventory.ports(1, {1: "eth1", 2: "eth2"})
    bench.inventory.ports(1, {1: "eth2", 3: "eth3"})
    assert bench.interfaces() == {(1, "eth2"): (1, "", ""), (1, "eth3"): (3, "", "")}


def test_a_bridge_that_ovsdb_tells_of_later() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {}, {"tap1": iface("p")})
    bench.inventory.ports(1, {5: "tap1"})
    assert bench.switches() == {1: (dpid_text(1), "")}
    bench.inventory.bridges(REMOTE, {1: "br-new"})
    assert bench.switches() == {1: ("br-new", "node1")}
    assert bench.interfaces() == {(1, "tap1"): (5, "p", "")}


def test_a_host_that_changes_its_name_leaves_no_second_host() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br"}, {})
    bench.inventory.ports(1, {})
    bench.inventory.synced(REMOTE, "renamed", {1: "br"}, {})
    assert bench.switches() == {1: ("br", "renamed")}
    assert set(bench.model.all(Host)) == {"renamed"}


STEPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, "a", "b", "c", "d"])))


@given(STEPS)
def test_ports_one_by_one_are_the_same_as_all_at_once(
    steps: list[tuple[int, str | None]],
) -> None:
    one_by_one, at_once = Bench(REMOTE), Bench(REMOTE)
    ids = {name: iface(name) for name in "abcd"}
    for bench in (one_by_one, at_once):
        bench.inventory.synced(REMOTE, "node1", {1: "br"}, ids)
        bench.inventory.ports(1, {})
    ports: dict[int, str] = {}
    for number, name in steps:
        if name is not None and name in ports.values() and ports.get(number) != name:
            continue  # a switch never has two ports of one name
        ports.pop(number, None)
        if name is not None:
            ports[number] = name
        one_by_one.inventory.port(1, number, name)
        at_once.inventory.ports(1, ports)
        assert one_by_one.interfaces() == at_once.interfaces()


# --- hosts that have joined ----------------------------------------------------------------------

JOINED = "joined:node9"


def remembering(*dpids: int) -> Bench:
    bench = Bench(REMOTE)
    bench.inventory = Inventory(
        [REMOTE], bench._emit, {}, remembered={JOINED: dpids}, integration_bridge="br-int"
    )
    return bench


def test_hosts_that_have_joined_are_waited_for_until_one_gives_up() -> None:
    bench = remembering(9)
    bench.inventory.ports(7, {1: "tap1"})
    bench.inventory.ports(9, {1: "tap1"})
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {})
    assert bench.inventory.waiting_for() == [JOINED]
    assert bench.switches() == {}, "7 may be the remembered host's, for all we know"
    bench.inventory.give_up()
    assert bench.switches() == {7: (dpid_text(7), "")}, "9 stays as it is: its host is away"
    bench.inventory.synced(JOINED, "node9", {9: "br-int"}, {"tap1": iface("p")})
    assert bench.switches()[9] == ("br-int", "node9")
    assert bench.model.all(Switch)[9].integration
    assert bench.interfaces()[9, "tap1"] == (1, "p", "")


def test_a_host_is_forgotten_with_all_that_is_there() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"bfd": tunnel("192.0.2.2")})
    bench.inventory.ports(1, {1: "bfd"})
    bench.inventory.tunnel(REMOTE, "bfd", {"state": "up", "forwarding": "true"})
    assert bench.model.all(Health) and bench.model.all(Tunnel)
    bench.inventory.forget("node1")
    for kind in (Host, Switch, Interface, Health, Tunnel):
        assert not bench.model.all(kind), kind
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"tap1": iface("p")})
    bench.inventory.ports(1, {1: "tap1"})
    assert bench.interfaces() == {(1, "tap1"): (1, "p", "")}


def tunnel(peer: str) -> dict[str, str]:
    return {"tenantry-tunnel": "vxlan", "tenantry-peer": peer}


def test_what_a_tunnel_says_counts_once_it_has_been_up() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"bfd": tunnel("192.0.2.2")})
    bench.inventory.ports(1, {1: "bfd"})
    interface = bench.model.all(Interface)[1, "bfd"]
    assert (interface.tunnel, interface.peer) == ("vxlan", Address(4, 0xC0000202))

    def health() -> tuple[bool, bool, bool]:
        said = bench.model.all(Health)[1, "bfd"]
        return said.up, said.forwarding, (1, "bfd") in bench.model.all(Tunnel)

    bench.inventory.tunnel(REMOTE, "bfd", {"state": "down", "forwarding": "false"})
    assert health() == (False, False, False)
    bench.inventory.tunnel(REMOTE, "bfd", {"state": "up", "forwarding": "true", "flap_count": "1"})
    assert health() == (True, True, True)
    bench.inventory.tunnel(REMOTE, "bfd", {"state": "up", "forwarding": "false"})
    assert health() == (True, False, True)
    bench.inventory.tunnel(REMOTE, "bfd", None)
    assert not bench.model.all(Health) and not bench.model.all(Tunnel)


def test_after_a_restart_it_counts_that_a_tunnel_was_up_before() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"bfd": tunnel("2001:db8::2")})
    bench.inventory.tunnel(REMOTE, "bfd", {"state": "down", "flap_count": "2"})
    assert (1, "bfd") in bench.model.all(Tunnel)


def test_where_hosts_join_a_switch_that_nobody_names_waits_for_one() -> None:
    """It may be that of a host which is another controller's."""
    bench = Bench()
    bench.inventory = Inventory([], bench._emit, {}, hosts_join=True)
    bench.inventory.ports(1, {5: "tap1"})
    bench.inventory.ports(2, {6: "tap2"})
    bench.inventory.leave(JOINED, "it is another's", {1: "br-int"})
    assert bench.switches() == {}
    assert bench.inventory.left_alone == {JOINED: "it is another's"}
    bench.inventory.give_up()
    assert list(bench.switches()) == [2]
    bench.inventory.synced(JOINED, "node1", {1: "br-int"}, {})
    assert bench.switches()[1] == ("br-int", "node1")
    assert bench.inventory.left_alone == {}


def test_a_bridge_that_is_gone_is_no_switch_any_more() -> None:
    bench = Bench(REMOTE)
    bench.inventory.synced(REMOTE, "node1", {1: "br-int"}, {"tap1": iface("p")}, {1})
    bench.inventory.ports(1, {5: "tap1"})
    assert list(bench.switches()) == [1]
    bench.inventory.bridges(REMOTE, {2: "br-int"}, {2})
    assert bench.switches() == {}
    assert bench.interfaces() == {}
    assert bench.inventory.missing() == {2}
    bench.inventory.ports(2, {5: "tap1"})
    assert bench.interfaces() == {(2, "tap1"): (5, "p", "")}
