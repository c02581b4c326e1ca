# SPDX-License-Identifier: Apache-2.0

"""Meters as wanted state: they come and go with their ports, and come back if taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.apps.punt.flows import BURST, OTHERS_METER, OTHERS_PER_SECOND, PACKETS_PER_SECOND
from tenantry.controller.model import Port
from tenantry.controller.openflow.keys import MeterUse
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running
        running.verify()


def meters(net: Lab) -> dict[int, str]:
    """The rates of the meters in the switch, by number."""
    dump = net.ovs.ofctl("dump-meters", "br-int")
    return {int(number): rate for number, rate in re.findall(r"meter=(\d+).*\n.*(rate=.*)", dump)}


OURS = f"rate={PACKETS_PER_SECOND} burst_size={BURST}"
BROADCASTS = "rate=1000 burst_size=1000"
OTHERS = {OTHERS_METER: f"rate={OTHERS_PER_SECOND} burst_size={OTHERS_PER_SECOND}"}


def of_ports(*keys: int) -> dict[int, str]:
    """The meters of ports, and the one of all others."""
    many = (MeterUse.TO_MANY.meter(key) for key in keys)
    return {**dict.fromkeys(keys, OURS), **dict.fromkeys(many, BROADCASTS), **OTHERS}


def test_a_port_has_its_meters_for_as_long_as_it_is_plugged_in(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(2)]
    interface, _ = (net.attach(port) for port in ports)
    keys = [net.controller.model.all(Port)[port["id"]].key for port in ports]
    assert meters(net) == of_ports(*keys)
    net.detach(interface)
    assert meters(net) == of_ports(keys[1])


@pytest.mark.parametrize(
    "words",
    [
        ("del-meters", "br-int"),  # with them go the flows that use them
        ("mod-meter", "br-int", "meter=1,pktps,burst,band=type=drop,rate=9999,burst_size=1"),
        ("add-meter", "br-int", "meter=77,kbps,band=type=drop,rate=1"),
    ],
)
def test_what_somebody_else_does_to_meters_is_mended(net: Lab, words: tuple[str, ...]) -> None:
    port = net.port(net.network("10.0.0.0/24"))
    net.attach(port)
    assert meters(net) == of_ports(1)
    net.ovs.ofctl(*words)
    (reconciler,) = net.controller.progress.reconcilers.values()
    if words[0] == "del-meters":  # the flow monitor tells of the flows
        net.until(lambda: meters(net) == of_ports(1))
    else:
        assert reconciler.audit().added + reconciler.sent.deleted
    assert meters(net) == of_ports(1)
