# SPDX-License-Identifier: Apache-2.0

"""Real DHCP clients in a guest, with a script that configures its interface and tells of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.namespace import Guest

# Both clients call it with all they were told in the environment, by names of their own.
SCRIPT = """#!/bin/sh
export EVENT="$1$reason"
case "$1$reason" in
bound|renew)
    ip address replace "$ip/$mask" dev "$interface"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    [ -n "$staticroutes" ] || for one in $router; do ip route replace default via "$one"; done
    set -- $staticroutes
    while [ $# -gt 1 ]; do
        # RFC 3442: what has no router is on the link.
        [ "$2" = 0.0.0.0 ] && how=dev to="$interface" || how=via to="$2"
        ip route replace "$1" "$how" "$to"; shift 2
    done ;;
BOUND|RENEW|REBIND|REBOOT)
    ip address replace "$new_ip_address/24" dev "$interface" ;;
BOUND6|RENEW6|REBIND6)
    ip -6 address replace "$new_ip6_address/128" dev "$interface" ;;
esac
python3 -c 'import json, os; print(json.dumps(dict(os.environ)), flush=True)'
"""
QUICK = SCRIPT.replace(SCRIPT.splitlines()[-1], 'echo "$1$reason $ip $new_ip6_address"')
"""The same, but it only says what happened, and which address."""


class Client:
    """A client that runs; what it is told comes as it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def told(self) -> dict[str, str]:
        """The next event: the environment of the script. Waits; AssertionError if it ends first."""
        line = self.line()
        assert line, f"the client ended: {self.process.wait()}"
        found: dict[str, str] = json.loads(line)
        return found

    def line(self) -> str:
        """The next line of the script; "" if the client has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> str:
        """End it; what it said of itself."""
        self.process.terminate()
        return self.process.communicate()[1]


def start(guest: Guest, *words: str) -> Client:
    """Start a client. Its pipe lets the controller, in this process, go on while we wait."""
    return Client(guest.start(*words))


def udhcpc(guest: Guest, script: Path, *options: str) -> Client:
    """DHCPv4, in the foreground, with every option that a host may want."""
    asked = ("search", "staticroutes", "msstaticroutes", "mtu", "ntpsrv", "lease", "domain")
    words = [word for name in asked for word in ("-O", name)]
    return start(guest, *("busybox", "udhcpc", "-f", "-i", "eth0", "-s", str(script)),
                 *("-T", "1", "-t", "10"), *words, *options)  # fmt: skip


def dhclient(guest: Guest, directory: Path, script: Path, *options: str) -> Client:
    """DHCPv4, or with -6 DHCPv6; its leases are kept in ``directory``."""
    files = ("-lf", f"{directory}/leases", "-pf", f"{directory}/pid", "-cf", "/dev/null")
    return start(guest, "dhclient", "-d", *options, *files, "-sf", str(script), "eth0")


@contextmanager
def running(client: Client) -> Iterator[Client]:
    try:
        yield client
    finally:
        client.close()


def write(directory: Path, text: str = SCRIPT) -> Path:
    """The script as a file."""
    path = directory / "configured"
    path.write_text(text)
    path.chmod(0o755)
    return path
