# SPDX-License-Identifier: Apache-2.0

"""Who may do what to networks, subnets, ports, and what else is of the core."""

from __future__ import annotations

from oslo_policy.policy import RuleDefault

from tenantry.controller.feature.policies import (
    ADMIN,
    ADMIN_OR_SERVICE,
    ANY_READER,
    MANAGER,
    MEMBER,
    NETWORK_MEMBER,
    NETWORK_READER,
    OWN_MEMBER,
    READER,
    SERVICE,
    actions,
    of_kind,
    rule,
    tagging,
)

_NETWORK_TAGS = f"{READER} or rule:shared or rule:external or rule:context_is_advsvc"
_SUBNET_TAGS = f"{READER} or rule:shared or rule:external_network or {NETWORK_READER}"
_PORT_OWNER = f"not rule:network_device or {ADMIN_OR_SERVICE} or {NETWORK_MEMBER}"
_ITS_OWNERS = f"({NETWORK_MEMBER} or {OWN_MEMBER})"
_DELETE_PORT = (
    f"{ADMIN_OR_SERVICE} or service_roles:service and {_ITS_OWNERS} or not rule:compute_device and "
    f"not rule:baremetal_device and not rule:manila_device and {_ITS_OWNERS}"
)
_TARGET = (
    f"{ADMIN} or not field:rbac_policy:target_tenant=* and not field:rbac_policy:target_project=*"
)

