# SPDX-License-Identifier: Apache-2.0

"""Options: of which type tenants' networks are, and which VLANs and VNIs they get."""

from __future__ import annotations

from oslo_config import cfg

from tenantry.apps.provider import resources
from tenantry.controller.config import ConfigError, Options
from tenantry.controller.feature.extension import Extension

OPTIONS: Options = {
    "networks": [
        cfg.StrOpt(
            "tenant_network_type",
            default="",
            choices=["", "local", "vlan", "vxlan", "geneve"],
            help="How tenants' networks are carried between hosts: local (not at all), vlan, vxlan "
            "or geneve. Empty: vlan if there are vlan_ranges, else vxlan, which costs one host "
            "nothing, and is right when others join.",
        ),
        cfg.ListOpt(
            "physical_networks",
            default=[],
            help="Names of the physical networks that may be used; empty allows any.",
        ),
        cfg.ListOpt(
            "vlan_ranges",
            default=[],
            help="VLAN ids for tenants' networks, as PHYSICAL_NETWORK:FIRST:LAST.",
        ),
        cfg.ListOpt(
            "vni_ranges",
            default=["4096:16777215"],
            help="VNIs for VXLAN and Geneve networks for which nobody names one, as FIRST:LAST; "
            "both types use all of them. Others are an administrator's to give.",
        ),
    ]
}


def extension(conf: cfg.ConfigOpts) -> Extension:
    """What the feature adds to the API, as options have it. Errors: ConfigError."""
    vlan_ranges = _vlan_ranges(conf.networks.vlan_ranges)
    vni_ranges = _vni_ranges(conf.networks.vni_ranges)
    without_word = "vlan" if vlan_ranges else "vxlan" if vni_ranges else "local"
    tenant_network_type = conf.networks.tenant_network_type or without_word
    needed = {"local": True, "vlan": vlan_ranges, "vxlan": vni_ranges, "geneve": vni_ranges}
    if not needed[tenant_network_type]:
        raise ConfigError(
            f"[networks] tenant_network_type = {tenant_network_type}: needs "
            f"{'vlan_ranges' if tenant_network_type == 'vlan' else 'vni_ranges'}, too"
        )
    return resources.extension(
        tenant_network_type=tenant_network_type,
        vlan_ranges=vlan_ranges,
        vni_ranges=vni_ranges,
        physical_networks=conf.networks.physical_networks or None,
    )


def _vlan_ranges(texts: list[str]) -> dict[str, list[tuple[int, int]]]:
    """``["physnet1:1000:1999"]`` by physical network. Errors: ConfigError."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for text in texts:
        name, _, ends = text.partition(":")
        first, last = _ends(ends)
        if not name or not 1 <= first <= last <= 4094:
            raise ConfigError(
                f"[networks] vlan_ranges = {text}: must be PHYSICAL_NETWORK:FIRST:LAST "
                "with 1 <= FIRST <= LAST <= 4094"
            )
        ranges.setdefault(name, []).append((first, last))
    return ranges


def _vni_ranges(texts: list[str]) -> list[tuple[int, int]]:
    """``["4096:16777215"]`` as numbers. Errors: ConfigError."""
    ranges = [_ends(text) for text in texts]
    for text, (first, last) in zip(texts, ranges, strict=True):
        if not 1 <= first <= last < 1 << 24:
            raise ConfigError(
                f"[networks] vni_ranges = {text}: must be FIRST:LAST "
                "with 1 <= FIRST <= LAST <= 16777215"
            )
    return ranges


def _ends(text: str) -> tuple[int, int]:
    """``FIRST:LAST``; zeros if it is anything else."""
    try:
        first, last = map(int, text.split(":"))
    except ValueError:
        return 0, 0
    return first, last
