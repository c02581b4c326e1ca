"""Writes ``docs/pipeline.md``: ``python -m controller.pipeline_doc`` (``--check``: is it stale?).

The page says nothing of its own. Tables and fields come from ``pipeline.py``, and every flow and
every arrow in it was compiled by the features from the :func:`sample` below, which the tests use
too. Besides ``serve.py`` this is the only module of the core that imports the list of apps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from apps import APPS
from controller.app import App, Unit
from controller.engine import Engine
from controller.flow import Flow, Goto, Resubmit, SetField
from controller.frames import ICMP, TCP, UDP
from controller.model import (
    AddressGroup,
    AddressPair,
    Change,
    ConntrackHelper,
    FirewallGroup,
    FirewallPolicy,
    FirewallRule,
    FixedIp,
    FloatingIp,
    Interface,
    Model,
    NdpProxy,
    Neighbour,
    Network,
    Port,
    PortForwarding,
    Prefix,
    Record,
    Route,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Switch,
)
from controller.model.binding import rebind
from controller.pipeline import FIELDS, PHYSICAL, ROUTER_WAY, SWITCHED, Band, Field, Miss, Table

PAGE = Path(__file__).parent.parent / "docs" / "pipeline.md"

# --- the sample topology ---------------------------------------------------------------------

SAMPLE = """\
s1, s2      switches, joined by the physical network "wire" on OpenFlow port 1 of each;
            s1 is on the controller's host, and port 2 is its service port
blue   (1)  VLAN network, tag 101 on the wire, with DHCP and router advertisements
  blue-1   (11)  on s1; it may also use 10.0.0.192/26 with MAC address 00:00:5e:00:01:01
  blue-2   (12)  on s2
  blue-any (13)  on s1, without port security: it may have any MAC address
  blue-off (14)  on s1, switched off (admin_state_up false)
green  (2)  flat network on the wire
  green-1  (21)  on s1
red    (3)  local network, of s1 alone; packets there must be smaller
  red-1    (31)  on s1
  red-2    (32)  on s1
outside (4)  external flat network on the physical network "uplink", port 9 of s1
router  (1)  from blue (port 41) and red (port 42) to outside (port 43), which it reaches as
             203.0.113.2; a route with two next hops; FTP has a helper; its home is s1
  203.0.113.10  floating IP of blue-1
  203.0.113.11  port 2222 of it is forwarded to port 22 of blue-2
  fd00::b       blue-1's IPv6 address, for which the router answers outside
security groups, of
  blue-1, blue-2, red-1   default (1): everything goes out, its members reach each other
  green-1                 default, and web (2): TCP 80 to 83 from office, pings from 192.0.2.0/24
  red-2                   plain (3), which tracks nothing: UDP 53 to office
address group office (1)  198.51.100.0/24 and 2001:db8:1::/48
firewall group on the router's port in red, and on red-1: what enters there is judged by the policy
            careful (1), which rejects TCP from 192.0.2.0/24 and allows other TCP; nothing leaves
