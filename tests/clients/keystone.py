# SPDX-License-Identifier: Apache-2.0

"""A real Keystone, set up and started by the commands that people use."""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventlet.green import subprocess

from tenantry.controller.cli import openvswitch

TENANTRY = Path(sys.executable).with_name("tenantry")
PATIENCE = 120  # seconds until a Keystone that does not come up is an error


class Keystone:
    """``environment`` and :meth:`token`: how its users prove who they are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clouds = directory / "clouds.yaml"
        with (
            socket.create_server(("127.0.0.1", 0)) as own,
            socket.create_server(("127.0.0.1", 0)) as network,
        ):
            self.address = "{}:{}".format(*own.getsockname())
            self.network_port: int = network.getsockname()[1]
        self.network = f"http://127.0.0.1:{self.network_port}"

    def init(self) -> str:
        """``tenantry keystone init``; what it prints."""
        words = ("--directory", self.directory, "--endpoint", f"http://{self.address}")
        return run(TENANTRY, "keystone", "init", *words, "--network", self.network)

    def environment(self, user: str) -> dict[str, str]:
        """OS_* and the like, for a client that acts as ``user``."""
        home = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return {**home, "OS_CLIENT_CONFIG_FILE": str(self.clouds), "OS_CLOUD": user}

    def ask(self, user: str, *words: str) -> Any:
        """What the ``openstack`` client prints, as ``user``."""
        client = TENANTRY.with_name("openstack")
        return run(client, *words, **self.environment(user)).strip()


def run(*words: object, input: str | None = None, **environment: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        input=input,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    output: str = done.stdout
    return output


@contextmanager
def serving(keystone: Keystone) -> Iterator[None]:
    """Its process, from when it answers to the end of the block."""
    log = keystone.directory / "serve.log"
    words = ("--directory", keystone.directory, "--listen", keystone.address)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(TENANTRY), "keystone", "serve", *map(str, words)], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://{keystone.address}/v3", timeout=5).close()
                break
            except OSError:
                dead = process.poll() is not None or time.monotonic() > deadline
                assert not dead, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        openvswitch.stop(process)
