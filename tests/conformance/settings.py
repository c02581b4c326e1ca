# SPDX-License-Identifier: Apache-2.0

"""What the suites are told of the cloud: ``tempest.conf``, and a file for Octavia's."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from openstack.connection import Connection

from tests.conformance.cloud import KEYSTONE, OUTSIDE, PHYSICAL, Cloud
from tests.conformance.suites import SETTINGS

_SETTINGS = """\
[DEFAULT]
log_file = tempest.log
[oslo_concurrency]
lock_path = {directory}/locks
[auth]
use_dynamic_credentials = true
tempest_roles = {roles}
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
[identity]
uri_v3 = {keystone}/v3
auth_version = v3
region = RegionOne
[service_available]
neutron = true
cinder = false
glance = {compute}
horizon = false
nova = {compute}
swift = false
[enforce_scope]
neutron = true
[validation]
run_validation = false
[network]
public_network_id = {outside}
floating_network_name = {name}
project_networks_reachable = false
build_interval = 0
[network-feature-enabled]
api_extensions = {extensions}
ipv6 = true
ipv6_subnet_attributes = true
port_security = true
[neutron_plugin_options]
provider_vlans = {physical}
available_type_drivers = flat,vlan,vxlan,geneve,local
agent_availability_zone = {zone}
create_shared_resources = true
[load_balancer]
region = RegionOne
provider = {provider}
enabled_provider_drivers = {providers}
expected_flavor_capability = {flavor_capability}
expected_availability_zone_capability = {zone_capability}
RBAC_test_type = keystone_default_roles
build_interval = 0.1
check_interval = 0.1
lb_build_interval = 0.1
lb_build_timeout = 60
"""

_OCTAVIA = {"roles": "", "compute": "true"}
"""Its plugin makes networks only where there is Nova and Glance, though no test of its API boots
anything; and whom it makes with the role of a reader is to have no other."""


PROVIDER = "tenantry"


def write(cloud: Cloud, directory: Path) -> None:
    """The files, with the extensions, providers and capabilities that the API says it has."""
    with cloud.connection("admin") as admin:
        providers = _described(admin, "")
        of_flavors = _described(admin, f"/{PROVIDER}/flavor_capabilities")
        of_zones = _described(admin, f"/{PROVIDER}/availability_zone_capabilities")
        extensions = sorted(each.alias for each in admin.network.extensions())
        zones = {each.availability_zone for each in admin.network.agents()} - {None}
    text = partial(
        _SETTINGS.format,
        directory=directory,
        password=cloud.password("admin"),
        keystone=KEYSTONE,
        outside=cloud.outside,
        name=OUTSIDE,
        extensions=",".join(extensions),
        physical=PHYSICAL,
        zone=next(iter(sorted(zones)), "nova"),
        provider=PROVIDER,
        providers=",".join(providers),
        flavor_capability=of_flavors[0],
        zone_capability=of_zones[0],
    )
    (directory / "tempest.conf").write_text(text(roles="member", compute="false"))
    (directory / SETTINGS["octavia"]).write_text(text(**_OCTAVIA))


def _described(admin: Connection, path: str) -> list[str]:
    """Names and descriptions of what is below providers, as the file has them."""
    (found,) = admin.load_balancer.get(f"/lbaas/providers{path}").json().values()
    return [f"{each['name']}:{each['description']}" for each in found]