"""
"""The sample in words; in brackets the keys that NETWORK, IN_PORT and OUT_PORT carry."""

S1, S2 = 1, 2


def sample() -> Model:
    """A small model with one of each kind of network and port there is."""
    model = Model()
    records: list[Record] = [
        Switch(S1, "s1", "host1"),
        Switch(S2, "s2", "host2"),
        *(_interface(switch, "eth1", 1, physical_network="wire") for switch in (S1, S2)),
        Interface((S1, "tenantry0"), S1, "tenantry0", 2, "host1", "", "", service=True),
        _network("blue", 1, "vlan", "wire", 101),
        _network("green", 2, "flat", "wire", None),
        _network("red", 3, "local", None, None),
        *_subnets("blue"),
        *_plugged("blue-1", 11, "blue", S1, 3, "default", allowed_pairs=(_PAIR,)),
        *_plugged("blue-2", 12, "blue", S2, 3, "default"),
        *_plugged("blue-any", 13, "blue", S1, 4, port_security=False),
        *_plugged("blue-off", 14, "blue", S1, 5, admin_state_up=False),
        *_plugged("green-1", 21, "green", S1, 6, "default", "web"),
        *_plugged("red-1", 31, "red", S1, 7, "default"),
        *_plugged("red-2", 32, "red", S1, 8, "plain"),
        *_routing(),
        *_groups(),
        *_firewall(),
    ]
    changes = [Change(type(record), record.id, record) for record in records]
    model.apply(changes)
    model.apply(rebind(model, changes))
    return model


def _network(
    id: str, key: int, network_type: str, physical_network: str | None, vlan: int | None
) -> Network:
    mtu = 1400 if id == "red" else 1500
    return Network(id, key, "project", id, True, mtu, network_type, physical_network, vlan)


def _subnets(network: str) -> tuple[Record, Record]:
    """A subnet of each family, on which everything is served."""
    four = Subnet(
        f"{network}-v4", network, 4, 0x0A000000, 24, 0x0A000001, True, service_address=0x0A0000FE
    )
    prefix = 0xFD << 120
    six = Subnet(
        *(f"{network}-v6", network, 6, prefix, 64, prefix + 1, True),
        ra_mode="dhcpv6-stateful",
        address_mode="dhcpv6-stateful",
        service_address=prefix + 0xFE,
    )
    return four, six


_OUTSIDE = 0xCB007100  # 203.0.113.0
_OUTSIDE6 = 0x20010DB8 << 96


def _routing() -> Iterator[Record]:
    """A router with everything that there is of routers."""
    yield _interface(S1, "eth9", 9, physical_network="uplink")
    yield Network(
        *("outside", 4, "project", "outside", True, 1500, "flat", "uplink", None), external=True
    )
    yield Subnet("outside-v4", "outside", 4, _OUTSIDE, 24, _OUTSIDE + 1)
    yield Subnet("outside-v6", "outside", 6, _OUTSIDE6, 64, _OUTSIDE6 + 1)
    yield Subnet("red-v4", "red", 4, 0x0A010000, 24, 0x0A010001)
    owner = "network:router_interface_distributed"
    six = (0xFD << 120) + 1
    yield _router_port("leg-blue", 41, "blue", 0x0A000001, six, owner, "router")
    yield _router_port("leg-red", 42, "red", 0x0A010001, None, owner, "router")
    gateway = "network:router_gateway"
    shared = _OUTSIDE + 2, _OUTSIDE6 + 2
    yield _router_port("leg-outside", 43, "outside", *shared, gateway, "router")
    yield Router(
        *("router", 1, "project", "router", True, "leg-outside", True),
        routes=(Route(0xAC100000, 12, 0x0A00000B), Route(0xAC100000, 12, 0x0A00000C)),
        ndp_proxies_only=True,
    )
    yield ConntrackHelper("helper", "router", "tcp", 21, "ftp")
    floating = "network:floatingip"
    yield _router_port("float-1", 44, "outside", _OUTSIDE + 10, None, floating, "one")
    yield _router_port("float-2", 45, "outside", _OUTSIDE + 11, None, floating, "two")
    yield FloatingIp(
        *("one", "project", "outside", _OUTSIDE + 10, "float-1", "router", "blue-1", 0x0A00000B)
    )
    yield FloatingIp(*("two", "project", "outside", _OUTSIDE + 11, "float-2", "router", "", 0))
    ports = (2222, 2222), (22, 22)
    yield PortForwarding("ssh", "two", "router", "tcp", *ports, 0x0A00000C)
    yield NdpProxy("proxy", "router", (0xFD << 120) + 11)
    neighbour = ("outside", 4, _OUTSIDE + 1)
    yield Neighbour(neighbour, *neighbour, 0x020000000001)


def _groups() -> Iterator[Record]:
    """Security groups and rules of every kind."""
    for key, name in enumerate(("default", "web", "plain"), 1):
        yield SecurityGroup(name, key, "project", name, stateful=name != "plain")
    office = (Prefix(4, 0xC6336400, 24), Prefix(6, 0x20010DB80001 << 80, 48))
    yield AddressGroup("office", 1, office)
    for version in (4, 6):
        anything = ("project", "default", False, version, None, None, None, "", None, 0)
        yield SecurityGroupRule(f"out{version}", *anything)
        members = ("project", "default", True, version, None, None, None, "default", None, 0)
        yield SecurityGroupRule(f"members{version}", *members)
    web = ("project", "web", True, 4)
    yield SecurityGroupRule("web", *web, TCP, 80, 83, "office", None, 0)
    yield SecurityGroupRule("ping", *web, ICMP, 8, None, "", 0xC0000200, 24)
    plain = ("project", "plain", False, 4, UDP, 53, 53, "office", None, 0)
    yield SecurityGroupRule("dns", *plain)


def _firewall() -> Iterator[Record]:
    """A firewall group with one policy."""
    office = Prefix(4, 0xC0000200, 24)
    yield FirewallRule("strangers", True, "reject", 4, "tcp", office, None, None, None)
    yield FirewallRule("web", True, "allow", 4, "tcp", None, None, None, (80, 81))
    yield FirewallPolicy("careful", 1, ("strangers", "web"))
    yield FirewallGroup("wall", True, frozenset({"leg-red", "red-1"}), "careful", "")


def _router_port(
    id: str, key: int, network: str, four: int, six: int | None, owner: str, device: str
) -> Port:
    addresses = [FixedIp(f"{network}-v4", 4, four)]
    if six is not None:
        addresses.append(FixedIp(f"{network}-v6", 6, six))
    mac = 0xFA163E000000 + key
    return Port(
        *(id, key, network, "project", id, mac, tuple(addresses), True, False, "", ""),
        device_id=device,
        device_owner=owner,
    )


_PAIR = AddressPair(mac=0x00005E000101, version=4, first=0x0A0000C0, prefix_length=26)


def _interface(
    switch: int, name: str, ofport: int, *, iface_id: str = "", physical_network: str = ""
) -> Interface:
    host = f"host{switch}"
    return Interface((switch, name), switch, name, ofport, host, iface_id, physical_network)


def _plugged(
    id: str,
    key: int,
    network: str,
    switch: int,
    ofport: int,
    *groups: str,
    admin_state_up: bool = True,
    port_security: bool = True,
    allowed_pairs: tuple[AddressPair, ...] = (),
) -> tuple[Record, Record]:
    """A port with an address of each family, and the interface that it is plugged into."""
    addresses = (
        FixedIp(f"{network}-v4", 4, 0x0A000000 + key),
        FixedIp(f"{network}-v6", 6, (0xFD << 120) + key),
    )
    mac = 0xFA163E000000 + key
    port = Port(
        *(id, key, network, "project", id, mac, addresses, admin_state_up, port_security, "", ""),
        allowed_pairs=allowed_pairs,
        security_groups=frozenset(groups) if groups else None,
    )
    return port, _interface(switch, f"tap-{id}"[:15], ofport, iface_id=id)


# --- its flows -------------------------------------------------------------------------------


class Compiled(NamedTuple):
    """A flow of the sample, and which unit yields it."""

    unit: Unit
    flow: Flow


def compiled(apps: Iterable[App] = APPS) -> list[Compiled]:
    """Every flow of the sample: by switch, app and unit, and then in the order they are yielded."""
    apps = tuple(apps)
    engine = Engine(sample(), apps)
    for _ in engine.run():
        pass
    if engine.failed:
        raise RuntimeError(f"the sample does not compile: {engine.failed}")
    found = [
        Compiled(unit, flow) for switch in engine.wanted for unit, flow, _ in engine.flows(switch)
    ]
    return sorted(
        found,
        key=lambda one: (
            one.unit.switch,
            apps.index(one.unit.app),
            one.unit.units.kind,
            one.unit.id,
        ),
    )


def listing(flows: Iterable[Compiled]) -> str:
    """Flows as ``ovs-ofctl add-flows`` reads them, each unit's under a comment that names it."""
    paragraphs = []
    for unit, group in groupby(flows, key=lambda one: one.unit):
        texts = [flow.text() for _, flow in group]
        paragraphs.append("\n".join([f"# s{unit.switch} {unit}", *texts]) + "\n")
    return "\n".join(paragraphs)


