# SPDX-License-Identifier: Apache-2.0

"""Stock ``mn`` with stock Open vSwitch switches, whose OVSDB the controller does not know.

Ports are bound by what OpenFlow alone tells: the datapath id and the name of the interface.
"""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.openstack import CLIENT
from tests.conftest import need
from tests.mininet.conftest import ROOT
from tests.openvswitch import OpenVSwitch

API = "http://127.0.0.1:9696"  # the namespace is the test's own
PATIENCE = 30.0
CONFIG = """\
[store]
url = sqlite:///{directory}/tenantry.db
[ovsdb]
connections =
[networks]
vlan_ranges = trunk:1000:1999
physical_interfaces = s1-eth3:trunk, s2-eth3:trunk
"""
#: What `--topo linear,2,2 --mac` makes: host -> (tenant, switch, interface, number); the number,
#: which ends MAC and address, follows the alphabet.
HOSTS = {
    "h1s1": ("red", 1, "s1-eth1", 1),
    "h2s1": ("blue", 1, "s1-eth2", 3),
    "h1s2": ("red", 2, "s2-eth1", 2),
    "h2s2": ("blue", 2, "s2-eth2", 4),
}
#: mn changes sysctls of the whole machine when it starts, and kills by name when it fails; it asks
#: with telnet whether a controller is there, and chokes on the bytes of its hello.
HARMLESS = """\
import mininet.net
import mininet.node
mininet.net.fixLimits = lambda: None
mininet.node.RemoteController.isListening = lambda self, ip, port: True
def cleanup():
    pass
"""


