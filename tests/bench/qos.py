# SPDX-License-Identifier: Apache-2.0

"""What is had of a limit, and what limits cost: those who have one in flows and meters, all others
in passes and in the first packet's way, beside a switch that has no tables of quality of service.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenantry.apps import APPS
from tenantry.apps.qos.records import EGRESS, INGRESS, BandwidthLimit
from tenantry.controller.engine.engine import Engine
from tenantry.controller.model import Change, Interface, Model, Network, Port, Switch
from tenantry.controller.model.binding import rebind
from tenantry.controller.openflow.groups_meters import is_flow
from tenantry.controller.openflow.pipeline import Table
from tests import namespace
from tests.bench import Figure, ratio
from tests.lab import Lab, lab
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch
from tests.qos_policies import give, limits, policy
from tests.rates import share
from tests.story import trace

PORTS = 1000
RATES = (1000, 10_000, 100_000)
SECONDS = 6
NOTHING_MORE = 1.1
"""Of the first packet's time: two turns of one and the same differ by as much."""


def bench() -> Iterator[Figure]:
    yield from _cost()
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory)) as net,
    ):
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(3)]
        guests = [net.guest(port) for port in ports]
        yield from _had(net, ports, guests)
        yield from _others(net, ports, guests)


# --- what it costs ---------------------------------------------------------------------------


def _cost() -> Iterator[Figure]:
    """Of so many ports on a switch, each with a plain limit both ways."""
    counts = []
    for limited in (False, True):
        engine = Engine(_model(limited), APPS)
        assert list(engine.run()) and not engine.failed
        (wanted,) = engine.wanted.values()
        flows = sum(map(is_flow, wanted.flows))
        counts.append((flows, len(wanted.flows) - flows))
    (flows, meters), (flows_then, meters_then) = counts
    yield Figure("qos.port.flows", (flows_then - flows) / PORTS, "more a port with limits", 2)
    yield Figure("qos.port.meters", (meters_then - meters) / PORTS, "more a port with limits", 2)


def _model(limited: bool) -> Model:
    records: list[Any] = [
        Switch(1, "s1", "host1", integration=True),
        Network("net", 1, "project", "net", True, 1500, "local", None, None),
        *(BandwidthLimit(way, "slow", way, 1000, 0) for way in (EGRESS, INGRESS)),
    ]
    for number in range(1, PORTS + 1):
        id, mac = f"port{number}", 0x020000000000 + number
        port = Port(id, number, "net", "project", "", mac, (), True, True, "", "")
        records.append(replace(port, qos_policy_id="slow" if limited else ""))
        tap = f"tap{number}"
        records.append(Interface((1, tap), 1, tap, 10 + number, "host1", id, ""))
    model, changes = Model(), [Change(type(one), one.id, one) for one in records]
    model.apply(changes)
    model.apply(rebind(model, changes))
    return model


# --- what is had -----------------------------------------------------------------------------


def _had(net: Lab, ports: list[Any], guests: list[Guest]) -> Iterator[Figure]:
    """Both ways, by one TCP connection and by UDP; as far as the switch carries so much."""
    ends = [port["fixed_ips"][0]["ip_address"] for port in ports]
    ways = {"out": (guests[0], guests[1], ends[1]), "in": (guests[1], guests[0], ends[0])}
    for kbps in RATES:
        give(net, "port", ports[0], policy(net, bandwidth_limit=limits(kbps)))
        had = {
            f"{kind} {name}": share(*way, kbps=kbps, seconds=SECONDS, kind=kind)
            for kind in ("tcp", "udp")
            for name, way in ways.items()
        }
        today = ", ".join(f"{name} {value:.3f}" for name, value in had.items())
        mbit = kbps // 1000
        yield Figure(f"qos.{mbit}.least", min(had.values()), "of Mbit/s", 0.90, True, today)
        yield Figure(f"qos.{mbit}.most", max(had.values()), "of Mbit/s", 1.05)


# --- what it costs others ----------------------------------------------------------------------


