# SPDX-License-Identifier: Apache-2.0

"""``make demo``, as a person runs it: the table holds, and nothing is left behind."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mininet.conftest import SYSTEM_PYTHON

PATIENCE = 90.0


@pytest.fixture
def demo(mininet: Path, tenantry: Path, tmp_path: Path) -> Iterator[list[str]]:
    """The words that run it. Afterwards its files, processes and interfaces must be gone."""
    before = os.listdir("/sys/class/net")
    here = tmp_path / "t"  # short: Unix sockets lie below it
    here.mkdir()
    words = ["env", f"TMPDIR={here}", "PYTHONDONTWRITEBYTECODE=1", SYSTEM_PYTHON]
    yield [*words, str(mininet / "demo.py"), "--tenantry", str(tenantry)]
    assert list(here.iterdir()) == []
    assert os.listdir("/sys/class/net") == before
    deadline = time.monotonic() + PATIENCE
    while processes_that_mention(str(here)) and time.monotonic() < deadline:
        time.sleep(0.1)  # they were told to end; on a busy machine some do so a moment later
    assert processes_that_mention(str(here)) == []


def assert_balanced(output: str) -> None:
    """Each member has been asked, by each client."""
    answers = re.findall(r"120 connections from (\w+): (.*)$", output, re.MULTILINE)
    assert [name for name, _ in answers] == ["red4", "red1"]
    for _, told in answers:
        shares = dict(each.split() for each in told.split(", "))
        assert sorted(shares) == ["red1", "red2", "red3"]
        assert sum(map(int, shares.values())) == 120
    assert "from blue1, of another tenant: nobody answers" in output


def processes_that_mention(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if text.encode() in words:
            found.append(words.split(b"\0")[0].decode())
    return found


def test_check(demo: list[str]) -> None:
    done = subprocess.run([*demo, "--check"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.endswith(" ok")}
    assert len(rows) == 11
    outside = ["outside", "red1"]
    red = ["red1", "red3", "red4"]
    assert rows["red2"].split()[2:] == [
        *("outside", *red, "server", "web", "ok", "ok"),
        *(*red, "ok", "ok", "ok"),
    ]
    blue = ["blue1", "blue2", "blue4"]
    assert rows["blue3"].split()[2:] == [
        *(*blue, *outside, "server", "web", "ok", "ok"),
        *(*blue, "ok", "ok", "ok"),
    ]
    assert (
        rows["server"].split()[2:] == [*outside, "web", "ok", "ok", "outside", "web"] + ["ok"] * 3
    )
    assert re.search(r"frames on the trunk .*VLAN \d+ red: [1-9].*foreign: 0", done.stdout)
    assert re.search(r"frames on the uplink .*VLAN 200 provider: [1-9].*foreign: 0", done.stdout)
    assert "inside the 11 hosts: 0" in done.stdout
    assert_balanced(done.stdout)


def test_check_of_three_hosts(demo: list[str]) -> None:
    words = [*demo, "--hosts", "3", "--check"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.endswith(" ok")}
    assert len(rows) == 10
    red = ["red1", "red3", "red4"]
    assert rows["red2"].split()[2:] == [
        *("outside", *red, "server", "ok", "ok"),
        *(*red, "ok", "ok", "ok"),
    ]
    for network, pair in (("red", "host1 - host2"), ("blue", "host2 - host3")):
        carried = re.search(rf"VNI \d+ +{network} +(.*)", done.stdout)
        assert carried, done.stdout
        assert re.search(rf"{pair}: [1-9]", carried[1])
        assert network != "red" or "host3" not in carried[1]
    assert "has no business with: 0" in done.stdout
    assert "inside the 10 hosts: 0" in done.stdout
    assert_balanced(done.stdout)
    up = re.findall(r"^(host\d) +yes .*\b2 up", done.stdout, re.MULTILINE)
    assert {*up} == {"host1", "host2", "host3"}
    assert "wanted equals installed" in done.stdout


@pytest.mark.parametrize("words", [[], ["--hosts", "3"]], ids=["one", "three"])
def test_interrupted_while_it_builds(demo: list[str], words: list[str]) -> None:
    process = subprocess.Popen(
        [*demo, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "creating" in line:
                break
        time.sleep(0.7)  # in the middle of it
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output


def test_stays_up_until_interrupted(demo: list[str]) -> None:
    # Its own session: the signals below are for it and its children, as from a terminal.
    process = subprocess.Popen(
        demo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process:
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"Neutron API is at (http://127\.0\.0\.1:\d+)\.", output)
        assert found, output
        with urllib.request.urlopen(f"{found[1]}/v2.0/networks", timeout=10) as answer:
            names = {network["name"] for network in json.load(answer)["networks"]}
        assert names == {"red", "red-db", "blue", "blue-db", "provider"}
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)  # an impatient second one must not stop the cleanup
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


def test_with_a_keystone(demo: list[str]) -> None:
    """In a namespace where nobody else has the ports that its catalogue names."""
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    words = [*alone, *demo, "--auth", "keystone", "--check"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as expected." in done.stdout
    assert "wanted equals installed" in done.stdout
