# SPDX-License-Identifier: Apache-2.0

"""Ansible's openstack.cloud: what is made by a playbook is not made again by its second run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eventlet.green import subprocess

from tests.clients.conftest import Door

ANSIBLE = Path(__file__).parents[2] / "build" / "ansible"
"""Where `make conformance` installs it: it is as large as all the rest together."""

PLAYBOOK = Path(__file__).with_name("playbook.yml")


def play(door: Door, state: str) -> list[str]:
    """The tasks that changed something: module, and what it said of it."""
    done = subprocess.run(
        [
            *(str(ANSIBLE / "bin" / "ansible-playbook"), str(PLAYBOOK), "-i", "localhost,"),
            *("-v", "-c", "local", "-e", f"state={state}"),
            *("-e", f"ansible_python_interpreter={ANSIBLE}/bin/python"),
        ],
        env={**door.environment, "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    tasks = re.split(r"^TASK ", done.stdout, flags=re.MULTILINE)[1:]
    return [task for task in tasks if re.search("^changed:", task, re.MULTILINE)]


@pytest.mark.skipif(not ANSIBLE.exists(), reason="`make conformance` installs Ansible")
@pytest.mark.timeout(1200)
def test_a_second_run_changes_nothing(door: Door) -> None:
    assert len(play(door, "present")) > 15
    assert not (again := play(door, "present")), "".join(again)
    assert len(play(door, "absent")) == 8
    assert not (again := play(door, "absent")), "".join(again)
    for kind in ("network", "router", "subnetpool", "address_scope", "trunk", "port"):
        assert door.list(kind) == []
