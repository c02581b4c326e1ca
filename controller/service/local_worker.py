# SPDX-License-Identifier: Apache-2.0

"""The worker on the controller's own host: a child of the controller's, which ends with it. What it
runs goes on."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from oslo_config import cfg

from tenantry.controller import config, runtime
from tenantry.controller.switch.hosts import Hosts

LOG = logging.getLogger(__name__)

TOKEN = "TENANTRY_WORKER_TOKEN"
LOOK_SECONDS = 0.5
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0


def cannot() -> str:
    """Why there can be no worker here, in words; "" if there can."""
    if os.geteuid() != 0:
        return "the controller does not run as root, and a worker makes network namespaces"
    for command in ("ip", "unshare", "nsenter"):
        if shutil.which(command) is None:
            return f"there is no command {command} here"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        return "no network namespaces can be made here"
    return ""


class LocalWorker:
    """``host`` tells what this host is called, "" while nobody knows; ``token`` is what the worker
    is known by at ``url``."""

    def __init__(self, url: str, host: Callable[[], str], token: str, directory: Path) -> None:
        self._url = url
        self._host = host
        self._token = token
        self._directory = directory
        self._child: Any = None

    def run(self) -> None:
        """Keep it running, for as long as the process lives."""
        if words := cannot():
            LOG.warning(
                "no worker here: %s. Load balancers of layer 7 need one (docs/workers.md); "
                "[worker] local = false if it is meant",
                words,
            )
            while True:
                runtime.sleep(LONGEST_SECONDS)
        wait = SHORTEST_SECONDS
        while True:
            while not self._host():
                runtime.sleep(LOOK_SECONDS)
            started = time.monotonic()
            self._start()
            while self._child.poll() is None:
                runtime.sleep(LOOK_SECONDS)
            lived = time.monotonic() - started
            wait = SHORTEST_SECONDS if lived > LONGEST_SECONDS else min(wait * 2, LONGEST_SECONDS)
            LOG.warning("the local worker has ended; it is started again in %g s", wait)
            runtime.sleep(wait)

    def _start(self) -> None:
        words = ["--name", self._host(), "--url", self._url, "--directory", str(self._directory)]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tenantry.controller.worker", "--child", *words],
            env={**os.environ, TOKEN: self._token},
            stdin=subprocess.PIPE,
        )

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            with suppress(OSError):
                self._child.terminate()
                self._child.wait()


def of(
    conf: cfg.ConfigOpts, api_url: str, hosts: Hosts, token: str, store: str
) -> LocalWorker | None:
    """The worker of our own host, if it is to be, and there is a switch of ours here."""
    remotes = [remote for remote in conf.ovsdb.connections if remote.startswith("unix:")]
    if not (conf.worker.local and remotes and conf.ovsdb.integration_bridge):
        return None
    database = hosts.databases[remotes[0]]
    at = config.address(api_url.partition("//")[2], "[api] listen")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at.host, at.host)
    url = f"{api_url.partition(':')[0]}://{at._replace(host=host)}"
    directory = Path(conf.worker.directory) / store
    own = LocalWorker(url, lambda: database.host, token, directory)
    runtime.spawn(own.run)
    return own
