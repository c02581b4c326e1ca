# SPDX-License-Identifier: Apache-2.0

"""docs/accounts.md, word for word: from nothing to two people in two projects, by each door."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from eventlet.green import subprocess

from tests import namespace
from tests.api.openstack import CLIENT
from tests.conftest import need

PAGE = Path(__file__).parents[2] / "docs" / "accounts.md"
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
PASSWORDS = {"root": "trustno1-nobody", "alice": "correct-horse", "bob": "battery-staple"}
PASSWORDS["tenantry"] = "open-sesame"

PROLOGUE = """set -eu
mkdir etc && cp -a /etc/. etc
mount --bind etc /etc
mkdir -p /etc/tenantry
mkdir lib
mount --bind lib /var/lib
ip link set lo up
"""
"""In namespaces of its own: what it writes is gone with it."""

SERVE = """{line} > {log} 2>&1 &
servers="${{servers-}} $!"
trap 'kill $servers; wait $servers || true' EXIT
until (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do kill -0 $!; sleep 0.1; done
"""


TYPE = """import os, pty, sys
pid, terminal = pty.fork()
if not pid:
    os.execvp(sys.argv[2], sys.argv[2:])
try:
    while said := os.read(terminal, 4096):
        os.write(1, said)
        if b"Password:" in said:
            os.write(terminal, sys.argv[1].encode() + b"\\n")
except OSError:  # its end
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""Somebody at a terminal, who types a password whenever it is asked for."""


def script(blocks: Iterable[str]) -> str:
    """A section's commands, one after another, with somebody who types the passwords."""
    lines, name = [PROLOGUE], ""
    for block in blocks:
        lines.append("echo ==\n")
        if block.startswith("["):
            lines.append(f"cat > /etc/tenantry/tenantry.conf <<'END'\n{block}END\n")
            continue
        for line in block.splitlines():
            if asks := re.match(r"tenantry account (?:add|passwd) (\w+)", line):
                lines.append(f"{line} <<< {PASSWORDS[asks[1]]}\n")
            elif asks := re.match(r"openstack user create --password-prompt (\w+)", line):
                lines.append(f"python type.py {PASSWORDS[asks[1]]} {line}\n")
            elif line.startswith("read "):
                lines.append(f"{{ {line}; }} <<< {PASSWORDS[name]}\n")
            elif line == "tenantry keystone serve":
                lines.append(SERVE.format(line=line, log="keystone", port=5000))
            elif line.endswith(" serve"):
                lines.append(SERVE.format(line=line, log="log", port=9696))
            else:
                lines.append(f"{line}\n")
                said = re.match(r"export OS_USERNAME=(\w+)", line)
                name = said[1] if said else name
    return "".join(lines)


def blocks(heading: str) -> list[str]:
    """What is to be typed below a heading."""
    section = re.search(rf"^## {heading}\b.*?(?=^## )", PAGE.read_text(), re.M | re.S)
    assert section
    return BLOCK.findall(section[0])


def done(typed: Iterable[str], directory: Path) -> tuple[list[str], str]:
    """What the commands of each block print, and the controller's log."""
    need(CLIENT.exists(), "python-openstackclient")
    need(namespace.allowed() and shutil.which("mount") is not None, "right to mount (root)")
    (directory / "type.py").write_text(TYPE)
    ran = subprocess.run(
        ["setsid", "unshare", "--net", "--mount", "bash"],  # nobody is at a terminal
        input=script(typed),
        cwd=directory,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"},
        capture_output=True,
        text=True,
    )
    log = (directory / "log").read_text() if (directory / "log").exists() else ""
    assert ran.returncode == 0, ran.stdout + ran.stderr + log
    return ran.stdout.split("==\n")[1:], log


def networks(printed: str) -> int:
    """How many there are of the name that both chose, in what a block prints at last."""
    return printed.rpartition("| ID ")[2].count("| ours ")


@pytest.mark.timeout(600)
def test_passwords(tmp_path: Path) -> None:
    printed, log = done(blocks("Passwords"), tmp_path)
    authority, _, accounts, _, alice, bob, root, cloud, *_ = printed
    assert "controller.pem" in authority
    assert [line.split()[:2] for line in accounts.splitlines()[-3:]] == [
        *(["root", "ops"], ["alice", "blue"], ["bob", "red"])
    ]
    assert [networks(text) for text in (alice, bob, root)] == [1, 1, 2]
    assert "realised" in root or "settled" in root, root
    assert "username: alice" in cloud
    written = re.findall(r"(\w+) of project (\w+), req-[^:]*: creates network ours", log)
    assert written == [("alice", "blue"), ("bob", "red")]


@pytest.mark.timeout(600)
def test_tokens(tmp_path: Path) -> None:
    need(importlib.util.find_spec("keystone") is not None, "Keystone (the extra [keystone])")
    printed, log = done(blocks("Tokens"), tmp_path)
    setup, _, _, root, alice, bob = printed
    assert "Keystone is set up" in setup
    assert "realised" in root or "settled" in root, root
    assert [networks(text) for text in (alice, bob)] == [1, 1]
    written = re.findall(r"(\w+) \(\w+\) of project (\w+) \(\w+\), req-[^:]*: creates net", log)
    assert written == [("alice", "blue"), ("bob", "red")]


THERE = """tenantry keystone init
tenantry keystone serve
export OS_CLIENT_CONFIG_FILE=/var/lib/tenantry/keystone/clouds.yaml OS_CLOUD=admin
openstack user delete tenantry
openstack service delete network
"""
"""A Keystone that knows nothing of a controller, and its administrator's terminal."""

AFTER = """chmod 600 /etc/tenantry/tenantry.conf
tenantry serve
openstack --os-cloud member network create ours
openstack --os-cloud reader network list
"""


@pytest.mark.timeout(600)
def test_a_keystone_that_is_there(tmp_path: Path) -> None:
    need(importlib.util.find_spec("keystone") is not None, "Keystone (the extra [keystone])")
    ours = {"https://CONTROLLER": "http://127.0.0.1", "https://KEYSTONE": "http://127.0.0.1"}
    ours["SECRET"] = PASSWORDS["tenantry"]
    typed = [
        re.sub("|".join(ours), lambda found: ours[found[0]], block)
        for block in blocks("A Keystone that is there")
    ]
    *_, used = done([THERE, *typed, AFTER], tmp_path)[0]
    assert networks(used) == 1
