# SPDX-License-Identifier: Apache-2.0

"""The experiment, shortened: it finds what it should, and draws it."""

import re

from tests.mininet.conftest import Experiment

COUNT = 200


def test_east_west_traffic_stays_off_the_gateway(experiment: Experiment) -> None:
    output = experiment("east_west", "--count", str(COUNT))
    assert re.search(rf"distributed\s+{COUNT} .*s1: {COUNT}, s2: {COUNT}, gw: 0", output)
    assert "does not pass the gateway's switch" in output