def _one_of_each(flows: Iterable[Compiled]) -> Iterator[Compiled]:
    """The first flow of each shape: what the others are like differs in numbers only."""
    seen = set()
    for unit, flow in flows:
        kinds = frozenset((type(action), getattr(action, "field", "")) for action in flow.actions)
        shape = (unit.app.id, unit.units.kind, flow.priority, frozenset(flow.match), kinds)
        if shape not in seen:
            seen.add(shape)
            yield Compiled(unit, flow)


# --- the page --------------------------------------------------------------------------------


def _by_id(table: Table) -> int:
    return table.id


def page() -> str:
    """The whole of ``docs/pipeline.md``."""
    flows = compiled()
    parts = [
        "# The pipeline",
        "Generated by `python -m controller.pipeline_doc` from `controller/pipeline.py` and from "
        "the flows that the features compile; a test fails when it is stale. Do not edit it.",
        "A packet enters at table 0 and goes forward from table to table, carrying what is known "
        "about it in registers. Each table belongs to one feature (an app, `apps/NAME/`), and "
        "others may contribute flows to it. `tenantry flows` shows the same for your switches.",
        "## The way of a packet",
        "In its network:",
        _fenced(_drawing(flows, SWITCHED)),
        "What is for a router's MAC address leaves that way at ROUTER_ADMIT, and comes back to it, "
        "perhaps for another router, when it is on its next network:",
        _fenced(_drawing(flows, (Table.ROUTER_ADMIT, *ROUTER_WAY))),
        "## Tables",
        _grid(("Id", "Table", "Owner", "Contributors", "Nothing matched"), map(_table_row, Table)),
        "Ids are permanent and have gaps: a new table gets a free one, and every jump before it "
        "leads there.",
        "## Fields",
        _grid(
            ("Field", "Register", "Bits", "From, to", "What it says"),
            ((f.name, f"`{f}`", str(f.bits), _spans(f), _sentence(f.doc) + ".") for f in FIELDS),
        ),
        f"PHYSICAL is {PHYSICAL:#x}. A register is free for another field outside the tables "
        "between which it lives.",
        "## Priorities",
        _grid(("Band", "From"), _bands()),
        "## Cookies",
        "The first byte of a flow's cookie is its app's id, the other seven are a hash of the "
        "whole flow: equal cookies are equal flows. `0xff` marks what a switch learned by itself; "
        "there follow the keys of the network and the port.",
        _grid(("App", "Id"), ((app.name, f"`{app.id:#04x}`") for app in APPS)),
        "## Table by table",
        "The flows were compiled from this sample, one of each shape that the table has:",
        _fenced(SAMPLE),
        *(_section(table, flows) for table in Table),
    ]
    return "\n\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fenced(text: str) -> str:
    return f"```\n{text.rstrip()}\n```"


