"""TCP to the controller and back, told by ``ofproto/trace``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running
        running.verify()


def test_there_and_back(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "2001:db8::/64")
    port = net.port(network)
    net.attach(port, interface="a")
    to = f"in_port=a,dl_src={port['mac_address']},tp_dst=80,tp_src=5000"
    print(net.ovs.ofctl("dump-flows", "br-int", "table=36"))
    print(net.ovs.appctl("ofproto/trace", "br-int", f"tcp,{to},nw_src={port['fixed_ips'][0]['ip_address']},nw_dst=169.254.169.254"))
    print(net.ovs.appctl("ofproto/trace", "br-int", f"tcp,{to},nw_src={port['fixed_ips'][0]['ip_address']},nw_dst=169.254.169.254", "-generate"))
    print(net.ovs.ofctl("dump-flows", "br-int", "table=37"))
