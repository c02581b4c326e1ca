# SPDX-License-Identifier: Apache-2.0

"""What is wrong with rules, where neutron-lib's words would leave one alone with it."""

from __future__ import annotations

from neutron_lib import exceptions


class QosRuleNotSupported(exceptions.Conflict):
    message = "Rule %(rule_type)s is not supported by %(kind)s %(id)s: %(why)s."


class QosRuleNotSupportedByNetwork(QosRuleNotSupported):
    """Of networks, as in Neutron."""
