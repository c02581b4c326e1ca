# SPDX-License-Identifier: Apache-2.0

"""What was dropped, and why, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from tenantry.controller.feature.routes import Counts, Metered, Running
from tenantry.controller.openflow.keys import MeterUse

METERS = {
    "punt": ("punt_limit", "it was for the controller, which takes so many packets of a port"),
    "multicast": ("broadcast_limit", "the port has said more to many than its limit allows"),
}
"""By app: the name and the words of what its meters drop."""

QOS = {
    MeterUse.FROM_PORT_BITS: ("qos_egress_bandwidth", "bandwidth limit, of what the port sends"),
    MeterUse.TO_PORT_BITS: ("qos_ingress_bandwidth", "bandwidth limit, of what the port receives"),
    MeterUse.FROM_PORT_PACKETS: ("qos_egress_packets", "packet rate limit, of what the port sends"),
    MeterUse.TO_PORT_PACKETS: (
        *("qos_ingress_packets", "packet rate limit, of what the port receives"),
    ),
}


def of_ports(running: Running, ids: Collection[str], counts: Counts) -> list[dict[str, Any]]:
    """What was dropped of some ports, most first: by what cause, and on whose account."""
    found: dict[str, dict[str, Any]] = {}
    for cause, words, packets, octets in _by_meters(counts):
        row = found.setdefault(cause, {"cause": cause, "words": words, "packets": 0, "octets": 0})
        row["packets"] += packets
        row["octets"] += octets
    return sorted(found.values(), key=lambda row: (-row["packets"], row["cause"]))


def _by_meters(counts: Counts) -> Iterator[tuple[str, str, int, int]]:
    for meter in counts.meters:
        if meter.dropped_packets:
            yield *_words(meter), meter.dropped_packets, meter.dropped_octets


def _words(meter: Metered) -> tuple[str, str]:
    if meter.app == "qos":
        return QOS[MeterUse(meter.meter >> 24)]
    return METERS[meter.app]