def _others(net: Lab, ports: list[Any], guests: list[Guest]) -> Iterator[Figure]:
    """A port without limits, beside one with them; and the same where there are no such tables."""
    one, other = ports[1:]
    to = other["fixed_ips"][0]["ip_address"]
    taps = [_interface_of(net, port) for port in (one, other)]
    less = _without_tables(net, [one, other], taps)
    packet = (
        f"udp,dl_src={one['mac_address']},dl_dst={other['mac_address']},nw_ttl=64,"
        f"nw_src={one['fixed_ips'][0]['ip_address']},nw_dst={to}"
    )
    passes = [
        trace(net, tap, packet, bridge=bridge, ct_next=("trk,est",) * 2).passes
        for tap, bridge in ((taps[0], "br-int"), ("less0", "br-less"))
    ]
    yield Figure("qos.none.passes", passes[0] - passes[1], "more datapath passes", 0)
    pids = {"with": [guest.pid for guest in guests[1:]], "less": [guest.pid for guest in less]}
    words = {
        "control": str(net.ovs.control),
        "flights": {name: [*both, to] for name, both in pids.items()},
    }
    command = [sys.executable, "-m", "tests.bench.flight", json.dumps(words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    first, rates = json.loads(done.stdout)
    than = "the same without the tables"
    yield ratio("qos.none.first", first["with"], first["less"], than, NOTHING_MORE)
    yield ratio("qos.none.rate", rates["with"], rates["less"], than, 0.95, rate=True)


def _interface_of(net: Lab, port: Any) -> str:
    """Where a port is plugged in."""
    is_its = f"external_ids:iface-id={port['id']}"
    return net.ovs.vsctl("--bare", "--columns=name", "find", "interface", is_its).strip()


def _without_tables(net: Lab, ports: list[Any], taps: list[str]) -> list[Guest]:
    """Another bridge with the flows of the first but for those tables, and guests like those."""
    net.ovs.add_bridge("br-less")
    guests = []
    for number, (port, tap) in enumerate(zip(ports, taps, strict=True)):
        guest, name = net.guest(), f"less{number}"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "peer")
        run("ip", "link", "set", name, "up")
        guest.take("peer")
        for words in (
            ("ip", "link", "set", "peer", "name", "eth0"),
            ("ip", "link", "set", "eth0", "address", port["mac_address"]),
            ("ethtool", "-K", "eth0", "tx", "off"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "address", "add", f"{port['fixed_ips'][0]['ip_address']}/24", "dev", "eth0"),
        ):
            guest.run(*words)
        ofport = net.ovs.vsctl("get", "interface", tap, "ofport").strip()
        request = ("--", "set", "interface", name, f"ofport_request={ofport}")
        net.ovs.vsctl("add-port", "br-less", name, *request)
        guests.append(guest)
    meters = net.ovs.ofctl("dump-meters", "br-int")
    for head, band in re.findall(r"^(meter=\d+ .*bands)=\n(.*)$", meters, re.MULTILINE):
        net.ovs.ofctl("add-meter", "br-less", f"{head.strip()}={band.strip()}")
    ours = {str(table.id): str(table.next.id) for table in Table if table.owner == "qos"}
    flows = []
    for line in net.ovs.ofctl("dump-flows", "--no-names", "--no-stats", "br-int").splitlines():
        if any(f"table={id}," in line for id in ours) or "actions=" not in line:
            continue
        for jump in (r"goto_table:()(\d+)()\b", r"resubmit\((,)(\d+)(\))"):
            line = re.sub(jump, lambda found: _around(found, ours), line)
        flows.append(line.strip())
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(flows))
        file.flush()
        net.ovs.ofctl("add-flows", "br-less", file.name)
    return guests


def _around(jump: re.Match[str], ours: dict[str, str]) -> str:
    """A jump to the table behind, if it leads to one of ours."""
    text = jump[0]
    return text.replace(jump[2], ours[jump[2]]) if jump[2] in ours else text
