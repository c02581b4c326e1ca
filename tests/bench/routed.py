# SPDX-License-Identifier: Apache-2.0

"""What routing and NAT cost a packet, beside an ordinary learning bridge in the same switch daemon:
passes through the datapath, the first packet's way, connections a second.

The packets are real, between namespaces; whoever sends and receives them is a process of its own
(``python -m tests.bench.flight``), so that the controller's scheduler is not in the way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import namespace
from tests.bench import Figure, ratio
from tests.lab import Lab, lab
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch
from tests.outside import machine
from tests.story import trace

PLAIN = ("192.0.2.1", "192.0.2.2")
BARS = {"routed": (1, 0.9), "snat": (2, 0.85), "floating": (1, 0.85)}
"""Passes, and connections a second beside the bridge's."""
FIRST_PACKET = 1.4


def bench() -> Iterator[Figure]:
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory), groups=False) as net,
    ):
        ways, ports = _tenant(net)
        for name, passes in _passes(net, ports).items():
            yield Figure(f"routed.{name}.passes", passes, "datapath passes", BARS[name][0])
        rates = {name: rate for name, (_, rate) in BARS.items()}
        yield from beside_a_bridge(net, "routed", ways, rates)


Way = tuple[Guest, Guest, str]
"""Who asks, who answers, at which address."""


def beside_a_bridge(
    net: Lab, prefix: str, ways: dict[str, Way], bars: dict[str, float]
) -> Iterator[Figure]:
    """The first packet's way there and back, and connections a second, against a bridge's."""
    flights = {"bridge": _bridge(net), **ways}
    words = {
        "control": str(net.ovs.control),
        "flights": {
            name: [client.pid, server.pid, address]
            for name, (client, server, address) in flights.items()
        },
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.flight", json.dumps(words)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    first, rates = json.loads(done.stdout)
    for name, bar in bars.items():
        yield ratio(
            f"{prefix}.{name}.first",
            first[name],
            first["bridge"],
            "the bridge's first packet",
            FIRST_PACKET,
        )
        yield ratio(
            f"{prefix}.{name}.rate",
            rates[name],
            rates["bridge"],
            "the bridge's connections",
            bar,
            rate=True,
        )


def _bridge(net: Lab) -> Way:
    """Two guests on a bridge that learns."""
    ovs = net.ovs
    kind = ("datapath_type=netdev", "fail_mode=standalone")
    ovs.vsctl("add-br", "br-plain", "--", "set", "bridge", "br-plain", *kind)
    guests = []
    for number, address in enumerate(PLAIN):
        guest = net.guest()
        run("ip", "link", "add", f"plain{number}", "type", "veth", "peer", "name", f"peer{number}")
        run("ip", "link", "set", f"plain{number}", "up")
        guest.take(f"peer{number}")
        guest.run("ip", "link", "set", f"peer{number}", "name", "eth0")
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        guest.run("ip", "link", "set", "eth0", "up")
        guest.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        ovs.vsctl("add-port", "br-plain", f"plain{number}")
        guests.append(guest)
    return guests[0], guests[1], PLAIN[1]


def _tenant(
    net: Lab,
) -> tuple[dict[str, Way], dict[str, tuple[Any, str]]]:
    """Two networks of one router, one machine with a floating IP, and a server outside: for each
    way who asks whom and where; and the port that asks."""
    outside = net.external("203.0.113.0/24")
    one, two = net.network("10.1.0.0/24"), net.network("10.2.0.0/24")
    net.router(one, two, outside=outside)
    ports = [net.port(one), net.port(two), net.port(one)]
    client, server, floated = (machine(net, port) for port in ports)
    far = net.port(outside, fixed_ips=[{"ip_address": "203.0.113.9"}])
    away = net.guest(far)
    net.floating_ip(outside, ports[2])
    net.settle()
    to, there = ports[1]["fixed_ips"][0]["ip_address"], "203.0.113.9"
    return {
        "routed": (client, server, to),
        "snat": (client, away, there),
        "floating": (floated, away, there),
    }, {"routed": (ports[0], to), "snat": (ports[0], there), "floating": (ports[2], there)}


def _passes(net: Lab, ports: dict[str, tuple[Any, str]]) -> dict[str, int]:
    """By ``ofproto/trace``: how often the datapath looks at a packet."""
    found = {}
    for name, (port, to) in ports.items():
        (subnet,) = (ip["subnet_id"] for ip in port["fixed_ips"])
        query = f"/v2.0/ports?network_id={port['network_id']}&fixed_ips=subnet_id%3D{subnet}"
        (router,) = (
            p
            for p in net.api("GET", query)["ports"]
            if p["device_owner"].startswith("network:router_interface")
        )
        flow = (
            f"tcp,dl_src={port['mac_address']},dl_dst={router['mac_address']},nw_ttl=64"
            f",nw_src={port['fixed_ips'][0]['ip_address']},nw_dst={to},tp_dst=80"
        )
        told = trace(net, interface(net, port["id"]), flow, ct_next=("trk,est",))
        assert told.left, name
        found[name] = told.passes
    return found


def interface(net: Lab, port: str) -> str:
    query = ("--bare", "--columns=name", "find", "interface", f"external_ids:iface-id={port}")
    return net.ovs.vsctl(*query).strip()