def request(method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{API}{path}", data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)


def create(kind: str, **body: object) -> Any:
    return request("POST", f"/v2.0/{kind}s", {kind: body})[kind]


def until(what: str, answers: Any) -> None:
    """Ask until ``answers()``; the test fails after :data:`PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not answers():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.1)


@pytest.fixture
def controller(own_netns: None, tenantry: Path, tmp_path: Path) -> Iterator[None]:
    with serving(tenantry, tmp_path, CONFIG.format(directory=tmp_path)):
        yield


@contextmanager
def serving(tenantry: Path, directory: Path, options: str) -> Iterator[None]:
    config, log = directory / "tenantry.conf", directory / "tenantry.log"
    config.write_text(options)
    with open(log, "w") as output:
        process = subprocess.Popen(
            [tenantry, "--config-file", config, "serve"], stdout=output, stderr=output
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(request("GET", "/tenantry/v1/status"))
        except OSError:
            return False

    try:
        until("controller", answers)
        yield
    finally:
        process.terminate()
        process.wait()


def started(words: str, ovs: OpenVSwitch, directory: Path) -> "subprocess.Popen[str]":
    """``mn`` with these words, harmless."""
    harmless = directory / "harmless.py"
    harmless.write_text(HARMLESS)
    return subprocess.Popen(
        [*words.split(), "--custom", str(harmless)],
        env=ovs.environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_what_the_readme_says(
    mininet: Path, controller: None, ovs: OpenVSwitch, tenantry: Path, tmp_path: Path
) -> None:
    """Word by word, but for the kernel module and sudo."""
    need(CLIENT.exists(), "python-openstackclient")
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```\n(sudo mn .*?)```", text, re.DOTALL)
    first, _, others = block.partition("\n")
    words = first.removeprefix("sudo ").replace("OpenFlow14", "OpenFlow14,datapath=user")
    assert "tenantry wait" in others
    mn = started(words, ovs, tmp_path)
    try:
        until("the switch", lambda: request("GET", "/tenantry/v1/status")["switches"])
        path = f"{tenantry.parent}:{CLIENT.parent}:{os.environ['PATH']}"
        cloud = {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": API, "HOME": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-ec", others],
            env={**os.environ, **cloud, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        output = mn.communicate("pingall 1\nexit\n", PATIENCE)[0]
    finally:
        mn.kill()
        mn.wait()
    assert "h1 -> h2" in output
    assert "0% dropped (2/2 received)" in output, output


def test_stock_switches(mininet: Path, controller: None, ovs: OpenVSwitch, tmp_path: Path) -> None:
    networks = {tenant: create("network", name=tenant) for tenant in ("red", "blue")}
    for tenant, network in networks.items():
        create("subnet", network_id=network["id"], cidr="10.0.0.0/8", ip_version=4, name=tenant)
    # What hosts say to each other by link-local addresses is no remote group's.
    (group,) = request("GET", "/v2.0/security-groups?name=default")["security_groups"]
    link_local = {"ethertype": "IPv6", "remote_ip_prefix": "fe80::/10"}
    rule = {"security_group_id": group["id"], "direction": "ingress", **link_local}
    request("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    for name, (tenant, switch, interface, number) in HOSTS.items():
        create(
            "port",
            name=name,
            network_id=networks[tenant]["id"],
            mac_address=f"00:00:00:00:00:{number:02x}",
            fixed_ips=[{"ip_address": f"10.0.0.{number}"}],
            **{
                "binding:host_id": f"{switch:016x}",
                "binding:profile": {"interface_name": interface},
            },
        )

    switch = "ovsk,protocols=OpenFlow14,datapath=user"
    words = f"mn --switch {switch} --topo linear,2,2 --mac --controller remote"
    mn = started(words, ovs, tmp_path)
    try:

        def wired() -> bool:
            assert mn.poll() is None, mn.communicate()[0]
            ports = request("GET", "/v2.0/ports")["ports"]
            return all(port["status"] == "ACTIVE" for port in ports)

        until("ports ACTIVE", wired)
        assert request("GET", "/tenantry/v1/verify")["ok"]
        # Link-local IPv6 addresses follow from the MACs that --mac gave. The words are not hosts'
        # names, because mn's command line replaces those by addresses.
        pings = [
            f"h1s1 ping -6 -n -q -c1 -w2 fe80::200:ff:fe00:{number:x}%h1s1-eth0 "
            f"&& echo reached {number} || echo missed {number}"
            for _, _, _, number in HOSTS.values()
            if number != 1
        ]
        output = mn.communicate("\n".join(["pingall 1", *pings, "exit", ""]), PATIENCE)[0]
    finally:
        mn.kill()
        mn.wait()
    assert set(re.findall(r"(\w+) -> (.*)", output)) == {
        ("h1s1", "h1s2 X X "),
        ("h1s2", "h1s1 X X "),
        ("h2s1", "X X h2s2 "),
        ("h2s2", "X X h2s1 "),
    }, output
    assert set(re.findall(r"(reached|missed) (\d)$", output, re.MULTILINE)) == {
        ("reached", "2"),
        ("missed", "3"),
        ("missed", "4"),
    }, output


def test_the_demo_network_on_a_controller_without_options(
    mininet: Path, ovs: OpenVSwitch, tenantry: Path, tmp_path: Path
) -> None:
    """As its first lines say, beside ``make run``: hosts on both switches reach each other."""
    options = (
        f"[store]\nurl = sqlite:///{tmp_path}/tenantry.db\n[ovsdb]\nconnections = {ovs.remote}\n"
    )
    custom = mininet / "topology.py"
    words = f"mn --custom {custom} --topo tenants --switch tenantry --controller remote"
    with serving(tenantry, tmp_path, options):
        mn = started(words, ovs, tmp_path)
        try:

            def wired() -> bool:
                assert mn.poll() is None, mn.communicate()[0]
                ports = request("GET", "/v2.0/ports")["ports"]
                hosts = [port for port in ports if not port["device_owner"]]
                return len(hosts) == 9 and all(port["status"] == "ACTIVE" for port in hosts)

            until("ports ACTIVE", wired)
            until("all that is under way", lambda: request("GET", "/tenantry/v1/wait")["ok"])
            assert request("GET", "/tenantry/v1/status")["warnings"] == []
            pings = [
                f"red1 ping -n -q -c1 -w3 {to} && echo reached {to} || echo missed {to}"
                for to in ("10.0.0.13", "10.0.1.11", "203.0.113.1")  # red3 and red4 on s2; outside
            ]
            output = mn.communicate("\n".join([*pings, "exit", ""]), PATIENCE)[0]
        finally:
            mn.kill()
            mn.wait()
    assert len(re.findall(r"^reached ", output, re.MULTILINE)) == 3, output
