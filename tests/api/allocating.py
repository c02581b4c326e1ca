"""A process that takes addresses as fast as it can: ``test_two_processes.py`` runs several.

Arguments: the database's URL, a network's id, a subnet pool's id, and how many of each to make.
It writes a line when it is ready, starts when it reads one, and writes what it got as JSON.
"""

from __future__ import annotations

import controller.runtime  # noqa: F401  isort: skip
import json
import sys

from controller import api as neutron
from tests.api.conftest import Api, extensions


def main(url: str, network: str, pool: str, count: str) -> None:
    api = Api(url, neutron.kinds(extensions()))
    print("ready", flush=True)
    sys.stdin.readline()
    cidrs, ips = [], []
    for _ in range(int(count)):
        elsewhere = api.create("network")["id"]
        subnet = api.create("subnet", network_id=elsewhere, subnetpool_id=pool, ip_version=4)
        cidrs.append(subnet["cidr"])
        port = api.create("port", network_id=network)
        ips.append([ip["ip_address"] for ip in port["fixed_ips"]])
    print(json.dumps([cidrs, ips]))


if __name__ == "__main__":
    main(*sys.argv[1:])
