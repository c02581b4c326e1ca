# SPDX-License-Identifier: Apache-2.0

"""A process beside this one: whoever measures must not share a core with what is measured.

The two talk by one JSON value a line over a pair of sockets. A child ends when its parent hangs up,
also if the parent is killed. Times may be compared: the clock is the machine's.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Beside:
    """``python -m module`` with these arguments, which must call :func:`answer`."""

    def __init__(self, module: str, **arguments: Any) -> None:
        ours, theirs = socket.socketpair()
        words = [sys.executable, "-m", module, str(theirs.fileno()), json.dumps(arguments)]
        self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        theirs.close()
        self._socket = ours
        self._lines = ours.makefile("r")

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
        self._process.wait()

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Run a function there; what it returned. Errors: AssertionError with its traceback."""
        self._socket.sendall(json.dumps([name, arguments]).encode() + b"\n")
        line = self._lines.readline()
        assert line, f"the process beside ended during {name}"
        error, result = json.loads(line)
        assert error is None, f"{name}: {error}"
        return result


def arguments() -> dict[str, Any]:
    """What the parent gave to this child."""
    values: dict[str, Any] = json.loads(sys.argv[2])
    return values


def answer(functions: Mapping[str, Callable[..., Any]]) -> None:
    """The child's loop: run what the parent calls, until it hangs up."""
    parent = socket.socket(fileno=int(sys.argv[1]))
    with parent.makefile("r") as lines:
        for line in lines:
            name, values = json.loads(line)
            try:
                reply = [None, functions[name](**values)]
            except Exception:
                reply = [traceback.format_exc(), None]
            parent.sendall(json.dumps(reply).encode() + b"\n")


def resident(pid: int | str = "self") -> float:
    """The resident memory of a process, in MiB."""
    with open(f"/proc/{pid}/status") as status:
        (kib,) = (line.split()[1] for line in status if line.startswith("VmRSS:"))
    return int(kib) / 1024


def peak(*, anew: bool = False) -> float:
    """The most memory that this process had resident, in MiB, since it was last asked ``anew``."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    status = Path("/proc/self/status").read_text().splitlines()
    (kib,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kib) / 1024
