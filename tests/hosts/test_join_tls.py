# SPDX-License-Identifier: Apache-2.0

"""Hosts that join by TLS, with what ``tenantry host invite`` prints for each; and one that has no
invitation."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.api.tenantry import operations
from tenantry.controller.sockets import certificates
from tests.farm import CONTROLLER, Farm, OwnHost, answered, bridges
from tests.hosts.invited import Invited, certified
from tests.lab import eventually, lab
from tests.namespace import run

OPENFLOW, OVSDB = 6653, 6640


class Told(logging.Handler):
    """Waits until the controller has logged something."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self._missing = {*words}
        self._all = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._missing -= {words for words in self._missing if words in message}
        if not self._missing:
            self._all.set()

    def __enter__(self) -> Told:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger().removeHandler(self)

    def wait(self) -> None:
        assert self._all.wait(60), self._missing


def alive(net: Farm) -> dict[str, bool]:
    hosts: list[dict[str, Any]] = net.api("GET", "/tenantry/v1/hosts")
    return {host["name"]: host["alive"] for host in hosts}


def reach_each_other(net: Farm) -> None:
    network = net.network("10.0.0.0/24", "fd00:a::/64")
    ports = [net.port(network) for _ in net.machines]
    guests = [net.plug(*at) for at in zip(net.machines, ports, strict=True)]
    net.settle()
    questions = [
        (guest, ip["ip_address"]) for guest in guests for port in ports for ip in port["fixed_ips"]
    ]
    assert all(answered(questions, patient=True)), net.dump()


def test_hosts_join_by_what_the_invitation_says(
    invited: list[Invited], authority: Path, tmp_path: Path
) -> None:
    with certified(tmp_path, authority, invited) as net:
        for machine in invited:
            assert machine.vsctl("get-manager").strip() == f"ssl:{CONTROLLER}:{OVSDB}"
            controller = machine.vsctl("get-controller", "br-int").strip()
            assert controller == f"ssl:{CONTROLLER}:{OPENFLOW}"
        assert alive(net) == {"host1": True, "host2": True}
        reach_each_other(net)
        net.verify()


def test_the_own_host_and_two_more(own_netns: None, tmp_path: Path) -> None:
    """As docs/hosts.md says: `ca init`, a restart, and an invitation for each."""
    bridges()
    authority = tmp_path / "ca"
    with ExitStack() as stack:
        own = stack.enter_context(OwnHost())
        before = {"ovsdb__connections": own.remote, "networks__tenant_network_type": ""}
        with lab(own, tmp_path, networks__tenant_network_type="") as alone:
            network = alone.network("10.0.0.0/24", "fd00:a::/64")
        run(
            *(
                sys.executable,
                "-m",
                "tenantry.controller",
                "--config-file",
                tmp_path / "tenantry.conf",
            ),
            *("ca", "init", "--address", CONTROLLER, "--directory", authority),
            *("--install-to", tmp_path / "own" / "tenantry"),
        )
        invited = [stack.enter_context(Invited(n, authority, tmp_path)) for n in (1, 2)]
        with certified(tmp_path, authority, invited, **before) as net:
            net.ovs = own
            assert len(net.controller.progress.reconcilers) == 3
            assert own.vsctl("get-controller", "br-int").strip() == f"ssl:{CONTROLLER}:{OPENFLOW}"
            told = operations.status(net.controller.running)
            assert told["warnings"] == []
            assert told["certificate_expires"] is not None
            ports = [net.port(network) for _ in range(3)]
            guests = [net.guest(ports[0])]
            guests += [net.plug(*at) for at in zip(invited, ports[1:], strict=True)]
            addresses = [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]
            questions = [(guest, to) for guest in guests for to in addresses]
            assert all(answered(questions, patient=True))
            # A host whose certificate is gone is named, with what to do.
            invited[1].vsctl("del-ssl")
            dpid = net._dpid(invited[1])
            net.controller.progress.connections[dpid].close()
            net.until(lambda: len(net.controller.progress.reconcilers) == 2)
            (warning,) = operations.status(net.controller.running)["warnings"]
            assert "br-int of host2 is not connected" in warning
            assert "`tenantry host invite host2`" in warning


def test_a_host_is_called_what_its_certificate_says(
    invited: list[Invited], authority: Path, tmp_path: Path
) -> None:
    with certified(tmp_path, authority, invited) as net:
        machine, database = invited[0], net.controller.hosts.of("host1")
        before = database.replica
        machine.vsctl("del-manager")
        machine.vsctl("set", "Open_vSwitch", ".", "external_ids:hostname=host2")
        machine.vsctl("set-manager", f"ssl:{CONTROLLER}:{OVSDB}")
        assert eventually(lambda: database.alive and database.replica is not before)
        assert alive(net) == {"host1": True, "host2": True}
        reach_each_other(net)
        net.verify()


def test_a_connection_that_we_end_is_no_error(
    invited: list[Invited], authority: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with certified(tmp_path, authority, invited[:1]) as net:
        (reconciler,) = net.controller.progress.reconcilers.values()
        reconciler.connection.close()
        net.until(lambda: reconciler not in net.controller.progress.reconcilers.values())
        net.until(lambda: bool(net.controller.progress.reconcilers))
        net.settle()
        net.verify()
        assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("how", ["tcp", "ssl"])
def test_nobody_gets_in_without_a_certificate_of_ours(
    invited: list[Invited], authority: Path, tmp_path: Path, how: str
) -> None:
    with certified(tmp_path, authority, invited[:1]) as net:
        stranger = invited[1]
        if how == "ssl":
            # It believes us; but it was certified by somebody else.
            certificates.create(tmp_path / "another", [CONTROLLER])
            issued = certificates.issue(tmp_path / "another", stranger.name)
            key, certificate = tmp_path / "key", tmp_path / "certificate"
            key.write_text(issued.private_key)
            certificate.write_text(issued.certificate)
            stranger.vsctl("set-ssl", key, certificate, authority / certificates.AUTHORITY)
        address = "192.168.78.2"
        manager, controller = (f"{how}:{CONTROLLER}:{port}" for port in (OVSDB, OPENFLOW))
        with Told(f"host at {address}: ", f"connection from {address}: ") as refused:
            stranger.add_bridge("br-int", controller)
            stranger.vsctl(
                # OVSDB's clients are silent until they are asked, or wonder whether we are there.
                *("--id=@it", "create", "manager", f'target="{manager}"', "inactivity_probe=1000"),
                *("--", "set", "Open_vSwitch", ".", "manager_options=@it"),
            )
            refused.wait()
        net.settle()
        assert alive(net) == {"host1": True}
        assert {switch.host for switch in net.controller.status.switches()} == {"host1"}
        assert stranger.ofctl("dump-flows", "br-int").count("cookie") == 0
        # By an invitation it gets in, as it is.
        net.join(stranger)
        assert eventually(lambda: alive(net) == {"host1": True, "host2": True})
        reach_each_other(net)
        net.verify()
