# SPDX-License-Identifier: Apache-2.0

"""Tests that make no sense here, each with a reason that a user would accept.

They are run all the same: one that passes is no longer to be here.
"""

from __future__ import annotations

_API = "neutron_tempest_plugin.api."
_QOS = f"{_API}test_qos."

_UNSEEN = (
    "What a project cannot see is answered 404 as if it were not there, also to who would add a "
    "rule to it. Neutron answers 403, and so tells that there is such a policy."
)

_OTHER_VERSION = (
    "The suite's load balancers have an IPv6 address, and these members an IPv4 one. Only a proxy "
    "speaks the one to clients and the other to members, and there is none of datagrams: it is "
    "refused with 501. Octavia's own provider refuses it, too, and the suite skips these tests for "
    "that one."
)
_MEMBERS = "octavia_tempest_plugin.tests.api.v2.test_member.MemberAPITest"
_OF_UDP = (
    *(("1.test_ipv4", each) for each in ("alt_monitor_member_create", "member_create")),
    *(("2.test", f"alt_monitor_member_{verb}") for verb in ("show", "update")),
    *(("2.test", f"member_{verb}") for verb in ("delete", "show", "update")),
)

REASONS: dict[str, str] = {
    **{
        f"{_MEMBERS}{start}_UDP_{algorithm}_{end}[": _OTHER_VERSION
        for start, end in _OF_UDP
        for algorithm in ("LC", "RR", "SI", "SIP")
    },
    **{
        f"{_QOS}Qos{rule}TestJSON.test_rule_create_forbidden_for_regular_projects": _UNSEEN
        for rule in (
            *("DscpMarkingRule", "MinimumBandwidthRule"),
            *("BandwidthLimitRule", "BandwidthLimitRuleWithDirection"),
        )
    },
    f"{_QOS}QosSearchCriteriaTest.test_list_pagination_with_href_links": (
        "The last link, made for an admin, is followed by a member: its marker is a policy that "
        "the member cannot see, and is answered 404 as if it were not there."
    ),
    f"{_QOS}RbacSharedQosPoliciesTest.test_policy_sharing_with_wildcard[": (
        "A policy is shared with all no more while a network of its own project has it: nobody "
        "loses what they use. Neutron refuses."
    ),
    f"{_QOS}RbacSharedQosPoliciesTest.test_network_presence_prevents_policy_rbac_policy_del": (
        "What is shared with all may be shared with the one other project that uses it instead: "
        "nobody loses what they use. Neutron refuses."
    ),
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
