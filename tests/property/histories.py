"""Hypothesis strategies for histories: any sequence of record changes that API and switches could
send, over a handful of ids, so that they meet often."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from controller.model import Binding, Change, Interface, Model, Network, Port, Read, Record, Switch
from controller.model.binding import dpid_text, rebind
from controller.model.records import FixedIp

SWITCHES = (1, 2, 3)  # 3 has no OVSDB
NETWORKS = ("blue", "green", "red")
PORTS = ("p1", "p2", "p3", "p4", "p5")
WIRES = ("wire", "cable")


def _host(switch: int) -> str:
    return "" if switch == 3 else f"host{switch}"


def _key(id: str) -> int:
    return (*NETWORKS, *PORTS).index(id) + 1


switches = st.sampled_from(SWITCHES).map(lambda n: Switch(n, f"s{n}", _host(n)))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Of any type; a VLAN id or flat network belongs to one network of a physical network."""
    id = draw(st.sampled_from(NETWORKS))
    kind = draw(st.sampled_from(["vlan", "flat", "local"]))
    wire, vlan = None, None
    if kind == "vlan":
        wire, vlan = draw(st.sampled_from(WIRES)), 100 + _key(id)
    elif kind == "flat" and id != "red":  # as many flat networks as wires
        wire = WIRES[_key(id) - 1]
    else:
        kind = "local"
    up = draw(st.booleans()) or draw(st.booleans())
    mtu = draw(st.sampled_from([1500, 9000]))
    return Network(id, _key(id), "project", id, up, mtu, kind, wire, vlan)


@st.composite
def ports(draw: st.DrawFn) -> Port:
    """Each port has a MAC address and, for the switch without OVSDB, an interface of its own."""
    id = draw(st.sampled_from(PORTS))
    key = _key(id)
    by_name = draw(st.booleans())
    return Port(
        id=id,
        key=key,
        network_id=draw(st.sampled_from(NETWORKS)),
        project_id="project",
        name=draw(st.sampled_from(["", "web"])),
        mac=0xFA163E000000 + draw(st.sampled_from([key, key + 0x100])),
        fixed_ips=(FixedIp("v4", 4, key), FixedIp("v6", 6, key)),
        admin_state_up=draw(st.booleans()) or draw(st.booleans()),
        port_security=draw(st.booleans()),
        host=draw(st.sampled_from(["", "host1", "host2", dpid_text(3)])),
        interface_name=f"tap{key}" if by_name else "",
    )


@st.composite
def interfaces(draw: st.DrawFn) -> Interface:
    """Plugged, spare, or leading to a wire. A switch gives no number twice."""
    switch = draw(st.sampled_from(SWITCHES))
    number = draw(st.integers(1, 7))
    wire = number > 5
    iface_id = "" if wire or switch == 3 else draw(st.sampled_from(["", *PORTS]))
    return Interface(
        id=(switch, f"eth{number}" if wire else f"tap{number + 3}"),
        switch=switch,
        name=f"eth{number}" if wire else f"tap{number + 3}",
        ofport=number + draw(st.sampled_from([0, 10])),
        host=_host(switch),
        iface_id=iface_id,
        physical_network=draw(st.sampled_from(WIRES)) if wire else "",
    )


def _now(record: Record) -> Change:
    return Change(type(record), record.id, record)


def _gone(record: Record) -> Change:
    return Change(type(record), record.id, None)


records: st.SearchStrategy[Record] = st.one_of(switches, networks(), ports(), interfaces())
changes = st.one_of(records.map(_now), records.map(_now), records.map(_gone))
batches = st.lists(st.lists(changes, min_size=1, max_size=8), min_size=1, max_size=12)
"""Changes in the groups in which the engine meets them."""


def everything(model: Model) -> list[Change]:
    """The changes that make an empty model what this one is, bindings left out."""
    kinds: tuple[type[Record], ...] = (Switch, Network, Port, Interface)
    return [_now(record) for kind in kinds for record in model.all(kind).values()]


def apply(model: Model, batch: Iterable[Change]) -> set[Read]:
    """Apply a batch as the running controller does, bindings and all."""
    batch = list(batch)
    touched = model.apply(batch)
    bound = rebind(model, batch)
    assert all(change.type is Binding for change in bound)
    return touched | model.apply(bound)
