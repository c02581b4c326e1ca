# SPDX-License-Identifier: Apache-2.0

"""A connection is one, also where its ends are on several hosts and its answers come by another way
than its questions went: each host knows only what it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.echo import asked, serving
from tests.farm import Machine, answered, farm, machines
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.netns.test_zones import EVERYTHING, FAR, FAR_END, ONE, TWO, behind, closed, leg, routes


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(3) as ready:
        yield ready


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with neighbours"])
def test_answers_come_by_another_router(
    started: list[Machine], tmp_path: Path, alone: bool
) -> None:
    """The default router knows the way by another one, which delivers directly. ``alone``: neither
    end's host has a port of the other's network, and others' packets do not pass there."""
    with farm(tmp_path, started, groups=True) as net:
        one, two = net.network(*ONE), net.network(*TWO)
        first, second = net.router(one), net.router(two)
        routes(net, first, TWO, leg(net, second, one, "10.1.0.200", "fd01::200"))
        opened = group(net, "open", EVERYTHING)
        ports = [net.port(one, security_groups=[closed(net)])]
        ports.append(net.port(two, security_groups=[opened]))
        asking, answering = (net.plug(started[n], port) for n, port in enumerate(ports))
        for at, network in ((0, two), (1, one), (2, one)) if not alone else ():
            net.plug(started[at], net.port(network, security_groups=[opened]))
        net.take_effect()
        far = addresses(ports[1])
        assert all(answered([(asking, address) for address in far], patient=True))
        four, six = addresses(ports[0])
        with serving(answering):
            assert asked(asking, *far) == [four, four, six, six]
        assert not any(answered([(answering, address) for address in (four, six)]))
        net.verify()


def test_answers_come_from_a_machine_on_the_link(started: list[Machine], tmp_path: Path) -> None:
    """It is on another host than who asks; and so is a third that asks."""
    with farm(tmp_path, started, groups=True) as net:
        network = net.network(*ONE)
        router = net.router(network)
        none = {"port_security_enabled": False, "security_groups": []}
        ports = [net.port(network, **none)]
        ports += [net.port(network, security_groups=[closed(net)]) for _ in range(2)]
        between, *clients = (net.plug(started[n], port) for n, port in enumerate(ports))
        far = Guest()
        net._guests.append(far)
        behind(between, far)
        routes(net, router, FAR, addresses(ports[0]))
        questions = [(client, end) for client in clients for end in FAR_END]
        assert all(answered(questions, patient=True))
        with serving(far):
            for client, port in zip(clients, ports[1:], strict=True):
                four, six = addresses(port)
                assert asked(client, *FAR_END) == [four, four, six, six]
        net.verify()
