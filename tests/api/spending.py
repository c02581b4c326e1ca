# SPDX-License-Identifier: Apache-2.0

"""A process that makes networks as long as it may: ``test_two_processes.py`` runs several.

Arguments: the URL of a database, and a project. Whenever it reads a line, it makes three networks
at once, or one if three are too many, and writes how many it made.
"""

from __future__ import annotations

import tenantry.controller.runtime  # noqa: F401  isort: skip
import sys

from tenantry.controller.api import application as neutron
from tests.api.conftest import Api, extensions, path


def main(url: str, project: str) -> None:
    api = Api(url, neutron.kinds(extensions()))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(next((count for count in (3, 1) if makes(api, project, count)), 0), flush=True)


def makes(api: Api, project: str, count: int) -> bool:
    body = {"networks": [{"project_id": project}] * count}
    status, answer = api.request("POST", path("network"), body)
    assert status == 201 or answer["NeutronError"]["type"] == "OverQuota", answer
    return status == 201


if __name__ == "__main__":
    main(*sys.argv[1:])
