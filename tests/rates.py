# SPDX-License-Identifier: Apache-2.0

"""How much really passes from one guest to another: iperf3, as the receiver sees it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tests.namespace import Guest

SEGMENT = 1398  # octets: in tunnels, too, nothing is cut


def kbps(
    sender: Guest, receiver: Guest, address: str, *, kbps: int, seconds: float, udp: bool = False
) -> float:
    """Kilobits a second that arrive of what is sent, as frames, after the burst of a limit of
    ``kbps``: octets by the time that they took, whatever that was."""
    listening = receiver.start("iperf3", "-s", "-1", "-J", "-i", "0.1", "--forceflush")
    words = ["iperf3", "-c", address, "-t", seconds, "-i", "0.1", "--connect-timeout", "5000"]
    offered = [*("-u", "-b", f"{2 * kbps}k", "-l", SEGMENT)] if udp else ["-M", SEGMENT]
    receiver.until(lambda: ":1451 " in receiver.run("cat", "/proc/net/tcp6"))  # it listens at 5201
    sender.run(*words, *offered)
    told, _ = listening.communicate()
    return rate(json.loads(told), kbps, udp)


def rate(told: Any, kbps: int, udp: bool) -> float:
    """From the first interval at whose end the burst of a second must be used up."""
    sums = [interval["sum"] for interval in told["intervals"]]
    frame = SEGMENT + (42 if udp else 66)  # Ethernet, IPv4, UDP or TCP with time stamps
    octets = 0.0
    with suppress(StopIteration):
        for number, each in enumerate(sums):
            octets += each["bytes"]
            if octets * 8 / 1000 > kbps:
                rest = sums[number + 1 :]
                return (
                    sum(each["bytes"] for each in rest)
                    * frame
                    / SEGMENT
                    * 8
                    / 1000
                    / sum(each["seconds"] for each in rest)
                )
    raise AssertionError(f"only {octets} octets came")
