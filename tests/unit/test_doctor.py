# SPDX-License-Identifier: Apache-2.0

"""The doctor looks at a real Open vSwitch and tells what it lacks."""

from typing import Any

import pytest
from webob import Response

from tenantry.controller import runtime
from tenantry.controller.cli.doctor import Finding, diagnose
from tenantry.controller.client import Client
from tests.namespace import run
from tests.openvswitch import OpenVSwitch

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def ovs(monkeypatch: pytest.MonkeyPatch, dummy_ovs: OpenVSwitch) -> OpenVSwitch:
    """An Open vSwitch where every ovs-* command looks for it."""
    monkeypatch.setenv("OVS_RUNDIR", str(dummy_ovs.directory))
    return dummy_ovs


def findings(bridge: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in diagnose(Client(NOWHERE), bridge)}


def test_without_open_vswitch(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    found = findings("br-int")
    assert not found["ovsdb-server"].ok
    assert not found["ovs-vswitchd"].ok
    assert found["ovs-vswitchd"].remedy
    assert not found["controller"].ok
    assert found["controller"].remedy == "tenantry serve"
    assert NOWHERE in found["controller"].detail
    assert "bridge br-int" not in found


def test_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, ok in ((1024, False), (65536, True)):
        monkeypatch.setattr("resource.getrlimit", lambda kind, limit=limit: (1024, limit))
        found = findings("")["descriptors >= 4096"]
        assert (found.ok, found.needed) == (ok, False)
        assert str(limit) in found.detail


def test_with_open_vswitch(ovs: OpenVSwitch) -> None:
    found = findings("br-int")
    assert found["ovsdb-server"].ok
    assert found["ovs-vswitchd"].ok
    assert found["Open vSwitch >= 2.17"].ok
    assert not found["bridge br-int"].ok

    # Nobody listens there; another bridge's connection must not be taken for this one's.
    ovs.add_bridge("br-int", controller="tcp:127.0.0.1:1")
    ovs.vsctl("set-fail-mode", "br-int", "standalone")
    found = findings("br-int")
    assert found["bridge br-int works"].ok
    insecure = found["bridge br-int fails secure"]
    assert (insecure.ok, insecure.detail) == (False, "fail_mode is standalone")
    unconnected = found["bridge br-int is connected"]
    assert (unconnected.ok, unconnected.detail) == (False, "tcp:127.0.0.1:1, not connected")

    ovs.vsctl(*insecure.remedy.split()[1:])  # the remedy mends it
    assert findings("br-int")["bridge br-int fails secure"].ok


def test_checksums_that_nobody_computes_are_reported(ovs: OpenVSwitch) -> None:
    """The userspace datapath's; the other's are the kernel's business."""
    ovs.add_bridge("br-int")
    ovs.vsctl("set", "Bridge", "br-int", "datapath_type=system")
    assert "checksums of virtual machines" not in findings("br-int")
    ovs.vsctl("set", "Bridge", "br-int", "datapath_type=netdev")
    found = findings("br-int")["checksums of virtual machines"]
    assert (found.ok, found.needed) == (False, False)
    assert "has no TCP" in found.detail
    ovs.vsctl("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
    found = findings("br-int")["checksums of virtual machines"]
    newer = ovs_version(ovs) >= (3, 3)
    assert found.ok == newer
    assert newer or ("passes no tunnels" in found.detail and "csum='off'" in found.remedy)


def ovs_version(ovs: OpenVSwitch) -> tuple[int, ...]:
    line = ovs.appctl("version").splitlines()[0]
    return tuple(map(int, line.rpartition(" ")[2].split(".")[:2]))


def test_tunnels_that_cannot_leave_are_reported(own_netns: None, ovs: OpenVSwitch) -> None:
    """Those of the userspace datapath leave by a bridge of Open vSwitch's."""
    ovs.add_bridge("br-int")
    ovs.vsctl("set", "Bridge", "br-int", "datapath_type=netdev")
    tunnel = ("tn-vxlan", "--", "set", "Interface", "tn-vxlan", "type=vxlan")
    ovs.vsctl("add-port", "br-int", *tunnel, "options:remote_ip=flow", "options:local_ip=10.1.1.1")
    what = "tunnels of br-int leave by 10.1.1.1"
    assert (findings("br-int")[what].ok, findings("br-int")[what].detail) == (
        False,
        "on no interface",
    )
    run("ip", "link", "add", "br-phy", "type", "veth", "peer", "name", "other")
    run("ip", "address", "add", "10.1.1.1/24", "dev", "br-phy")
    found = findings("br-int")[what]
    assert (found.ok, found.detail) == (False, "on br-phy, which is no bridge of Open vSwitch's")
    ovs.vsctl("--no-wait", "add-br", "br-phy")
    assert findings("br-int")[what].ok


def test_a_controllerless_bridge_is_reported(ovs: OpenVSwitch) -> None:
    ovs.add_bridge("br-int")
    found = findings("br-int")["bridge br-int is connected"]
    assert (found.ok, found.detail) == (False, "no controller, not connected")


def test_a_bridge_without_a_datapath_is_reported(ovs: OpenVSwitch) -> None:
    ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=none-such")
    broken = findings("br-int")["bridge br-int works"]
    assert not broken.ok
    ovs.vsctl(*broken.remedy.split()[1:])  # the remedy mends it
    assert findings("br-int")["bridge br-int works"].ok


@pytest.mark.parametrize(
    ("api", "asks", "encrypted"),
    [
        ({"auth_type": "none", "tls": False, "loopback": True}, None, None),
        ({"auth_type": "none", "tls": False, "loopback": False}, False, False),
        ({"auth_type": "basic", "tls": False, "loopback": False}, True, False),
        ({"auth_type": "keystone", "tls": True, "loopback": False}, True, True),
    ],
)
def test_an_api_that_others_reach(
    api: dict[str, Any], asks: bool | None, encrypted: bool | None
) -> None:
    status = {"revision": 1, "descriptors": 65536, "api": api}
    listening = runtime.listen(("127.0.0.1", 0))
    application = Response(json_body=status)
    server = runtime.spawn(runtime.wsgi_server, listening, application, log_output=False)
    client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}")
    found = {finding.what: finding for finding in diagnose(client, "")}
    server.kill()
    listening.close()
    for what, ok in (("API asks who calls", asks), ("API is encrypted", encrypted)):
        assert (found[what].ok if what in found else None) == ok
        assert ok is not False or "[api]" in found[what].remedy
    assert found["controller"].ok
