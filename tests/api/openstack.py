# SPDX-License-Identifier: Apache-2.0

"""The unmodified ``openstack`` client, led to an API that is served for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventlet.green import subprocess

from tenantry.controller import runtime

CLIENT = Path(sys.executable).with_name("openstack")


_DEPRECATED = (
    "The python binding code in neutronclient is deprecated in favor of OpenstackSDK, please use "
    "that as this will be removed in a future release."
)
"""What the plug-in for network logs says whenever it is used."""


class Client:
    """``openstack``, which reads several commands from one standard input: it starts slowly."""

    def __init__(self, home: Path, **environment: str) -> None:
        """``environment``: how it proves who it is, and to whom (``OS_*``)."""
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}

    def said(self, *commands: str) -> tuple[str, str]:
        """Output, and errors."""
        done = subprocess.run(
            [str(CLIENT)],
            input="\n".join(commands) + "\n",
            env=self._environment,
            capture_output=True,
            text=True,
        )
        return done.stdout, done.stderr.replace(_DEPRECATED, "").strip()

    def run(self, *commands: str) -> list[Any]:
        """The JSON of each command's output, in order; commands without output are left out."""
        text, errors = self.said(*commands)
        assert not errors, errors
        results: list[Any] = []
        decoder = json.JSONDecoder()
        while (start := min((at for c in "{[" if (at := text.find(c)) >= 0), default=-1)) >= 0:
            value, end = decoder.raw_decode(text[start:])
            results.append(value)
            text = text[start + end :]
        return results


@contextmanager
def served(app: Any, home: Path) -> Iterator[Client]:
    """A client of a WSGI application, which is served for as long as the block lasts."""
    listener = runtime.listen(("127.0.0.1", 0))
    server = runtime.spawn(runtime.wsgi_server, listener, app, log_output=False)
    try:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield Client(home, OS_AUTH_TYPE="none", OS_ENDPOINT=endpoint)
    finally:
        server.kill()
