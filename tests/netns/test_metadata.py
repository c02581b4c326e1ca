# SPDX-License-Identifier: Apache-2.0

"""What machines are told of themselves at 169.254.169.254: real requests through the switch."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

FOUR, SIX = "http://169.254.169.254", "http://[fe80::a9fe:a9fe%25eth0]"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk me@example"
USER_DATA = "#cloud-config\nhostname: web\n"


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    need(shutil.which("curl") is not None, "curl")
    with lab(ovs, tmp_path) as running:
        assert running.controller.service_port.up.wait(10)
        yield running
        running.verify()


def machine(net: Lab, network: Any, **profile: Any) -> tuple[Guest, Any]:
    """A guest that can reach the metadata addresses, as DHCP would have told it."""
    port = net.port(network, **{"binding:profile": profile})
    guest = net.guest(port)
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    return guest, port


def get(guest: Guest, url: str, *options: str) -> str:
    return guest.run("curl", "-gsS", "--fail-with-body", "-m", "5", *options, url)


def status(guest: Guest, url: str, *options: str) -> str:
    return guest.run(
        "curl", "-gs", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *options, url
    )


def test_openstack_and_ec2_in_both_families(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64", dns_domain="blue.example.")
    guest, port = machine(
        *(net, network),
        ssh_keys={"me": KEY},
        user_data=base64.b64encode(USER_DATA.encode()).decode(),
        meta={"role": "web"},
        instance_id="i-1",
    )
    four = port["fixed_ips"][0]["ip_address"]
    name = f"host-{four.replace('.', '-')}.blue.example"
    for base in (FOUR, SIX):
        meta = json.loads(get(guest, f"{base}/openstack/latest/meta_data.json"))
        assert (meta["uuid"], meta["hostname"], meta["project_id"]) == ("i-1", name, "demo")
        assert meta["public_keys"] == {"me": KEY}
        assert meta["meta"] == {"role": "web"}
        assert get(guest, f"{base}/openstack/latest/user_data") == USER_DATA
        assert get(guest, f"{base}/latest/user-data") == USER_DATA
        network_data = json.loads(get(guest, f"{base}/openstack/latest/network_data.json"))
        assert [one["ip_address"] for one in network_data["networks"]] == [
            ip["ip_address"] for ip in port["fixed_ips"]
        ]
        assert network_data["links"][0]["ethernet_mac_address"] == port["mac_address"]
        ec2 = f"{base}/2009-04-04/meta-data"
        assert get(guest, f"{ec2}/instance-id") == "i-1"
        assert get(guest, f"{ec2}/local-ipv4") == four
        assert get(guest, f"{ec2}/public-keys/") == "0=me@example"
        assert get(guest, f"{ec2}/public-keys/0/openssh-key") == KEY
        assert "public-keys/" in get(guest, f"{ec2}/").splitlines()
        assert status(guest, f"{base}/openstack/latest/nothing") == "404"
        assert status(guest, f"{base}/openstack", "-X", "POST") == "405"


def test_who_asks_is_known_by_the_switch_port_alone(net: Lab) -> None:
    """Two tenants whose machines are the same in all that they can say."""
    guests = []
    for project in ("red", "blue"):
        network = net.network("10.0.0.0/24", project=project)
        port = net.port(
            network,
            mac_address="fa:16:3e:00:00:01",
            **{"binding:profile": {"instance_id": project}},
        )
        guest = net.guest(port)
        guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
        guests.append((guest, project))
    forged = [
        word
        for header in ("X-Forwarded-For: 10.0.0.3", "X-Instance-ID: blue", "X-Tenant-ID: blue")
        for word in ("-H", header)
    ]
    for options in ((), forged):
        for guest, project in guests:
            for base in (FOUR, SIX):
                url = f"{base}/openstack/latest/meta_data.json"
                meta = json.loads(get(guest, url, *options, "--local-port", "50000-50100"))
                assert (meta["uuid"], meta["project_id"]) == (project, project)
    # At the same time, from the same source port.
    url = f"{FOUR}/latest/meta-data/instance-id"
    loops = [
        guest.start(
            "sh", "-c", f"for n in $(seq 20); do curl -s --local-port 40000-40100 {url}; echo; done"
        )
        for guest, _ in guests
    ]
    for loop, (_, project) in zip(loops, guests, strict=True):
        assert loop.communicate()[0].split() == [project] * 20


def test_a_machine_with_two_addresses(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    port = net.port(network, fixed_ips=[{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.6"}])
    guest = net.guest(port)
    guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
    for _ in range(3):
        for address in ("10.0.0.5", "10.0.0.6"):
            url = f"{FOUR}/latest/meta-data/instance-id"
            assert get(guest, url, "--interface", address) == port["id"]


def test_a_guest_that_holds_on_does_not_hold_up_others(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    (greedy, _), (other, port) = machine(net, network), machine(net, network)
    holding = greedy.start(
        "python3",
        "-c",
        "import socket, sys\n"
        "held = []\n"
        "for _ in range(40):\n"
        "    s = socket.create_connection(('169.254.169.254', 80), 5)\n"
        "    s.sendall(b'GET /'); held.append(s)\n"
        "print('held', flush=True); sys.stdin.read()",
    )
    assert holding.stdout is not None
    assert holding.stdout.readline() == "held\n"
    assert get(other, f"{FOUR}/latest/meta-data/instance-id") == port["id"]
    assert len(net.controller.service_port.clients) <= 17
    holding.terminate()
    holding.communicate()


def test_nobody_else_speaks_with_a_ports_address(net: Lab) -> None:
    """Only what comes by the service port is answered; and guests cannot get there otherwise."""
    network = net.network("10.0.0.0/24")
    guest, _ = machine(net, network)
    guest.run("ip", "route", "add", "240.0.0.0/4", "dev", "eth0")
    assert status_or_none(guest, "http://240.255.255.254:8775/latest/") is None


def status_or_none(guest: Guest, url: str) -> str | None:
    try:
        return guest.run("curl", "-gs", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", url)
    except AssertionError:
        return None


def test_the_requests_that_cloud_init_makes(net: Lab) -> None:
    """Those of DataSourceOpenStack (22.4), in its order: the versions, the files of the newest that
    it knows, then the whole tree of EC2, leaf by leaf."""
    network = net.network("10.0.0.0/24")
    guest, port = machine(net, network, ssh_keys={"me": KEY}, user_data=USER_DATA)
    versions = get(guest, f"{FOUR}/openstack").splitlines()
    known = ("2018-08-27", "2017-02-22", "2016-10-06", "2016-06-30", "2015-10-15", "latest")
    newest = next(version for version in known if f"{version}/" in versions)
    files = {
        name: status(guest, f"{FOUR}/openstack/{newest}/{name}")
        for name in ("user_data", "network_data.json", "meta_data.json", "vendor_data.json")
    }
    assert set(files.values()) == {"200"}
    leaves: dict[str, str] = {}
    directories = [f"{FOUR}/latest/meta-data/"]
    while directories:
        directory = directories.pop()
        for line in get(guest, directory).splitlines():
            name, keyed, _ = line.partition("=")
            if keyed:  # a key: its number, and a name
                leaves[line] = get(guest, f"{directory}{name}/openssh-key")
            elif line.endswith("/"):
                directories.append(directory + line)
            else:
                leaves[directory + line] = get(guest, directory + line)
    assert leaves["0=me@example"] == KEY
    assert leaves[f"{FOUR}/latest/meta-data/instance-id"] == port["id"]
    assert f"{FOUR}/latest/meta-data/network/interfaces/macs/{port['mac_address']}/mac" in leaves
