# SPDX-License-Identifier: Apache-2.0

"""Multicast over several hosts: by tunnel only to those that have members, and as before when the
controller starts again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.farm import farm, machines
from tests.groups import GROUPS, hearers, joined, members, settled


@pytest.mark.parametrize("version", [4, 6])
def test_only_hosts_with_members_get_a_group(own_netns: None, tmp_path: Path, version: int) -> None:
    options = {"networks__tenant_network_type": "vxlan", "multicast__snooping": "true"}
    with machines(3) as started, farm(tmp_path, started, **options) as net:
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(4)]
        speaker, beside, member, apart = (
            net.plug(started[n], port) for n, port in zip((0, 0, 1, 2), ports, strict=True)
        )
        group = GROUPS[version]
        guests, unders = [beside, member, apart], [(m.guest, "under") for m in started[1:]]
        settled(net)
        assert hearers(speaker, guests, group, unders) == [False] * 5
        with joined(member, group):
            net.until(lambda: members(net, group) == {ports[2]["id"]})
            net.take_effect()
            only_its_host = [False, True, False, True, False]
            assert hearers(speaker, guests, group, unders) == only_its_host
            net.stop_controller()
            assert hearers(speaker, guests, group, unders) == only_its_host
            net.start_controller()
            assert hearers(speaker, [member], group) == [True]  # whatever is known by now
            settled(net)
            assert members(net, group) == {ports[2]["id"]}  # it was asked, and has answered
            assert hearers(speaker, guests, group, unders) == only_its_host
            net.unplug(ports[2])
            net.until(lambda: not members(net, group))
            net.take_effect()
            assert hearers(speaker, [beside, apart], group, unders[1:]) == [False] * 3
        net.verify()
