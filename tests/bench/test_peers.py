# SPDX-License-Identifier: Apache-2.0

"""What figures are held against must itself be true: peers do all that they are timed for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import namespace
from tests.bench import codec, peers
from tests.bench.peers import Ofctl, Plain
from tests.conftest import need
from tests.openvswitch import OpenVSwitch


@pytest.fixture(scope="module")
def ovs() -> Iterator[OpenVSwitch]:
    need(namespace.allowed(), "root")
    with namespace.entered(), OpenVSwitch() as ovs:
        yield ovs


@pytest.fixture(scope="module")
def plain(ovs: OpenVSwitch) -> Iterator[Plain]:
    Path("build").mkdir(exist_ok=True)
    with peers.plain(ovs) as plain:
        yield plain


def flows(ovs: OpenVSwitch, bridge: str) -> int:
    return ovs.ofctl("--no-stats", "dump-flows", bridge).count("actions=")


def test_a_change_is_answered_when_the_switch_has_its_flows(ovs: OpenVSwitch, plain: Plain) -> None:
    plain.change()
    assert flows(ovs, "br-plain") == 15
    plain.call("clear")
    assert flows(ovs, "br-plain") == 0


def test_a_push_ends_when_the_switch_has_all(ovs: OpenVSwitch, plain: Plain) -> None:
    plain.call("prepare", flows=5100)  # two bundles and a half
    plain.call("push")
    assert flows(ovs, "br-plain") == 5100
    assert plain.push(300) > 0
    assert flows(ovs, "br-plain") == 0
    plain.change()
    assert flows(ovs, "br-plain") == 15


def test_reads_are_answered_from_what_it_holds(plain: Plain) -> None:
    ports = [{"id": "one"}, {"id": "two"}]
    plain.call("hold", ports=ports)
    assert plain.client.api("GET", "/v2.0/ports") == {"ports": ports}
    assert plain.client.api("GET", "/v2.0/ports/one") == {"port": ports[0]}


def test_what_ovs_ofctl_refuses_is_an_error(ovs: OpenVSwitch) -> None:
    ofctl = Ofctl(ovs)
    ofctl.hold([flow.text() for flow in codec.flows(300)])
    assert ofctl.push() > 0
    ofctl.hold(["priority=nothing,actions=drop"])
    with pytest.raises(AssertionError, match="nothing"):
        ofctl.push()
