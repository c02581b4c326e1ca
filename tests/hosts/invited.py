# SPDX-License-Identifier: Apache-2.0

"""Machines that join by TLS, as ``tenantry host invite`` has them do it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tenantry.controller.sockets import certificates
from tests.farm import CONTROLLER, Farm, Machine, farm
from tests.namespace import run


class Invited(Machine):
    """A machine whose root runs the script that it was sent."""

    def __init__(self, number: int, authority: Path, directory: Path) -> None:
        """``authority``: the directory of who signs; ``directory``: below it, what is installed."""
        super().__init__(number)
        self.authority = authority
        self.installed = directory / self.name / "tenantry"

    def join(self, port: int) -> None:
        script = run(
            *(sys.executable, "-m", "tenantry.controller", "host", "invite", self.name),
            *("--controller", CONTROLLER, "--port", port, "--directory", self.authority),
            *("--tunnel-address", self.tunnel_address, "--install-to", self.installed),
        )
        done = subprocess.run(
            self.guest.command("sh"),
            input=script,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@contextmanager
def certified(
    directory: Path, authority: Path, machines: Sequence[Machine], **more: str
) -> Iterator[Farm]:
    """A controller with the authority's certificate, and machines that have joined it."""
    options = {
        "openflow__tls_private_key": str(authority / certificates.CONTROLLER_KEY),
        "openflow__tls_certificate": str(authority / certificates.CONTROLLER),
        "openflow__tls_ca_certificates": str(authority / certificates.AUTHORITY),
    }
    with farm(directory, [*machines], **options, **more) as net:
        yield net
