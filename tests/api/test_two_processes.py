# SPDX-License-Identifier: Apache-2.0

"""API processes that share a database never hand out one address or prefix twice."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path

from eventlet.green import subprocess

from tests.api.conftest import Api

PROCESSES, ROUNDS = 2, 25


def test_two_processes_take_addresses_at_once(api: Api, network: str, tmp_path: Path) -> None:
    pool = api.create(
        "subnetpool", name="p", prefixes=["10.64.0.0/16"], default_prefixlen=26, min_prefixlen=26
    )["id"]
    url = f"sqlite:///{tmp_path}/tenantry.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.api.allocating", url, network, pool],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    answers = []
    for _ in range(ROUNDS):  # all at once, as often as this
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        answers += [json.loads(process.stdout.readline()) for process in processes]
    for process in processes:
        process.communicate()

    nets = [ip_network(cidr) for cidr, _ in answers]
    assert len(nets) == PROCESSES * ROUNDS
    assert not any(one.overlaps(other) for one, other in combinations(nets, 2))
    assert sorted(nets) == [*ip_network("10.64.0.0/16").subnets(new_prefix=26)][: len(nets)]
    taken = [address for _, addresses in answers for address in addresses]
    assert len(taken) == len(set(taken)) == PROCESSES * ROUNDS * 2

    # A third process sees it all.
    assert len(api.list("port")) == PROCESSES * ROUNDS
    assert {subnet["cidr"] for subnet in api.list("subnet", f"subnetpool_id={pool}")} == {
        cidr for cidr, _ in answers
    }
