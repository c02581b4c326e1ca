"""API processes that share a database never hand out one address or prefix twice."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path

from eventlet.green import subprocess

from tests.api.conftest import Api, path

PROCESSES, EACH = 2, 25


def test_two_processes_take_addresses_at_once(api: Api, network: str, tmp_path: Path) -> None:
    pool = api.create(
        "subnetpool", name="p", prefixes=["10.64.0.0/16"], default_prefixlen=26, min_prefixlen=26
    )["id"]
    url = f"sqlite:///{tmp_path}/tenantry.db"
    command = [sys.executable, "-m", "tests.api.allocating", url, network, pool, str(EACH)]
    processes = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in processes]

    nets = [ip_network(cidr) for cidrs, _ in answers for cidr in cidrs]
    assert len(nets) == PROCESSES * EACH
    assert not any(one.overlaps(other) for one, other in combinations(nets, 2))
    assert max(nets).network_address < ip_network("10.64.0.0/16")[PROCESSES * EACH * 64], "no gaps"
    taken = [ip for _, ports in answers for ips in ports for ip in ips]
    assert len(taken) == len(set(taken)) == PROCESSES * EACH * 2

    # They took turns: neither was done before the other began.
    first = sorted(set(answers[0][0]), key=ip_network)
    numbers = [sorted(nets).index(ip_network(cidr)) for cidr in first]
    assert numbers not in (list(range(EACH)), list(range(EACH, 2 * EACH)))

    # A third sees it all, and what the log tells of every number is one commit.
    assert len(api.list("port")) == PROCESSES * EACH
    assert [c.number for c in api.store.history(0)] == list(range(1, api.store.head + 1))
    status, answer = api.request("GET", path("subnet") + f"?subnetpool_id={pool}")
    assert status == 200
    assert {subnet["cidr"] for subnet in answer["subnets"]} == {str(net) for net in nets}
