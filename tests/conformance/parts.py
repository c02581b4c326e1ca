# SPDX-License-Identifier: Apache-2.0

"""Parts of the suites: what ``PART=`` chooses."""

from __future__ import annotations

from tests.conformance import results
from tests.conformance.suites import FAILED, SUITES

CI = (
    "tempest.api.network.test_networks.NetworksTest.",
    "tempest.api.network.test_ports.PortsTestJSON.",
    "tempest.api.network.test_routers.RoutersTest.",
    "tempest.api.network.test_floating_ips.FloatingIPTestJSON.",
    "tempest.api.network.test_security_groups.SecGroupTest.",
    "tempest.api.network.test_tags.",
    "neutron_tempest_plugin.api.test_address_scopes.",
    "neutron_tempest_plugin.api.test_security_groups.RbacSharedSecurityGroupTest.",
    "neutron_tempest_plugin.api.test_trunk.TrunkTestJSON.",
    "neutron_tempest_plugin.api.admin.test_shared_network_extension.RBACSharedNetworksTest.",
    "octavia_tempest_plugin.tests.api.v2.test_load_balancer.",
    "octavia_tempest_plugin.tests.api.v2.test_flavor.",
)
"""Classes that go through what most clients use, and through who may see what, in a minute."""


def chosen(tests: list[str], suite: str | None, part: str | None) -> list[str]:
    """The tests of a suite and a part: ``ci``, ``failed`` (at last), or a text that is in their
    names."""
    of_suite = [test for test in tests if test.startswith(SUITES[suite] if suite else "")]
    if part is None:
        return of_suite
    if part == "ci":
        return [test for test in of_suite if test.startswith(CI)]
    if part == "failed":
        at_last = results.read()
        return [t for t in of_suite if t not in at_last or at_last[t].status == FAILED]
    return [test for test in of_suite if part in test]
