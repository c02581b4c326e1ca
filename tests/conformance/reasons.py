# SPDX-License-Identifier: Apache-2.0

"""Tests that make no sense here, each with a reason that a user would accept.

They are run all the same: one that passes is no longer to be here.
"""

from __future__ import annotations

_API = "neutron_tempest_plugin.api."

REASONS: dict[str, str] = {
    f"{_API}admin.test_networks.NetworksTestAdmin.test_list_network_filter_provider_attributes": (
        "A member finds nothing by asking for what members may not see (`provider:*`). Neutron "
        "hides the attribute and answers the question, so that it can be guessed."
    ),
    f"{_API}admin.test_routers_ha.RoutersTestHA.test_delete_ha_router_keeps_ha_network": (
        "There is no `HA network tenant ID`: gateways watch each other over the tunnels that are "
        "there, by BFD, and need no network of their own."
    ),
    f"{_API}test_ndp_proxy_negative.NDPProxyNegativeTestJSON.test_enable_ndp_proxy_and_unset": (
        "A gateway that is removed takes `enable_ndp_proxy` along, also if the request says that "
        "it is to stay true. Who asks for both of a router where it is false gets 409: so it "
        "passes alone, and fails after others of its class."
    ),
}
"""By what the name of the test begins with."""


def reason(test: str) -> str | None:
    """Why a test may fail."""
    return next((why for start, why in REASONS.items() if test.startswith(start)), None)
