# SPDX-License-Identifier: Apache-2.0

"""``tempest.conf``: what the suites are told of the cloud."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.cloud import KEYSTONE, OUTSIDE, PHYSICAL, Cloud

_SETTINGS = """\
[DEFAULT]
log_file = tempest.log
[oslo_concurrency]
lock_path = {directory}/locks
[auth]
use_dynamic_credentials = true
tempest_roles = member
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
glance = false
horizon = false
nova = false
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
"""


def write(cloud: Cloud, directory: Path) -> None:
    """The file, with the extensions that the API says it has."""
    with cloud.connection("admin") as admin:
        extensions = sorted(each.alias for each in admin.network.extensions())
        zones = {each.availability_zone for each in admin.network.agents()} - {None}
    (directory / "tempest.conf").write_text(
        _SETTINGS.format(
            directory=directory,
            password=cloud.password("admin"),
            keystone=KEYSTONE,
            outside=cloud.outside,
            name=OUTSIDE,
            extensions=",".join(extensions),
            physical=PHYSICAL,
            zone=next(iter(sorted(zones)), "nova"),
        )
    )
