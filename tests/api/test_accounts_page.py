# SPDX-License-Identifier: Apache-2.0

"""docs/accounts.md, word for word: from nothing to two people in two projects, by passwords."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from eventlet.green import subprocess

from tests import namespace
from tests.api.openstack import CLIENT
from tests.conftest import need

PAGE = Path(__file__).parents[2] / "docs" / "accounts.md"
SECTION = re.compile(r"^## Passwords: .*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
PASSWORDS = {"root": "trustno1-nobody", "alice": "correct-horse", "bob": "battery-staple"}

PROLOGUE = """set -eu
mkdir etc && cp -a /etc/. etc
mount --bind etc /etc
mkdir -p /etc/tenantry
mkdir lib
mount --bind lib /var/lib
ip link set lo up
"""
"""In namespaces of its own: what it writes is gone with it."""

SERVE = """tenantry serve 2> log &
server=$!
trap 'kill $server; wait $server || true' EXIT
until grep -q 'API at' log; do kill -0 $server; sleep 0.1; done
"""


def script(section: str) -> str:
    """The page's commands, one after another, with somebody who types the passwords."""
    lines, name = [PROLOGUE], ""
    for number, block in enumerate(BLOCK.findall(section)):
        lines.append(f"echo == {number}\n")
        if block.startswith("["):
            lines.append(f"cat > /etc/tenantry/tenantry.conf <<'END'\n{block}END\n")
            continue
        for line in block.splitlines():
            if asks := re.match(r"tenantry account (?:add|passwd) (\w+)", line):
                lines.append(f"{line} <<< {PASSWORDS[asks[1]]}\n")
            elif line.startswith("read "):
                lines.append(f"{{ {line}; }} <<< {PASSWORDS[name]}\n")
            elif line == "tenantry serve":
                lines.append(SERVE)
            else:
                lines.append(f"{line}\n")
                said = re.match(r"export OS_USERNAME=(\w+)", line)
                name = said[1] if said else name
    return "".join(lines)


def test_passwords_word_for_word(tmp_path: Path) -> None:
    need(CLIENT.exists(), "python-openstackclient")
    need(namespace.allowed() and shutil.which("mount") is not None, "right to mount (root)")
    found = SECTION.search(PAGE.read_text())
    assert found
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash"],
        input=script(found[0]),
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"},
        capture_output=True,
        text=True,
    )
    log = tmp_path / "log"
    assert done.returncode == 0, (
        done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    )
    authority, _, accounts, _, alice, bob, root, cloud, *_ = done.stdout.split("== ")[1:]
    assert "controller.pem" in authority
    assert [line.split()[:2] for line in accounts.splitlines()[-3:]] == [
        *(["root", "ops"], ["alice", "blue"], ["bob", "red"])
    ]
    lists = [block.rpartition("| ID ")[2] for block in (alice, bob, root)]
    assert [text.count("| ours ") for text in lists] == [1, 1, 2]
    assert "settled" in root or "realised" in root, root
    assert "username: alice" in cloud
    written = re.findall(
        r"(\w+) of project (\w+), req-[^:]*: creates network ours", log.read_text()
    )
    assert written == [("alice", "blue"), ("bob", "red")]
