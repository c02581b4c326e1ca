# SPDX-License-Identifier: Apache-2.0

"""What goes from host to host: throughput beside a plain VXLAN tunnel between the same two; and
what the 101st of many costs the others.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests import namespace
from tests.bench import Figure, ratio, turns
from tests.bench.beside import Beside
from tests.bench.fake import looked_after
from tests.bench.scale import free_address
from tests.bench.served import Served
from tests.farm import Beyond, Farm, Machine, farm, machines
from tests.namespace import Guest, run

ROUNDS, SECONDS = 5, 2
PLAIN = ("192.0.2.1", "192.0.2.2")
WAYS = ("bridged", "routed", "floating")
BAR = 0.8

HOSTS = 100
HANDFUL = {"join": 5, "port": 8}


def bench() -> Iterator[Figure]:
    """Throughput over VXLAN and over Geneve."""
    for kind in ("vxlan", "geneve"):
        with (
            namespace.entered(),
            machines(2, uplinks=1) as started,
            tempfile.TemporaryDirectory(dir="build") as directory,
            farm(Path(directory), started, networks__tenant_network_type=kind) as net,
        ):
            ways = {"plain": _plain(started), **_ways(net)}
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in turns(ROUNDS):
                for name, (client, server, address) in ways.items():
                    rates[name].append(_throughput(client, server, address))
            for name in WAYS:
                beside = rates[name], rates["plain"]
                what = "a plain VXLAN tunnel, Mbit"
                yield ratio(f"overlay.{kind}.{name}", *beside, what, BAR, rate=True)


Way = tuple[Guest, Guest, str]


def _plain(started: list[Machine]) -> Way:
    """Two guests on ordinary bridges of the two machines, and a tunnel between those."""
    guests = []
    for machine, other, address in zip(started, reversed(started), PLAIN, strict=True):
        guest = Guest()
        run("ip", "link", "add", "plain", "type", "veth", "peer", "name", "peer")
        machine.guest.take("plain")
        machine.guest.run("ip", "link", "set", "plain", "up")
        guest.take("peer")
        guest.run("ip", "link", "set", "peer", "name", "eth0")
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        guest.run("ip", "link", "set", "eth0", "mtu", 1450, "up")
        guest.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        machine.vsctl(
            *("add-br", "br-plain", "--", "set", "bridge", "br-plain", "datapath_type=netdev"),
            *("--", "add-port", "br-plain", "plain", "--", "add-port", "br-plain", "tunnel"),
            *("--", "set", "interface", "tunnel", "type=vxlan", "options:key=99"),
            f"options:remote_ip={other.tunnel_address}",
        )
        guests.append(guest)
    return guests[0], guests[1], PLAIN[1]


def _ways(net: Farm) -> dict[str, Way]:
    """Bridged and routed between the two machines; and from outside, by the first machine, to a
    floating IP on the second."""
    one, two = net.machines
    beyond = Beyond(net)
    near, far = net.network("10.1.0.0/24"), net.network("10.2.0.0/24")
    net.router(near, far, outside=beyond.network)
    client, server, routed = (net.port(n) for n in (near, near, far))
    guests = [net.plug(m, p) for m, p in ((one, client), (two, server), (two, routed))]
    floating = net.floating_ip(beyond.network, server)["floating_ip_address"]
    net.settle()
    return {
        "bridged": (guests[0], guests[1], server["fixed_ips"][0]["ip_address"]),
        "routed": (guests[0], guests[2], routed["fixed_ips"][0]["ip_address"]),
        "floating": (beyond.router, guests[1], floating),
    }


def _throughput(client: Guest, server: Guest, address: str) -> float:
    """Mbit/s of a TCP connection."""
    listening = server.start("iperf3", "-s", "-1", "--forceflush")
    assert listening.stdout is not None
    while "Server listening" not in listening.stdout.readline():
        assert listening.poll() is None
    assert client.pings(address, count=5)
    done = subprocess.run(
        client.command("iperf3", "-c", address, "-t", SECONDS, "-J", "-M", 1300),
        capture_output=True,
        text=True,
    )
    listening.communicate()
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e6


# --- many hosts ------------------------------------------------------------------------------


def bench_join() -> Iterator[Figure]:
    """One host more among 100, all of which share a network: what each of the others is sent."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="build")))
        fake = stack.enter_context(Beside("tests.bench.fake"))
        options = {"networks__tenant_network_type": "vxlan"}
        with Served(directory, **options) as controller:
            network = controller.client.network(["10.0.0.0/16"])
            ports = controller.client.ports([{"network_id": network}] * (HOSTS + 1))
        hosts = [{"p1": {"iface-id": port}} for port in ports[:HOSTS]]
        remotes = fake.call("start", hosts=[*hosts, {}])
        fake.call("tunnels", numbers=list(range(HOSTS + 1)))
        listen = free_address()
        fake.call("connect", host=listen[0], port=listen[1], numbers=list(range(HOSTS)))
        controller = stack.enter_context(
            Served(
                directory,
                openflow__listen=f"{listen[0]}:{listen[1]}",
                **looked_after(remotes),
                **options,
            )
        )
        controller.settled(switches=HOSTS)
        before = fake.call("flow_mods")
        fake.call("connect_one", number=HOSTS, host=listen[0], port=listen[1])
        controller.settled(switches=HOSTS + 1)
        joined = fake.call("flow_mods")
        fake.call("plug", number=HOSTS, name="p1", ids={"iface-id": ports[HOSTS]})
        controller.call("active", port=ports[HOSTS])
        controller.settled(switches=HOSTS + 1)
        plugged = fake.call("flow_mods")
        for name, start, end in (("join", before, joined), ("port", joined, plugged)):
            most = max(b - a for a, b in list(zip(start, end, strict=True))[:HOSTS])
            yield Figure(f"hosts.{name}.flow-mods", most, "to each of 100 others", HANDFUL[name])
