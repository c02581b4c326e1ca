# SPDX-License-Identifier: Apache-2.0

"""Each guest has a share of what is tracked: who begins connections without end keeps nobody else
from beginning any, and what goes on already goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_DGRAM

import pytest

from tenantry.controller import runtime
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.service.conntrack_limits import MOST
from tests.echo import asked, serving
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.netns.test_zones import EVERYTHING, ONE, TWO
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, Outside, machine

SHARE = 60
"""Half of it at once, and then a connection a second."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True, conntrack__connections_per_port=str(SHARE)) as running:
        yield running
        running.verify()


def flood(guest: Guest, address: str, count: int = 5 * SHARE) -> None:
    """So many connections, each a packet."""
    with closing(guest.socket(SOCK_DGRAM, AF_INET6 if ":" in address else AF_INET)) as asking:
        for port in range(1, count + 1):
            asking.sendto(b"?", (address, 1000 + port))
            if port % 20 == 0:
                runtime.sleep(0.01)  # for the switch's buffer, not for its meter


def begun(table: str, address: str) -> int:
    """The connections that an address has begun, once each, in whichever zone."""
    return len({line.split("),")[0] for line in table.splitlines() if f"=(src={address}," in line})


@pytest.mark.parametrize("way", ["bridged", "routed"])
@pytest.mark.parametrize("version", [4, 6])
def test_neighbours_begin_what_one_guest_may_not(net: Lab, way: str, version: int) -> None:
    """Another tenant's, in a network that is shared; and whoever uses the same router."""
    shared, other = net.network(*ONE, shared=True), net.network(*TWO)
    net.router(shared, other)
    opened = group(net, "open", EVERYTHING)
    tenants = [{"project": name} for name in ("greedy", "modest")]
    ports = [net.create("port", network_id=shared["id"], **tenant) for tenant in tenants]
    where = shared if way == "bridged" else other
    ports.append(net.port(where, security_groups=[opened]))
    greedy, modest, server = (machine(net, port) for port in ports)
    net.take_effect()
    to = next(a for a in addresses(ports[2]) if (":" in a) == (version == 6))
    mine = [next(a for a in addresses(p) if (":" in a) == (version == 6)) for p in ports[:2]]
    with serving(server), closing(greedy.socket(SOCK_DGRAM, _FAMILY[version])) as talking:
        talking.settimeout(5)
        talking.connect((to, 7777))
        talking.send(b"first")
        assert talking.recv(100) == mine[0].encode()
        flood(greedy, to)
        assert SHARE // 4 <= begun(net.ovs.appctl("dpctl/dump-conntrack"), mine[0]) <= SHARE
        for _ in range(5):
            assert asked(modest, to) == [mine[1]] * 2
        for _ in range(2 * SHARE):
            talking.send(b"one more in a connection that there is")
            assert talking.recv(100) == mine[0].encode()


_FAMILY = {4: AF_INET, 6: AF_INET6}


def test_who_is_asked_from_outside_without_end_is_alone_in_that(net: Lab) -> None:
    """What begins elsewhere is on the account of the guest that it is for."""
    outside = Outside(net)
    network = net.network(*ONE)
    net.router(network, outside=outside.network)
    opened = group(net, "open", EVERYTHING)
    ports = [net.port(network, security_groups=[opened]) for _ in range(2)]
    target, beside = (machine(net, port) for port in ports)
    floating = [net.floating_ip(outside.network, port)["floating_ip_address"] for port in ports]
    net.take_effect()
    assert all(outside.server.pings(address, 2) for address in floating)
    flood(outside.server, floating[0])
    table = net.ovs.appctl("dpctl/dump-conntrack").splitlines()
    taken = sum(f"dst={addresses(ports[0])[0]}," in line for line in table)
    assert SHARE // 2 <= taken <= 2 * SHARE
    with serving(outside.server):
        assert asked(target, SERVER)[0] == floating[0], "it can ask itself"
    with serving(beside):
        for _ in range(5):
            assert "-" not in asked(outside.server, floating[1])


def test_a_zone_has_as_many_as_its_ports(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """What is kept open for long has a limit, too, on the controller's own host; also when Open
    vSwitch was restarted."""
    options = {"conntrack__connections_per_port": str(SHARE)}
    with lab(ovs, tmp_path, groups=True, **options) as net:
        network, alone = net.network("10.0.0.0/24"), net.network("10.0.0.0/24", project="other")
        for where in (network, network, alone):
            net.guest(net.port(where))
        net.settle()
        keys = [net.controller.store.get("network", n["id"])["key"] for n in (network, alone)]  # type: ignore[index]
        for restarted in (False, True):
            if restarted:
                net.ovs.crash_switch()
                net.until(lambda: not net.controller.progress.reconcilers)
                net.ovs.start_switch()
                net.until(lambda: bool(net.controller.progress.reconcilers))
                net.settle()
            for key, count in zip(keys, (2, 1), strict=True):
                _limited(net, Zone.bridged(key), count * MOST * SHARE)


def _limited(net: Lab, zone: int, limit: int) -> None:
    """Until the datapath has the limit of a zone."""
    deadline = time.monotonic() + 10
    while f"zone={zone},limit={limit}," not in net.ovs.appctl("dpctl/ct-get-limits"):
        assert time.monotonic() < deadline
        runtime.sleep(0.05)
