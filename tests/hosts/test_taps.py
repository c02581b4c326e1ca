# SPDX-License-Identifier: Apache-2.0

"""Copies of real packets on several hosts: to a port of another host, and to a machine outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.farm import Farm, farm, machines
from tests.heard import ends, hearing, is_echo
from tests.namespace import Guest, run
from tests.netns.test_l2 import addresses
from tests.netns.test_taps import closed, tap_flow, tap_service
from tests.outside import wired


@pytest.mark.parametrize(("kind", "version"), [("vxlan", 4), ("geneve", 4), ("geneve", 6)])
def test_copies_go_to_another_host(
    own_netns: None, tmp_path: Path, kind: str, version: int
) -> None:
    """Whole, to the port that gets them and to no other; also of packets that came from its host,
    and of its own."""
    options = {"networks__tenant_network_type": kind, "networks__overlay_ip_version": str(version)}
    with (
        machines(2, version=version) as started,
        farm(tmp_path, started, groups=True, **options) as net,
    ):
        net.open_default_groups()
        network, elsewhere = net.network("10.0.0.0/24", "fd00:a::/64"), net.network("10.9.0.0/24")
        a, b = (net.port(network) for _ in range(2))
        watcher = net.port(elsewhere, security_groups=closed(net))
        beside = net.port(elsewhere, port_security_enabled=False, security_groups=[])
        one = net.plug(started[0], a)
        two, watching, other = (net.plug(started[1], port) for port in (b, watcher, beside))
        flow = tap_flow(net, tap_service(net, watcher), a)
        # The tunnel's row is made because of it.
        net.until(lambda: status(net, flow) == "ACTIVE")
        net.take_effect()
        assert all(one.pings(address, 5) for address in addresses(b))
        with hearing(watching) as copies, hearing(one) as heard, hearing(other) as nothing:
            assert all(one.pings(address) for address in addresses(b))
            assert all(two.pings(address) for address in addresses(a))
            echoes = heard.pings(8)
            assert sorted(copies.pings(8)) == sorted(echoes), "each once, byte by byte"
            assert nothing.pings(0) == []
        between = frozenset((a["mac_address"], b["mac_address"]))
        assert {frozenset(ends(frame)) for frame in echoes} == {between}
        net.verify()


def status(net: Farm, flow: Any) -> str:
    found: str = net.api("GET", f"/v2.0/taas/tap_flows/{flow['id']}")["tap_flow"]["status"]
    return found


def listener(net: Farm, version: int) -> tuple[Guest, str]:
    """A machine on the underlay, and its address."""
    guest = Guest()
    net._guests.append(guest)
    run("ip", "link", "add", "ul", "type", "veth", "peer", "name", "ul2")
    run("ip", "link", "set", "ul", "master", "under")
    wired("ul")
    guest.take("ul2")
    guest.run("ip", "link", "set", "ul2", "name", "eth0")
    guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
    guest.run("ip", "link", "set", "eth0", "up")
    guest.run("ethtool", "-K", "eth0", "tx", "off")
    address, length = ("192.168.77.200", 24) if version == 4 else ("fd00:77::200", 64)
    guest.run("ip", "address", "add", f"{address}/{length}", "dev", "eth0")
    return guest, address


def unpacked(frame: bytes) -> tuple[int, bytes] | None:
    """The id of the tunnel that an Ethernet frame came by (GRE's key, ERSPAN's session), and the
    frame; nothing of what is neither."""
    kind, start = frame[12:14], 54
    if kind == b"\x08\x00" and frame[23] == 47:
        start = 14 + 4 * (frame[14] & 0xF)
    elif kind != b"\x86\xdd" or frame[20] != 47:
        return None
    flags, protocol = frame[start : start + 2], frame[start + 2 : start + 4]
    if (flags, protocol) == (b"\x20\x00", b"\x65\x58"):  # RFC 2890: a key; and a frame
        return int.from_bytes(frame[start + 4 : start + 8], "big"), frame[start + 8 :]
    # draft-foschiano-erspan, 4.2: GRE with a sequence number, then version 1 (type II).
    assert (flags, protocol) == (b"\x10\x00", b"\x88\xbe")
    header = frame[start + 8 : start + 16]
    assert header[0] >> 4 == 1
    session, index = int.from_bytes(header[2:4], "big") & 0x3FF, header[5:8]
    assert int.from_bytes(index, "big") & 0xFFFFF == session
    return session, frame[start + 16 :]


@pytest.mark.parametrize("kind", ["gre", "erspanv1"])
@pytest.mark.parametrize("version", [4, 6])
def test_mirrors_lead_outside(own_netns: None, tmp_path: Path, kind: str, version: int) -> None:
    """To a plain listener, that takes each direction by its tunnel."""
    options = {"networks__overlay_ip_version": str(version)}
    with machines(2, version=version) as started, farm(tmp_path, started, **options) as net:
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        a, b, c = (net.port(network) for _ in range(3))
        one, _, three = (net.plug(started[n], p) for n, p in ((0, a), (1, b), (0, c)))
        outside, address = listener(net, version)
        made = {"port_id": a["id"], "mirror_type": kind, "remote_ip": address}
        body = {"tap_mirror": {**made, "directions": {"IN": 101, "OUT": 202}}}
        mirror = net.api("POST", "/v2.0/taas/tap_mirrors", body)["tap_mirror"]
        net.until(lambda: len(tunnels(net)) == 2)
        net.take_effect()
        # The first packets of a tunnel wait for the address of its other end.
        assert all(one.pings(address, 5) for address in addresses(b))
        with hearing(outside) as copies, hearing(one) as heard:
            assert all(three.pings(address) for address in addresses(b))
            assert all(one.pings(address) for address in addresses(b))
            pings = copies.frames(
                4, lambda f: (pair := unpacked(f)) is not None and is_echo(pair[1])
            )
            found = [pair for frame in pings if (pair := unpacked(frame))]
            assert sorted(inner for _, inner in found) == sorted(heard.pings(4))
        by_tunnel = {key: {ends(inner)[0] for k, inner in found if k == key} for key in (101, 202)}
        assert by_tunnel == {101: {b["mac_address"]}, 202: {a["mac_address"]}}
        net.verify()
        net.api("DELETE", f"/v2.0/taas/tap_mirrors/{mirror['id']}")
        net.until(lambda: not tunnels(net))
        net.take_effect()
        with hearing(outside) as copies:
            assert all(one.pings(address) for address in addresses(b))
            assert copies.frames(0, lambda frame: unpacked(frame) is not None) == []
        net.verify()


def tunnels(net: Farm) -> list[str]:
    """The interfaces of mirrors on the first host."""
    return [
        name for name in net.machines[0].vsctl("list-ports", "br-int").split() if name[:3] == "mi-"
    ]
