# SPDX-License-Identifier: Apache-2.0

"""``tenantry plug`` and ``unplug`` on a real Open vSwitch, with real namespaces and packets."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.controller.cli.plug import (
    ETC,
    PlugError,
    interface_name,
    netns_interface_name,
    plug,
    unplug,
)
from tests.namespace import run
from tests.openvswitch import OpenVSwitch

NETWORK = {"id": "net", "mtu": 1450}
SUBNETS = [
    {"id": "four", "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "10.0.0.1"},
    {"id": "six", "cidr": "fd00:a::/64", "ip_version": 6, "gateway_ip": None},
]


def port(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:08x}-aaaa-4aaa-8aaa-{os.getpid():012x}",
        # Named namespaces are the whole machine's: two runs of the tests must not meet.
        "name": f"tenantry-test-{os.getpid()}-{number}",
        "mac_address": f"fa:16:3e:00:00:{number:02x}",
        "fixed_ips": [
            {"subnet_id": "four", "ip_address": f"10.0.0.{number}"},
            {"subnet_id": "six", "ip_address": f"fd00:a::{number}"},
        ],
    }


@pytest.fixture
def bridge(ovs: OpenVSwitch, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenVSwitch]:
    """A bridge ``br-int`` that forwards like any switch; the plugged namespaces go at the end."""
    monkeypatch.setenv("OVS_RUNDIR", str(ovs.directory))
    ovs.add_bridge("br-int")
    ovs.ofctl("add-flow", "br-int", "actions=NORMAL")
    yield ovs
    for netns in namespaces():
        run("ip", "netns", "delete", netns)


def namespaces() -> set[str]:
    """Those of this test that are there."""
    words = run("ip", "netns", "list").split()
    return {word for word in words if word.startswith(f"tenantry-test-{os.getpid()}-")}


def links(netns: str | None = None) -> dict[str, dict[str, Any]]:
    where = ["-n", netns] if netns else []
    return {link["ifname"]: link for link in json.loads(run("ip", *where, "-json", "address"))}


def addresses(link: dict[str, Any]) -> set[str]:
    return {
        f"{info['local']}/{info['prefixlen']}"
        for info in link["addr_info"]
        if info["scope"] == "global"
    }


def pings(netns: str, address: str) -> bool:
    words = ["ip", "netns", "exec", netns, "ping", "-n", "-q", "-c1", "-w5", address]
    return subprocess.run(words, capture_output=True).returncode == 0


def test_two_ports_talk_over_both_versions(bridge: OpenVSwitch) -> None:
    first = plug(port(1), NETWORK, SUBNETS, bridge="br-int")
    second = plug(port(2), NETWORK, SUBNETS, bridge="br-int")
    assert first.netns == port(1)["name"]
    assert pings(first.netns, "10.0.0.2")
    assert pings(second.netns, "fd00:a::1")

    inner = links(first.netns)[netns_interface_name(port(1)["id"])]
    assert inner["ifname"] == first.netns_interface
    assert (inner["address"], inner["mtu"]) == (port(1)["mac_address"], 1450)
    assert addresses(inner) == set(first.addresses) == {"10.0.0.1/24", "fd00:a::1/64"}
    assert "UP" in links(first.netns)["lo"]["flags"]
    # Port 1 is the gateway; only port 2 has a way there.
    assert run("ip", "-n", first.netns, "route", "show", "default") == ""
    assert "via 10.0.0.1" in run("ip", "-n", second.netns, "route", "show", "default")

    external_ids = json.loads(
        bridge.vsctl(
            *("--format=json", "--columns=external_ids", "find", "Interface"),
            f"name={first.interface}",
        )
    )["data"][0][0][1]
    assert dict(external_ids)["iface-id"] == port(1)["id"]
    assert dict(external_ids)["attached-mac"] == port(1)["mac_address"]


def test_plugging_again_follows_the_port(bridge: OpenVSwitch) -> None:
    plug(port(1), NETWORK, SUBNETS, bridge="br-int")
    before = links()[interface_name(port(1)["id"])]["ifindex"]
    changed = port(1) | {"mac_address": "fa:16:3e:00:00:99"}
    changed["fixed_ips"] = [{"subnet_id": "four", "ip_address": "10.0.0.77"}]
    plugged = plug(changed, NETWORK | {"mtu": 1400}, SUBNETS, bridge="br-int")

    inner = links(plugged.netns)[plugged.netns_interface]
    assert addresses(inner) == {"10.0.0.77/24"}
    assert (inner["address"], inner["mtu"]) == ("fa:16:3e:00:00:99", 1400)
    assert links()[plugged.interface]["ifindex"] == before  # the same veth, not a new one
    assert bridge.vsctl("list-ports", "br-int").split() == [plugged.interface]


def test_unplug_leaves_nothing(bridge: OpenVSwitch) -> None:
    before = set(links())
    plug(port(1), NETWORK, SUBNETS, bridge="br-int")
    assert unplug(port(1), bridge="br-int")
    assert set(links()) == before
    assert namespaces() == set()
    assert bridge.vsctl("list-ports", "br-int") == ""
    assert not unplug(port(1), bridge="br-int")


def test_a_namespace_goes_with_its_last_port(bridge: OpenVSwitch) -> None:
    netns = port(2)["name"]
    for number in (2, 3):
        plug(port(number), NETWORK, SUBNETS, bridge="br-int", netns=netns)
    unplug(port(2), bridge="br-int")
    assert namespaces() == {netns}
    assert netns_interface_name(port(3)["id"]) in links(netns)
    unplug(port(3), bridge="br-int")
    assert namespaces() == set()


def test_a_namespace_of_somebody_else_stays(bridge: OpenVSwitch) -> None:
    netns = port(1)["name"]
    run("ip", "netns", "add", netns)
    plug(port(1), NETWORK, SUBNETS, bridge="br-int")
    unplug(port(1), bridge="br-int")
    assert namespaces() == {netns}
    assert set(links(netns)) <= set(links()) | {"lo"}


def test_bad_requests_change_nothing(bridge: OpenVSwitch) -> None:
    def state() -> tuple[object, ...]:
        return set(links()), namespaces(), bridge.vsctl("list-ports", "br-int")

    before = state()
    with pytest.raises(PlugError, match="no bridge br-none; `tenantry serve` creates it"):
        plug(port(1), NETWORK, SUBNETS, bridge="br-none")
    with pytest.raises(PlugError, match="cannot name a namespace"):
        plug(port(1), NETWORK, SUBNETS, bridge="br-int", netns="../etc")
    with pytest.raises(PlugError, match="address"):  # multicast: the kernel says no, half-way
        plug(port(1) | {"mac_address": "01:00:5e:00:00:01"}, NETWORK, SUBNETS, bridge="br-int")
    assert state() == before

    plug(port(1), NETWORK, SUBNETS, bridge="br-int")
    before = state()
    with pytest.raises(PlugError, match="run `tenantry unplug"):
        plug(port(1), NETWORK, SUBNETS, bridge="br-int", netns=port(2)["name"])
    with pytest.raises(PlugError, match=f"into namespace {port(1)['name']}, not elsewhere"):
        unplug(port(1), bridge="br-int", netns="elsewhere")
    assert state() == before


def test_an_interface_of_somebody_else_is_left_alone(bridge: OpenVSwitch) -> None:
    tap = interface_name(port(1)["id"])
    bridge.vsctl("add-port", "br-int", tap, "--", "set", "Interface", tap, "type=internal")
    for attempt in (
        lambda: plug(port(1), NETWORK, SUBNETS, bridge="br-int"),
        lambda: unplug(port(1), bridge="br-int"),
    ):
        with pytest.raises(PlugError, match="was not made by `tenantry plug`"):
            attempt()
    assert bridge.vsctl("list-ports", "br-int").split() == [tap]


def test_a_guest_has_its_networks_resolvers(bridge: OpenVSwitch) -> None:
    resolvers = [SUBNETS[0] | {"service_address": "10.0.0.254"}, SUBNETS[1]]
    netns = plug(port(1), NETWORK, resolvers, bridge="br-int").netns
    seen = run("ip", "netns", "exec", netns, "cat", "/etc/resolv.conf")
    assert "nameserver 10.0.0.254" in seen
    resolvers[0]["dns_nameservers"] = ["192.0.2.53"]
    plug(port(1), NETWORK, resolvers, bridge="br-int")
    seen = run("ip", "netns", "exec", netns, "cat", "/etc/resolv.conf")
    assert "nameserver 192.0.2.53" in seen and "10.0.0.254" not in seen
    assert unplug(port(1), bridge="br-int")
    assert not (ETC / netns).exists()


def test_resolvers_of_somebody_else_stay(bridge: OpenVSwitch) -> None:
    file = ETC / str(port(1)["name"]) / "resolv.conf"
    file.parent.mkdir(parents=True)
    try:
        file.write_text("nameserver 192.0.2.1\n")
        resolvers = [SUBNETS[0] | {"service_address": "10.0.0.254"}, SUBNETS[1]]
        plug(port(1), NETWORK, resolvers, bridge="br-int")
        unplug(port(1), bridge="br-int")
        assert file.read_text() == "nameserver 192.0.2.1\n"
    finally:
        file.unlink()
        file.parent.rmdir()
