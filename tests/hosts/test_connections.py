# SPDX-License-Identifier: Apache-2.0

"""Each guest has a share of what a host tracks, on every host: a joined one has only OpenFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.echo import asked, serving
from tests.farm import Machine, answered, farm, machines
from tests.netns.test_connections import SHARE, begun, flood
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.netns.test_zones import EVERYTHING, ONE


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2) as ready:
        yield ready


@pytest.mark.parametrize("near", [True, False], ids=["on its host", "on another"])
def test_neighbours_begin_what_one_guest_may_not(
    started: list[Machine], tmp_path: Path, near: bool
) -> None:
    """Whether who is asked without end is on the same host or not: others reach it, too."""
    share = {"conntrack__connections_per_port": str(SHARE)}
    with farm(tmp_path, started, groups=True, **share) as net:
        network = net.network(*ONE, shared=True)
        opened = group(net, "open", EVERYTHING)
        tenants = [{"project": name} for name in ("greedy", "modest")]
        ports = [net.create("port", network_id=network["id"], **tenant) for tenant in tenants]
        ports.append(net.port(network, security_groups=[opened]))
        places = (started[0], started[0], started[0] if near else started[1])
        guests = zip(places, ports, strict=True)
        greedy, modest, server = (net.plug(machine, port) for machine, port in guests)
        net.take_effect()
        far = addresses(ports[2])
        questions = [(guest, to) for guest in (greedy, modest) for to in far]
        assert all(answered(questions, patient=True))
        with serving(server):
            for address, mine, his in zip(far, *map(addresses, ports[:2]), strict=True):
                flood(greedy, address)
                for machine in started:
                    assert begun(machine.appctl("dpctl/dump-conntrack"), mine) <= SHARE
                for _ in range(3):
                    assert asked(modest, address) == [his] * 2
        net.verify()
