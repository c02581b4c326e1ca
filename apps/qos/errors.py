# SPDX-License-Identifier: Apache-2.0

"""What is wrong with rules, where neutron-lib's words would leave one alone with it."""

from __future__ import annotations

from neutron_lib import exceptions

WHY = {
    "minimum_bandwidth": (
        "a minimum is kept for ports on physical networks, in directions of which a host says how "
        "much it carries there"
    ),
    "minimum_packet_rate": "no switch keeps a minimum of packets",
}
"""Why a type of rules does not do everywhere."""


class QosRuleNotSupported(exceptions.Conflict):
    message = "Rule %(rule_type)s is not supported by %(kind)s %(id)s: %(why)s."


class QosRuleNotSupportedByNetwork(QosRuleNotSupported):
    """Of networks, as in Neutron."""
