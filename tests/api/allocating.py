# SPDX-License-Identifier: Apache-2.0

"""A process that takes addresses: ``test_two_processes.py`` runs several.

Arguments: the URL of a database, ids of a network and of a subnet pool. Whenever it reads a line,
it makes a subnet out of the pool and a port on the network, and writes their addresses as JSON.
"""

from __future__ import annotations

import tenantry.controller.runtime  # noqa: F401  isort: skip
import json
import sys

from tenantry.controller.api import application as neutron
from tests.api.conftest import Api, extensions


def main(url: str, network: str, pool: str) -> None:
    api = Api(url, neutron.kinds(extensions()))
    print("ready", flush=True)
    for _ in sys.stdin:
        elsewhere = api.create("network")["id"]
        subnet = api.create("subnet", network_id=elsewhere, subnetpool_id=pool, ip_version=4)
        port = api.create("port", network_id=network)
        addresses = [ip["ip_address"] for ip in port["fixed_ips"]]
        print(json.dumps([subnet["cidr"], addresses]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
