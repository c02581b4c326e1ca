# SPDX-License-Identifier: Apache-2.0

"""What a load balancer of layer 7 carries, beside the same HAProxy with a configuration that was
written by hand, in the same namespace; and what changes, and the loss of its host, cost it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenantry.controller.worker.there import Place
from tests import namespace
from tests.bench import ROUNDS, Figure, ratio
from tests.hosts.test_haproxy import Site, is_answered, kill_host, serve, url
from tests.hosts.test_workers import Web, web
from tests.namespace import Guest

REQUESTS = 4000
AT_ONCE = 16
RATE, CHANGES = 500, 10
TAKEN_OVER = 5.0  # seconds

MEMBER = """
defaults
    mode http
    timeout client 1m
frontend web
    bind [::]:8080
    http-request return status 200 content-type text/plain string "hello"
"""

BY_HAND = """
global
    nbthread 2
defaults
    mode http
    timeout client 50s
    timeout connect 5s
    timeout server 50s
frontend web
    bind {vip}:81
    default_backend members
backend members
    server one {one}
    server two {two}
"""


@contextmanager
def _site(count: int, directory: Path, fast: bool) -> Iterator[Site]:
    keys = {"certificates__key_file": str(directory / "secrets.key"), "health__file": ""}

    def member(guest: Guest, name: str) -> None:
        (directory / f"{name}.cfg").write_text(MEMBER)
        guest.start("haproxy", "-db", "-f", str(directory / f"{name}.cfg"))

    with web(directory, count, **keys) as net:
        site = Site(net, member if fast else serve)
        site.listener(80)
        site.until_active()
        yield site


def bench() -> Iterator[Figure]:
    Path("build").mkdir(exist_ok=True)
    with (
        namespace.entered(),
        tempfile.TemporaryDirectory(dir="build") as where,
        _site(1, Path(where).resolve(), fast=True) as site,
    ):
        yield _carried(site, Path(where).resolve())
    with (
        namespace.entered(),
        tempfile.TemporaryDirectory(dir="build") as where,
        _site(2, Path(where).resolve(), fast=False) as site,
    ):
        yield from _changed(site)
        yield _taken_over(site)


def _carried(site: Site, directory: Path) -> Figure:
    """Requests a second of one client, by connections that are kept."""
    net = site.net
    assert isinstance(net, Web)
    one, two = (f"[{member['address']}]:{member['protocol_port']}" for member in site.members)
    by_hand = directory / "by-hand.cfg"
    by_hand.write_text(BY_HAND.format(vip=site.vips[0], one=one, two=two))
    netns = Place(net.directory / site.proxy_host).netns(f"lb-{site.balancer['id']}")
    inside = ("ip", "netns", "exec", netns, "haproxy", "-db", "-f", by_hand)
    other = subprocess.Popen(net.machines[0].guest.command(*inside))
    try:
        while site.client.start("curl", "-s", url(site.vips[0], ":81/")).wait() != 0:
            time.sleep(0.05)
        ours, theirs = list[float](), list[float]()
        for _ in range(ROUNDS):
            ours.append(_rate(site, 80))
            theirs.append(_rate(site, 81))
    finally:
        other.terminate()
        other.wait()
    return ratio("haproxy.requests", ours, theirs, "by hand", 0.8, rate=True)


def _rate(site: Site, port: int) -> float:
    many = f"http://{site.vips[0]}:{port}/[1-{REQUESTS}]"
    words = ("curl", "-sS", "-Z", "--parallel-max", AT_ONCE, "-o", "/dev/null", many)
    began = time.monotonic()
    site.client.run(*words)
    return REQUESTS / (time.monotonic() - began)


def _changed(site: Site) -> Iterator[Figure]:
    """Requests that are lost at 500 a second, while policies come and go by the API."""
    asking = subprocess.Popen(
        site.client.command(sys.executable, "-m", "tests.steady", site.vips[0], 80, RATE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    (listener,) = site.net.api("GET", "/load-balancer/v2.0/lbaas/listeners")["listeners"]
    began = time.monotonic()
    for number in range(CHANGES):
        policy = site.make("l7policy", listener_id=listener["id"], action="REJECT")
        rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": f"/{number}"}
        site.make(f"l7policies/{policy['id']}/rule", **rule)
        site.net.settle()
        site.until_active()
    seconds = time.monotonic() - began
    told = json.loads(asking.communicate()[0])
    today = f"{told['asked']} requests, {CHANGES} changes in {seconds:.1f} s"
    yield Figure("haproxy.lost", len(told["lost"]), "requests lost by changes", 0, today=today)


def _taken_over(site: Site) -> Figure:
    began = time.monotonic()
    kill_host(site, site.proxy_host)
    while not is_answered(site):
        time.sleep(0.05)
    seconds = time.monotonic() - began
    unit = f"x the {TAKEN_OVER:g} s that a host's loss may take"
    return Figure("haproxy.taken-over", seconds / TAKEN_OVER, unit, 1, today=f"{seconds:.1f} s")