POLICIES = (
    *of_kind(
        "network",
        "/networks",
        {
            "create": MEMBER,
            "create:shared": ADMIN,
            "get": f"{_NETWORK_TAGS} or {SERVICE}",
            "update": MEMBER,
            "update:shared": ADMIN,
            "delete": MEMBER,
            **tagging(get=_NETWORK_TAGS, update=MEMBER),
        },
    ),
    *of_kind(
        "subnet",
        "/subnets",
        {
            "create": f"{ADMIN} or {NETWORK_MEMBER}",
            "create:service_types": ADMIN,
            "get": f"{_SUBNET_TAGS} or {SERVICE}",
            "update": f"{MEMBER} or {NETWORK_MEMBER}",
            "update:service_types": ADMIN,
            "delete": f"{MEMBER} or {NETWORK_MEMBER}",
            **tagging(get=_SUBNET_TAGS, update=f"{MEMBER} or {NETWORK_MEMBER}"),
        },
    ),
    RuleDefault("external", "field:networks:router:external=True", "The network leads outside."),
    RuleDefault(
        "external_network", "field:subnets:router:external=True", "A subnet of an external network."
    ),
    RuleDefault(
        "network_device",
        "field:port:device_owner=~^network:",
        "A port of a router, of DHCP, of anything of the network.",
    ),
    RuleDefault("compute_device", "field:port:device_owner=~^compute:"),
    RuleDefault("baremetal_device", "field:port:device_owner=~^baremetal:"),
    RuleDefault("manila_device", "field:port:device_owner=~^manila:"),
    *of_kind(
        "port",
        "/ports",
        {
            "create": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER} or rule:shared",
            "create:device_id": f"{MEMBER} or {SERVICE}",
            "create:device_owner": _PORT_OWNER,
            "create:mac_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "create:fixed_ips": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER} or rule:shared",
            "create:fixed_ips:ip_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "create:fixed_ips:subnet_id": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER} or rule:shared",
            "create:binding:host_id": ADMIN_OR_SERVICE,
            "create:binding:profile": SERVICE,
            "create:binding:vnic_type": f"{MEMBER} or {SERVICE}",
            "create:hints": ADMIN,
            "create:trusted": ADMIN,
            "get": f"{READER} or {SERVICE} or {NETWORK_READER}",
            "get:hints": ADMIN,
            "get:trusted": ADMIN,
            "get:binding:vif_type": ADMIN_OR_SERVICE,
            "get:binding:vif_details": ADMIN_OR_SERVICE,
            "get:binding:host_id": ADMIN_OR_SERVICE,
            "get:binding:profile": ADMIN_OR_SERVICE,
            "update": f"{MEMBER} or {SERVICE}",
            "update:device_id": f"{MEMBER} or {SERVICE}",
            "update:device_owner": _PORT_OWNER,
            "update:mac_address": f"{ADMIN_OR_SERVICE} or role:manager and rule:network_owner",
            "update:fixed_ips": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:fixed_ips:ip_address": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER}",
            "update:fixed_ips:subnet_id": f"{ADMIN_OR_SERVICE} or {NETWORK_MEMBER} or rule:shared",
            "update:binding:host_id": ADMIN_OR_SERVICE,
            "update:binding:profile": SERVICE,
            "update:binding:vnic_type": f"{MEMBER} or {SERVICE}",
            "update:hints": ADMIN,
            "update:trusted": ADMIN,
            "update:data_plane_status": f"{ADMIN} or role:data_plane_integrator",
            "delete": _DELETE_PORT,
            **tagging(
                get=f"{READER} or rule:context_is_advsvc or {NETWORK_READER}",
                update=f"{MEMBER} or rule:context_is_advsvc",
            ),
            "delete:tags": f"{MEMBER} or rule:context_is_advsvc or {NETWORK_MEMBER}",
        },
    ),
    *of_kind(
        "port_binding",
        "/ports/{port_id}/bindings",
        {
            "get": ADMIN_OR_SERVICE,
            "create": SERVICE,
            "update": SERVICE,
            "delete": SERVICE,
        },
    ),
    rule(
        "activate",
        SERVICE,
        "PUT",
        "/ports/{port_id}/bindings/{host}/activate",
        "Activate a binding",
    ),
    RuleDefault("shared_address_scopes", "field:address_scopes:shared=True"),
    *of_kind(
        "address_scope",
        "/address-scopes",
        {
            "create": MEMBER,
            "create:shared": ADMIN,
            "get": f"{READER} or rule:shared_address_scopes",
            "update": MEMBER,
            "update:shared": ADMIN,
            "delete": MEMBER,
        },
    ),
    RuleDefault("shared_subnetpools", "field:subnetpools:shared=True"),
    *of_kind(
        "subnetpool",
        "/subnetpools",
        {
            "create": MEMBER,
            "create:shared": ADMIN,
            "create:is_default": ADMIN,
            "get": f"{READER} or rule:shared_subnetpools",
            "update": MEMBER,
            "update:is_default": ADMIN,
            "delete": MEMBER,
            **tagging(get=f"{READER} or rule:shared_subnetpools", update=MEMBER),
        },
    ),
    *actions(
        "/subnetpools",
        {"onboard_network_subnets": MEMBER, "add_prefixes": MEMBER, "remove_prefixes": MEMBER},
    ),
    *of_kind(
        "rbac_policy",
        "/rbac-policies",
        {
            "create": MEMBER,
            "create:target_tenant": _TARGET,
            "create:target_project": f"{ADMIN} or not field:rbac_policy:target_project=*",
            "update": MEMBER,
            "update:target_tenant": _TARGET,
            "update:target_project": f"{ADMIN} or not field:rbac_policy:target_project=*",
            "get": READER,
            "delete": MEMBER,
        },
    ),
    *of_kind(
        "agent",
        "/agents",
        {
            "create": ADMIN,
            "get": ADMIN,
            "update": ADMIN,
            "delete": ADMIN,
        },
    ),
    rule(
        "get_availability_zone", ANY_READER, "GET", "/availability_zones", "List availability zones"
    ),
    rule(
        "get_network_ip_availability",
        ADMIN_OR_SERVICE,
        "GET",
        "/network-ip-availabilities",
        "See how many addresses networks have left",
    ),
    rule("get_quota", MANAGER, "GET", "/quotas/{project_id}"),
    rule("update_quota", ADMIN, "PUT", "/quotas/{project_id}"),
    rule("delete_quota", ADMIN, "DELETE", "/quotas/{project_id}"),
)
