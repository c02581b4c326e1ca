# SPDX-License-Identifier: Apache-2.0

"""What is wrong with rules, where neutron-lib's words would leave one alone with it."""

from __future__ import annotations

from neutron_lib import exceptions

WHY = {
    "minimum_bandwidth": (
        "a minimum is kept on physical networks alone, on hosts that say which bandwidth they have "
        "there"
    ),
    "minimum_packet_rate": "no switch keeps a minimum of packets",
}
"""Why a type of rules does not do everywhere."""


class QosRuleNotSupported(exceptions.Conflict):
    message = "Rule %(rule_type)s is not supported by port %(port_id)s: %(why)s."


class QosRuleNotSupportedByNetwork(exceptions.Conflict):
    message = "Rule %(rule_type)s is not supported by network %(network_id)s: %(why)s."


class QosRuleNotSupportedOutside(exceptions.Conflict):
    message = (
        "Rule %(rule_type)s is not supported by %(object_type)s %(object_id)s: it is for ports."
    )
