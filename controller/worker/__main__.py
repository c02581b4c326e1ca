# SPDX-License-Identifier: Apache-2.0

"""``python -m tenantry.controller.worker``: what ``tenantry worker`` becomes."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import click

from tenantry.controller.client import Client
from tenantry.controller.worker.keeper import Keeper
from tenantry.controller.worker.talk import Talk
from tenantry.controller.worker.there import Place, Trouble, run

LOG = logging.getLogger("tenantry.worker")


@click.command()
@click.option("--name", default="", help="The name of this host, as its Open vSwitch has it.")
@click.option("--directory", type=click.Path(path_type=Path), required=True)
@click.option("--url", default=None)
@click.option("--os-cloud", "cloud", default=None)
@click.option("--child", is_flag=True, help="End with standard input.")
def main(name: str, directory: Path, url: str | None, cloud: str | None, child: bool) -> None:
    """Run the processes that are wanted on this host, until SIGTERM. They go on without us."""
    logging.basicConfig(format="%(asctime)s %(levelname)s worker: %(message)s", level=logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    token = os.environ.pop("TENANTRY_WORKER_TOKEN", "")
    if token:  # our parent is at the other end, on this machine: see Client
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    os.umask(0o022)  # the modes of files are said one by one
    try:
        check_rights()
        place = Place(directory)
        place.prepare()
        lock = _lock(directory)
        host = name or own_name()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _end(place))
        if child:
            threading.Thread(target=_end_with_parent, args=(place,), daemon=True).start()
    except (Trouble, OSError) as error:
        raise click.ClickException(str(error)) from None
    LOG.info("this is %s, in %s", host, directory)
    keeper = Keeper(place)
    talk = Talk(lambda: Client(url, cloud, verify=not token), host, token, place)
    talk.remember(keeper)
    talk.start(keeper)
    keeper.run()
    os.close(lock)


def check_rights() -> None:
    """Errors: Trouble, with what to do."""
    if os.geteuid() != 0:
        raise Trouble("a worker makes network namespaces: run it as root")
    run("ip", "-V")
    try:
        run("unshare", "--net", "true")
    except Trouble as error:
        raise Trouble(f"no network namespaces can be made here: {error}") from None


def own_name() -> str:
    """What Open vSwitch calls this host. Errors: Trouble."""
    words = ("ovs-vsctl", "--timeout=10", "--if-exists", "get", "Open_vSwitch", ".")
    for key in ("hostname", "system-id"):
        told = run(*words, f"external_ids:{key}").strip()
        if told:
            return str(json.loads(told)) if told.startswith('"') else told
    raise Trouble("Open vSwitch has no name for this host; say --name")


def _lock(directory: Path) -> int:
    """Nobody else works here. Errors: Trouble."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Trouble(f"another worker runs here, in {directory}") from None
    return descriptor


def _end_with_parent(place: Place) -> None:
    sys.stdin.buffer.read()
    _end(place)


def _end(place: Place) -> None:
    """At once: what runs is not ours to end."""
    place.leave()
    os._exit(0)


if __name__ == "__main__":
    main()
