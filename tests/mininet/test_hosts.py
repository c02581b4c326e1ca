# SPDX-License-Identifier: Apache-2.0

"""The experiments on several hosts: what gets lost is seen, and drawn."""

import re

from tests.mininet.conftest import Experiment

NUMBERS = r"(\d+) of (\d+) questions lost; nobody answered for (\d+) ms"


def test_a_gateway_dies(experiment: Experiment) -> None:
    output = experiment("gateway")
    runs = re.findall(rf"host[12] died: {NUMBERS}", output)
    assert len(runs) == 2, output  # with the controller, and without
    for lost, asked, gap in runs:
        assert 0 < int(gap) <= int(lost) < int(asked)


def test_a_port_moves(experiment: Experiment) -> None:
    output = experiment("move")
    (run,) = re.findall(rf"moved: {NUMBERS}", output)
    assert 0 < int(run[2]) <= int(run[0]) < int(run[1])
    assert "The port is on host2." in output


def test_a_member_of_a_load_balancer_dies(experiment: Experiment) -> None:
    output = experiment("load_balancer")
    assert "All as expected." in output
    (dead,) = re.findall(r"^web2 is dead +(\d+) +(\d+) +(\d+) +(\d+)$", output, re.MULTILINE)
    assert int(dead[0]) > 100 and int(dead[2]) > 100