def _grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _spans(field: Field) -> str:
    return "; ".join(" to ".join(span) for span in field.spans)


def _bands() -> list[tuple[str, str]]:
    bands = {name: value for name, value in vars(Band).items() if name.isupper()}
    return [(name, str(value)) for name, value in sorted(bands.items(), key=lambda it: it[1])]


def _table_row(table: Table) -> tuple[str, ...]:
    anchor = f"[{table.name}](#{table.id}-{table.name.lower()})"
    return (
        str(table.id),
        anchor,
        table.owner,
        ", ".join(sorted(table.contributors)) or "-",
        _miss(table),
    )


def _miss(table: Table) -> str:
    if table.miss is Miss.DROP:
        return "drops"
    return f"goes on to {table.next.name}" if table.miss is Miss.NEXT else "the owner's own flow"


def _drawing(flows: list[Compiled], way: tuple[Table, ...]) -> str:
    """The stages downwards with the gotos between them; beside each, what it visits."""
    gotos: dict[Table, set[Table]] = {}
    visits: dict[Table, set[Table]] = {}
    for _, flow in flows:
        for action in flow.actions:
            if isinstance(action, Goto):
                gotos.setdefault(flow.table, set()).add(action.table)
            elif isinstance(action, Resubmit):
                visits.setdefault(flow.table, set()).add(action.table)
    lines = ["        a packet", "           |", "           v"]
    for number, table in enumerate(way):
        line = f"  {table.id:>3}  {table.name:<18}"
        for visited in sorted(visits.get(table, ()), key=_by_id):
            onward = sorted(visits.get(visited, ()), key=_by_id)
            line += f" <-->  {visited.id} {visited.name}"
            line += "".join(f" <-->  {end.id} {end.name}" for end in onward)
        lines.append(line.rstrip())
        ways = sorted(gotos.get(table, ()), key=_by_id)
        if ways and table is not way[-1]:
            far = ", ".join(end.name for end in ways if end not in way[number + 1 : number + 2])
            lines += ["           |" + (f"  or straight to {far}" if far else ""), "           v"]
    lines += ["           |", "           v", "     ports of the switch"]
    lines += ["", "  v  goto: the packet goes on      <-->  resubmit: it looks in and comes back"]
    return "\n".join(lines)


def _section(table: Table, flows: list[Compiled]) -> str:
    contributors = ", ".join(sorted(table.contributors))
    facts = [
        f"- Owner: {table.owner}" + (f", with flows of {contributors}" if contributors else ""),
        f"- Matches on: {', '.join(f'`{field}`' for field in sorted(table.matches))}",
        f"- Nothing matched: {_miss(table)}",
    ]
    if table.learned:
        body = "Its flows are the switch's own, made by `learn` actions."
    else:
        here = [one for one in flows if one.flow.table is table]
        facts.append(f"- Reads {_names(_read(here))}; writes {_names(_written(here))}")
        body = _fenced(listing(_one_of_each(here)))
    return "\n\n".join([f"### {table.id} {table.name}", table.doc, "\n".join(facts), body])


def _read(flows: list[Compiled]) -> set[str]:
    return {field for _, flow in flows for field in flow.match}


def _written(flows: list[Compiled]) -> set[str]:
    actions = [action for _, flow in flows for action in flow.actions]
    return {action.field for action in actions if isinstance(action, SetField)}


def _names(registers: set[str]) -> str:
    return " and ".join(field.name for field in FIELDS if field in registers) or "nothing"


def main(arguments: list[str]) -> int:
    """Write the page; with ``--check``, 1 if it is not what it should be."""
    fresh = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text() == fresh:
            return 0
        print("docs/pipeline.md is stale: run python -m controller.pipeline_doc", file=sys.stderr)
        return 1
    if arguments:
        print("usage: python -m controller.pipeline_doc [--check]", file=sys.stderr)
        return 2
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
