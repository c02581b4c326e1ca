# SPDX-License-Identifier: Apache-2.0

"""Which packets of a port are told to collectors by IPFIX: see ovs-actions(7), "sample".

Where nothing is told, no flow is another than it was.
"""

from __future__ import annotations

from tenantry.controller.model import Option, Port, View
from tenantry.controller.openflow.flow import Actions, Sample

ONE_OF = "flow_export_port_sampling"
"""The Option: one of so many packets. 0, or that there is none: none."""

EGRESS, INGRESS = 1, 2
"""Observation domains: what a port sends, and what it gets."""

COLLECTORS = {EGRESS: 47391, INGRESS: 47392}
"""The number of a set of collectors in OVSDB, by domain: of what a set is told, Open vSwitch says
how it is written (templates) for one domain alone."""

ALL = 65535
"""The probability with which each packet is told."""


def sampled(view: View, port: Port, domain: int) -> Actions:
    """Have this packet told, as one of a port's."""
    option = view.get(Option, ONE_OF)
    if option is None or not option.value:
        return ()
    return (Sample(max(1, ALL // option.value), COLLECTORS[domain], domain, port.key),)
