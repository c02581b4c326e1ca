# SPDX-License-Identifier: Apache-2.0

"""Each cause for which a packet is dropped, named and counted by a real switch."""

from __future__ import annotations

import re
from pathlib import Path

from tenantry.controller.model import Port
from tenantry.controller.openflow.drops import account
from tenantry.controller.openflow.pipeline import Table
from tests.contract import CAUSES
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

BROADCAST = "ff:ff:ff:ff:ff:ff"
STRANGER = "52:54:00:00:00:99"


def counted(net: Lab) -> dict[tuple[str, tuple[int, ...]], int]:
    """What DROPPED has learned: cause and whose, with the packets after the first."""
    net.ovs.appctl("revalidator/purge")  # what was counted is added up
    found = {}
    for line in net.ovs.ofctl("dump-flows", "br-int", f"table={Table.DROPPED.id}").splitlines():
        if "n_packets" in line:
            match = dict(re.findall(r"(reg\d+|in_port)=\"?(\w+)", line.partition(" actions")[0]))
            told = account({field: int(value, 0) for field, value in match.items()})
            assert told is not None, line
            (cause,) = (one for one in CAUSES.values() if one.number == told.number)
            packets = int(re.findall(r"n_packets=(\d+)", line)[0])
            found[cause.name, tuple(told.fields.values())] = packets
    return found


def send(net: Lab, interface: str, frame: str, times: int) -> None:
    for _ in range(times):
        net.ovs.appctl("netdev-dummy/receive", interface, frame)


def test_each_cause_and_port_is_counted_by_itself_and_over_a_restart(
    dummy_ovs: OpenVSwitch, tmp_path: Path
) -> None:
    spoofed = f"eth(src={STRANGER},dst={BROADCAST}),eth_type(0x1234)"
    with lab(dummy_ovs, tmp_path) as net:
        ports = [net.port(net.network("10.0.0.0/24")) for _ in range(2)]
        a, b = (net.attach(port) for port in ports)
        assert counted(net) == {}
        send(net, a, spoofed, 3)
        send(net, b, spoofed, 6)
        send(net, b, f"eth(src={ports[1]['mac_address']},dst={STRANGER}),eth_type(0x1234)", 2)
        key, other = (net.controller.model.all(Port)[port["id"]].key for port in ports)
        told = {
            ("not_its_address", (key,)): 2,
            ("not_its_address", (other,)): 5,
            ("unknown_destination", (other,)): 1,
        }
        assert counted(net) == told
        net.verify()
    with lab(dummy_ovs, tmp_path) as net:
        net.settle()
        net.verify()
        assert counted(net) == told
        send(net, a, spoofed, 4)
        assert counted(net) == told | {("not_its_address", (key,)): 6}
