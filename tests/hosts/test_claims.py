# SPDX-License-Identifier: Apache-2.0

"""Who says which switch it is: believed with the certificate of the switch's host, and not while
the switch is there by another connection."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.openflow import codec
from tests.farm import CONTROLLER
from tests.hosts.invited import Invited, certified
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

OPENFLOW = 6653


class Claimant:
    """Says on a connection that it is a switch, and answers as one without flows and ports."""

    def __init__(self, connection: Any, dpid: int) -> None:
        self._connection, self._dpid = connection, dpid
        self.refused = runtime.Signal()
        connection.sendall(codec.message(codec.HELLO, 1))
        self._greenlet = runtime.spawn(self._talk)

    def _talk(self) -> None:
        buffer = b""
        with suppress(OSError):
            while received := self._connection.recv(1 << 16):
                buffer += received
                while len(buffer) >= 8 and len(buffer) >= codec.read_header(buffer).length:
                    header = codec.read_header(buffer)
                    self._answer(header, buffer[8 : header.length])
                    buffer = buffer[header.length :]
        self.refused.set()

    def _answer(self, header: codec.Header, body: bytes) -> None:
        features = self._dpid.to_bytes(8, "big") + bytes(4) + b"\xfe\0\0\0" + bytes(8)
        answers = {
            5: (codec.FEATURES_REPLY, features),
            codec.ECHO_REQUEST: (codec.ECHO_REPLY, body),
            codec.MULTIPART_REQUEST: (codec.MULTIPART_REPLY, body[:2] + bytes(6)),
        }
        if header.kind in answers:
            kind, said = answers[header.kind]
            self._connection.sendall(codec.message(kind, header.xid, said))

    def close(self) -> None:
        self._greenlet.kill()
        self._connection.close()


@contextmanager
def claimant(machine: Invited, dpid: int) -> Iterator[Claimant]:
    """Somebody on a machine, with its certificate, who says to be this switch."""
    plain = machine.guest.socket(socket.SOCK_STREAM)
    plain.settimeout(20)
    plain.connect((CONTROLLER, OPENFLOW))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(machine.installed / "host.pem", machine.installed / "host.key")
    context.load_verify_locations(machine.installed / "ca.pem")
    made = Claimant(context.wrap_socket(plain), dpid)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("away", [False, True])
def test_a_certificate_is_good_for_the_switches_of_its_own_host(
    invited: list[Invited], authority: Path, tmp_path: Path, away: bool
) -> None:
    """Also for one that is away, and after a restart of the controller."""
    with certified(tmp_path, authority, invited) as net:
        dpid = net._dpid(invited[0])
        if not away:
            own = net.controller.progress.connections[dpid]
            with claimant(invited[1], dpid) as thief:
                assert thief.refused.wait(20)
            assert net.controller.progress.connections[dpid] is own
            net.verify()
            return
        invited[0].crash()
        net.until(lambda: dpid not in net.controller.progress.connections)
    invited[0].guest.run("ip", "link", "set", "mgmt", "down")
    with certified(tmp_path, authority, invited[1:]) as net, claimant(invited[1], dpid) as one:
        assert one.refused.wait(20)
        assert dpid not in net.controller.progress.connections


def test_who_turns_out_to_be_on_another_host_is_hung_up_on(
    invited: list[Invited], authority: Path, tmp_path: Path
) -> None:
    """It was first: nobody had said whose the switch is."""
    with certified(tmp_path, authority, invited[1:]) as net:
        dpid = 0xABCDEF
        with claimant(invited[1], dpid) as thief:
            net.until(lambda: dpid in net.controller.progress.connections)
            invited[0].vsctl(
                *("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev"),
                f"other_config:datapath-id={dpid:016x}",
            )
            net.join(invited[0])
            assert thief.refused.wait(20)
            net.until(lambda: dpid in net.controller.progress.connections)
        net.settle()
        net.verify()


# --- on plain TCP ----------------------------------------------------------------------------


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


@contextmanager
def another(net: Lab) -> Iterator[Claimant]:
    (dpid,) = net.controller.progress.connections
    connected = socket.create_connection(("127.0.0.1", net.controller.openflow.port), 20)
    made = Claimant(connected, dpid)
    try:
        yield made
    finally:
        made.close()


def test_a_switch_that_is_there_is_not_replaced(net: Lab) -> None:
    before = dict(net.controller.progress.connections)
    with another(net) as one:
        assert one.refused.wait(20)
    assert net.controller.progress.connections == before


def test_a_switch_that_does_not_answer_is_replaced(net: Lab, ovs: OpenVSwitch) -> None:
    """As one whose host was switched off, and is back before anybody has noticed."""
    (dpid,) = net.controller.progress.connections
    others = [None, net.controller.progress.connections[dpid]]

    def is_another() -> bool:
        return net.controller.progress.connections.get(dpid) not in others

    pid = int((ovs.directory / "ovs-vswitchd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        with another(net):
            net.until(is_another)
            others.append(net.controller.progress.connections[dpid])
    finally:
        os.kill(pid, signal.SIGCONT)
    net.until(is_another)
    net.until(lambda: dpid in net.controller.progress.reconcilers)
    net.settle()
