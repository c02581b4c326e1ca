# SPDX-License-Identifier: Apache-2.0

"""How much really passes from one guest to another: iperf3, as the receiver sees it."""

from __future__ import annotations

import json

from tests.namespace import Guest

SEGMENT = 1398  # octets: in tunnels, too, nothing is cut
LISTENS = ":1451 "  # 5201, iperf3's port, in /proc/net/tcp6
HEADERS = {"tcp": 66, "udp": 42}
"""Octets of a frame beside what iperf3 counts: Ethernet's, IPv4's; TCP's with time stamps."""


def share(
    sender: Guest, receiver: Guest, address: str, *, kbps: int, seconds: float, kind: str = "tcp"
) -> float:
    """How much of a limit is had: of the frames that arrive, what is beyond the burst (a second's
    worth, which comes at once), by the time that they take, whatever that is. UDP is sent at twice
    the limit."""
    listening = receiver.start("iperf3", "-s", "-1", "-J", "--forceflush")
    receiver.run("sh", "-c", f"until grep -q '{LISTENS}' /proc/net/tcp6; do sleep 0.02; done")
    words = ["iperf3", "-c", address, "-t", seconds, "--connect-timeout", "5000"]
    udp = ["-u", "-b", f"{2 * kbps}k", "-l", SEGMENT]
    sender.run(*words, *(udp if kind == "udp" else ["-M", SEGMENT]))
    told, _ = listening.communicate()
    intervals = [interval["sum"] for interval in json.loads(told)["intervals"]]
    octets = sum(each["bytes"] for each in intervals) * (1 + HEADERS[kind] / SEGMENT)
    return (octets * 8 / 1000 - kbps) / sum(each["seconds"] for each in intervals) / kbps
