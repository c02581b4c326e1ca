# SPDX-License-Identifier: Apache-2.0

"""API processes that share a database never hand out one address or prefix twice, nor more than a
quota between them."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

from eventlet.green import subprocess

from tests.api.conftest import Api

PROCESSES, ROUNDS = 2, 25


def started(module: str, *arguments: str) -> list[subprocess.Popen[str]]:
    """Processes that are ready to begin."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    return processes


def at_once(processes: list[subprocess.Popen[str]], rounds: int) -> list[Any]:
    """What the processes answer when all are told to go on, as often as this."""
    answers = []
    for _ in range(rounds):
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        answers += [json.loads(process.stdout.readline()) for process in processes]
    for process in processes:
        process.communicate()
    return answers


def test_two_processes_spend_one_quota(api: Api, tmp_path: Path) -> None:
    limits = {"quota": {"network": 41}}
    assert api.request("PUT", "/v2.0/quotas/red", limits)[0] == 200
    processes = started("tests.api.spending", f"sqlite:///{tmp_path}/tenantry.db", "red")
    made = at_once(processes, 10)
    assert sum(made) == 41 == len(api.list("network", "project_id=red"))
    assert made[-PROCESSES:] == [0] * PROCESSES


def test_two_processes_take_addresses_at_once(api: Api, network: str, tmp_path: Path) -> None:
    pool = api.create(
        "subnetpool", name="p", prefixes=["10.64.0.0/16"], default_prefixlen=26, min_prefixlen=26
    )["id"]
    url = f"sqlite:///{tmp_path}/tenantry.db"
    processes = started("tests.api.allocating", url, network, pool)
    answers = at_once(processes, ROUNDS)

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
