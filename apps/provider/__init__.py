# SPDX-License-Identifier: Apache-2.0

"""Provider networks: flat and VLAN networks on named physical networks.

A switch reaches a physical network by the interfaces that carry its name
(``external_ids:tenantry-physical-network``). There a network's frames bear its 802.1Q tag (or none,
if it is flat); on the ports of tenants they never do. The same VLAN id on two physical networks is
two networks.
"""

from oslo_config import cfg

from tenantry.apps.provider import resources, tables
from tenantry.apps.provider.flows import (
    compile_beyond,
    compile_network,
    wired_networks,
    wired_ports,
)
from tenantry.controller import config
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.feature.extension import Extension


def _extension(conf: cfg.ConfigOpts) -> Extension:
    vlan_ranges = config.vlan_ranges(conf.networks.vlan_ranges)
    vni_ranges = config.vni_ranges(conf.networks.vni_ranges)
    without_word = "vlan" if vlan_ranges else "vxlan" if vni_ranges else "local"
    tenant_network_type = conf.networks.tenant_network_type or without_word
    needed = {"local": True, "vlan": vlan_ranges, "vxlan": vni_ranges, "geneve": vni_ranges}
    if not needed[tenant_network_type]:
        raise config.ConfigError(
            f"[networks] tenant_network_type = {tenant_network_type}: needs "
            f"{'vlan_ranges' if tenant_network_type == 'vlan' else 'vni_ranges'}, too"
        )
    return resources.extension(
        tenant_network_type=tenant_network_type,
        vlan_ranges=vlan_ranges,
        vni_ranges=vni_ranges,
        physical_networks=conf.networks.physical_networks or None,
    )


PROVIDER = App(
    id=2,
    name="provider",
    units=(
        Units("network", wired_networks, compile_network),
        Units("beyond", wired_ports, compile_beyond),
    ),
    build=lambda conf: Parts(extension=_extension(conf)),
    adds_to=tables.ADDS_TO,
)
