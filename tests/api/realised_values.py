# SPDX-License-Identifier: Apache-2.0

"""Values that attributes may have, other than those of the sample: for ``test_realised.py``."""

from __future__ import annotations

from typing import Any

from tests.api.one_of_each import World

LEFT_OUT = object()
"""In place of a value: the attribute is not sent."""


class All(dict[str, Any]):
    """Several attributes at once: the one that it is about makes no sense without the others."""


def wired(network_type: str, physical_network: Any = LEFT_OUT, tag: Any = LEFT_OUT) -> All:
    names = ("network_type", "physical_network", "segmentation_id")
    values = (network_type, physical_network, tag)
    return All({f"provider:{name}": value for name, value in zip(names, values, strict=True)})


def option(name: str, value: str, version: int = 4) -> list[dict[str, Any]]:
    return [{"opt_name": name, "opt_value": value, "ip_version": version}]


def six(**modes: str) -> All:
    """A subnet of the other family."""
    more = dict.fromkeys(("allocation_pools", "host_routes", "dns_nameservers"), LEFT_OUT)
    own = {"cidr": "2001:db8:2::/64", "ip_version": 6, "gateway_ip": LEFT_OUT}
    return All({**more, **own, "service_address": LEFT_OUT, **modes})


def fixed_ips(world: World) -> list[Any]:
    four, network = world.id("subnet"), world.id("network")
    (six,) = world.api.list("subnet", f"network_id={network}&ip_version=6")
    return [[], [{"subnet_id": four, "ip_address": "10.1.0.88"}], [{"subnet_id": six["id"]}]]


def gateways(world: World) -> list[Any]:
    outside = world.api.list("network", "name=outside")[0]["id"]
    subnets = world.api.list("subnet", f"network_id={outside}&ip_version=4")
    here = [{"subnet_id": subnets[0]["id"], "ip_address": "203.0.113.77"}]
    without = {"network_id": outside, "enable_snat": False}
    limited = {"network_id": outside, "qos_policy_id": world.id("policy")}
    return [None, without, limited, {"network_id": outside, "external_fixed_ips": here}]


ENDS = ("source_ip_prefix", "destination_ip_prefix")
GREEN = ["green"]
PROFILES = [
    {"interface_name": "eth3"},
    {"interface_name": "eth2", "user_data": "#!/bin/sh"},
    {"interface_name": "eth2", "ssh_keys": ["ssh-ed25519 AAAA me"]},
    {"interface_name": "eth2", "instance_id": "i-1"},
    {"interface_name": "eth2", "meta": {"role": "db"}},
]

VALUES: dict[Any, Any] = {
    "tenant_id": GREEN,
    "project_id": GREEN,
    ("network", "provider:network_type"): [
        *(wired("local"), wired("flat", "wire3"), wired("vxlan"), wired("geneve", tag=7777)),
    ],
    ("network", "provider:physical_network"): ["wire2"],
    ("network", "provider:segmentation_id"): [777],
    ("network", "segments"): [
        All(
            {
                **wired(LEFT_OUT, LEFT_OUT, LEFT_OUT),
                "segments": [
                    {
                        "provider:network_type": "vlan",
                        "provider:physical_network": wire,
                        "provider:segmentation_id": 778,
                    }
                    for wire in ("wire", "wire2")
                ],
            }
        ),
    ],
    ("network", "mtu"): [1300],
    ("port", "hints"): [
        {"openvswitch": {"other_config": {"tx-steering": how}}} for how in ("hash", "thread")
    ],
    "dns_domain": ["other.example."],
    ("subnetpool", "prefixes"): [["10.90.0.0/16", "10.91.0.0/16"], ["10.80.0.0/15"]],
    ("subnetpool", "default_quota"): [64],
    ("subnetpool", "default_prefixlen"): [27],
    ("subnetpool", "min_prefixlen"): [25],
    ("subnetpool", "max_prefixlen"): [27],
    ("subnetpool", "address_scope_id"): [None],
    ("subnet", "ip_version"): [six()],
    ("subnet", "network_id"): lambda world: [world.others["other_network"]],
    ("subnet", "subnetpool_id"): lambda world: [
        All(
            {
                **dict.fromkeys(("cidr", "gateway_ip", "allocation_pools"), LEFT_OUT),
                "service_address": LEFT_OUT,
                "network_id": world.others["other_network"],
                "subnetpool_id": world.id("subnetpool"),
            }
        )
    ],
    ("subnet", "prefixlen"): lambda world: [
        All({**VALUES["subnet", "subnetpool_id"](world)[0], "prefixlen": 25})
    ],
    ("subnet", "use_default_subnetpool"): lambda world: [
        All(
            {
                **VALUES["subnet", "subnetpool_id"](world)[0],
                "subnetpool_id": LEFT_OUT,
                "use_default_subnetpool": True,
            }
        )
    ],
    ("subnet", "cidr"): [
        All(
            {
                "cidr": "10.3.0.0/24",
                "gateway_ip": "10.3.0.1",
                "service_address": "10.3.0.5",
                "allocation_pools": [{"start": "10.3.0.10", "end": "10.3.0.99"}],
            }
        )
    ],
    ("subnet", "gateway_ip"): [None, "10.2.0.3", "10.1.0.3"],
    ("subnet", "allocation_pools"): [
        [{"start": "10.2.0.50", "end": "10.2.0.60"}],
        [{"start": "10.1.0.50", "end": "10.1.0.90"}],
    ],
    ("subnet", "dns_nameservers"): [[], ["192.0.2.54", "192.0.2.55"], ["0.0.0.0"]],
    ("subnet", "host_routes"): [[{"destination": "198.18.0.0/15", "nexthop": "10.1.0.8"}]],
    ("subnet", "ipv6_ra_mode"): [
        six(ipv6_ra_mode=mode) for mode in ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
    ],
    ("subnet", "ipv6_address_mode"): [
        six(ipv6_ra_mode=mode, ipv6_address_mode=mode)
        for mode in ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
    ],
    ("subnet", "service_types"): [["compute:elsewhere"]],
    ("subnet", "service_address"): ["10.2.0.6", None],
    ("subnet", "segment_id"): lambda world: [
        All(
            {
                "network_id": world.shown("segment")["network_id"],
                "segment_id": world.id("segment"),
            }
        )
    ],
    ("port", "network_id"): lambda world: [
        All({"network_id": world.others["other_network"], "fixed_ips": LEFT_OUT})
    ],
    ("port", "mac_address"): ["fa:16:3e:00:00:77"],
    ("port", "fixed_ips"): fixed_ips,
    ("port", "port_security_enabled"): [
        All({"port_security_enabled": False, "allowed_address_pairs": [], "security_groups": []})
    ],
    ("port", "device_id"): ["another machine"],
    ("port", "binding:host_id"): ["host2", ""],
    ("port", "binding:profile"): PROFILES,
    ("port", "allowed_address_pairs"): [
        [],
        [{"ip_address": "10.9.0.1"}],
        [{"ip_address": "10.1.0.128/25", "mac_address": "00:00:5e:00:01:07"}],
        [{"ip_address": "2001:db8:77::/64"}],
    ],
    ("port", "extra_dhcp_opts"): [
        *(
            [{"opt_name": "mtu", "opt_value": None}],
            option("mtu", "1300"),
            option("router", "10.1.0.9"),
        ),
        *(option("67", "boot"), option("bootfile-name", "pxe"), option("tftp-server", "10.0.0.1")),
        *(option("server-ip-address", "10.0.0.1"), option("ntp-server", "10.0.0.2")),
        *(option("domain-search", "a.example"), option("domain-search", "b.example", 6)),
        option("dns-server", "2001:db8::53", 6),
    ],
    ("port", "dns_name"): ["www"],
    ("port", "pvlan_community"): ["web"],
    ("local_ip", "local_port_id"): lambda world: [
        All(
            {
                **dict.fromkeys(("network_id", "local_ip_address"), LEFT_OUT),
                "local_port_id": world.id("port"),
            }
        )
    ],
    ("local_ip", "network_id"): lambda world: [world.others["other_network"]],
    ("local_ip", "local_ip_address"): ["10.1.0.62", LEFT_OUT],
    "fixed_port_id": lambda world: [world.id("port")],
    "fixed_ip": lambda world: [
        All({"fixed_port_id": world.others["two"], "fixed_ip": f"10.1.0.{n}"}) for n in (201, 202)
    ],
    ("tap_service", "port_id"): lambda world: [world.others["two"]],
    ("tap_flow", "tap_service_id"): lambda world: [world.others["second_tap"]],
    ("tap_flow", "source_port"): lambda world: [
        All({"source_port": world.others["two"], "vlan_filter": None})
    ],
    ("tap_flow", "direction"): ["OUT", "BOTH"],
    ("tap_flow", "vlan_filter"): [None, "8"],
    ("tap_mirror", "port_id"): lambda world: [world.others["two"]],
    ("tap_mirror", "directions"): [{"OUT": 21}, {"BOTH": 22}],
    ("tap_mirror", "remote_ip"): ["192.0.2.78", "2001:db8::78"],
    ("tap_mirror", "mirror_type"): ["erspanv1"],
    ("port", "security_groups"): [[]],
    ("rbac_policy", "object_type"): lambda world: [
        All({"object_type": kind, "object_id": world.id(kind.replace("-", "_"))})
        for kind in ("address_scope", "subnetpool", "security_group", "address_group")
    ],
    ("rbac_policy", "object_id"): lambda world: [world.others["other_network"]],
    ("rbac_policy", "target_tenant"): ["*"],
    ("rbac_policy", "action"): ["access_as_external"],
    ("flavor", "service_type"): ["FLAVORS"],
    ("flavor", "service_profiles"): [[]],
    ("service_profile", "driver"): [All({"driver": "", "metainfo": "{}"})],
    ("security_groups_default_statefulness", "project_id"): ["red", None],
    ("security_groups_default_statefulness", "tenant_id"): [
        All({"tenant_id": "red", "project_id": LEFT_OUT}),
    ],
    ("security_groups_default_statefulness", "stateful"): [False],
    ("network_segment_range", "minimum"): [2999, 1999, 2001],
    ("network_segment_range", "maximum"): [3004, 2001],
    ("network_segment_range", "shared"): [True],
    ("network_segment_range", "project_id"): ["red"],
    ("network_segment_range", "tenant_id"): [
        All({"tenant_id": "red", "project_id": LEFT_OUT}),
    ],
    ("network_segment_range", "network_type"): [
        All({"network_type": "vxlan", "physical_network": LEFT_OUT}),
    ],
    ("network_segment_range", "physical_network"): ["wire2"],
    ("segment", "network_id"): lambda world: [world.others["other_network"]],
    ("segment", "physical_network"): ["wire"],
    ("segment", "network_type"): [
        All({"network_type": "flat", "segmentation_id": LEFT_OUT}),
        All({"network_type": "vxlan", "physical_network": LEFT_OUT}),
    ],
    ("segment", "segmentation_id"): [222],
    ("router", "external_gateway_info"): gateways,
    ("router", "distributed"): [False],
    ("router", "ha"): [False],
    ("router", "routes"): [[{"destination": "198.18.0.0/15", "nexthop": "10.1.0.8"}], []],
    ("router", "availability_zone_hints"): [["zone2"], ["nova"]],
    ("security_group_rule", "security_group_id"): lambda world: [world.others["default_group"]],
    "remote_group_id": lambda world: [
        All({"remote_ip_prefix": LEFT_OUT, "remote_group_id": world.id("security_group")})
    ],
    "remote_address_group_id": lambda world: [
        All({"remote_ip_prefix": LEFT_OUT, "remote_address_group_id": world.id("address_group")})
    ],
    ("security_group_rule", "protocol"): [
        *("udp", "sctp", "17"),
        *(
            All({"protocol": p, "port_range_min": LEFT_OUT, "port_range_max": LEFT_OUT})
            for p in ("icmp", "gre", "47", "any", "vrrp", "ah")
        ),
    ],
    "port_range_min": [70, All({"port_range_min": LEFT_OUT, "port_range_max": LEFT_OUT})],
    "port_range_max": [95],
    "ethertype": [All({"ethertype": "IPv6", "remote_ip_prefix": LEFT_OUT})],
    "remote_ip_prefix": [LEFT_OUT, "198.51.100.0/24"],
    ("metering_label_rule", "remote_ip_prefix"): [
        All({"remote_ip_prefix": "10.1.0.0/26", **dict.fromkeys(ENDS, LEFT_OUT)}),
    ],
    ("metering_label_rule", "source_ip_prefix"): [LEFT_OUT, "10.1.0.8/29"],
    ("metering_label_rule", "destination_ip_prefix"): [LEFT_OUT, "10.1.0.8/29"],
    ("metering_label_rule", "direction"): ["ingress"],
    ("metering_label_rule", "metering_label_id"): lambda world: [world.others["label"]],
    ("default_security_group_rule", "remote_ip_prefix"): ["198.51.100.0/24"],
    ("default_security_group_rule", "protocol"): ["tcp", "sctp"],
    ("address_group", "addresses"): [["198.51.100.0/24"], ["192.0.2.0/24", "2001:db8::/32"]],
    "source_ip_address": [None, "198.51.100.7"],
    "destination_ip_address": [None, "10.1.0.77"],
    "source_port": [None, "5", "7:9"],
    "destination_port": [None, "81", "90:99"],
    ("firewall_rule", "protocol"): ["udp", "sctp", None, "icmp"],
    ("firewall_rule", "ip_version"): [
        All({"ip_version": 6, "source_ip_address": None, "destination_ip_address": None})
    ],
    ("firewall_policy", "firewall_rules"): [[]],
    ("firewall_group", "ports"): lambda world: [[], [world.others["behind"]]],
    "ingress_firewall_policy_id": [None],
    "egress_firewall_policy_id": [None],
    ("floatingip", "floating_ip_address"): ["203.0.113.99"],
    ("floatingip", "router_id"): lambda world: [world.others["second_router"]],
    ("floatingip", "subnet_id"): lambda world: [
        All({"floating_ip_address": LEFT_OUT, "subnet_id": world.others["second_public"]})
    ],
    ("floatingip", "floating_network_id"): lambda world: [
        All(
            {
                **dict.fromkeys(("floating_ip_address", "subnet_id", "port_id"), LEFT_OUT),
                "fixed_ip_address": LEFT_OUT,
                "floating_network_id": world.others["second_outside"],
            }
        )
    ],
    ("floatingip", "port_id"): lambda world: [None, world.others["two"]],
    ("floatingip", "fixed_ip_address"): lambda world: [
        All({"port_id": world.others["two"], "fixed_ip_address": "10.1.0.202"})
    ],
    ("floatingip", "dns_name"): [All({"dns_name": "public", "dns_domain": "other.example."})],
    ("floatingip", "dns_domain"): [All({"dns_name": "www", "dns_domain": "blue.example."})],
    "external_port": [4444],
    "internal_port": [44],
    "external_port_range": [
        All(
            {
                **dict.fromkeys(("external_port", "internal_port"), LEFT_OUT),
                "external_port_range": "5000:5001",
                "internal_port_range": "60:61",
            }
        )
    ],
    "internal_port_range": [
        All(
            {
                **dict.fromkeys(("external_port", "internal_port"), LEFT_OUT),
                "external_port_range": "5000:5001",
                "internal_port_range": "62:63",
            }
        )
    ],
    "internal_ip_address": lambda world: [
        All({"internal_ip_address": "10.1.0.201", "internal_port_id": world.others["two"]})
    ],
    "internal_port_id": lambda world: VALUES["internal_ip_address"](world),
    ("port_forwarding", "protocol"): ["udp"],
    ("conntrack_helper", "protocol"): [
        All({"protocol": "udp", "helper": "tftp", "port": 69}),
        "udp",
    ],
    ("conntrack_helper", "port"): [2222],
    ("conntrack_helper", "helper"): ["tftp", "sip", "amanda", "pptp"],
    ("log", "resource_type"): ["firewall_group"],
    ("log", "resource_id"): lambda world: [LEFT_OUT, world.id("security_group")],
    ("log", "target_id"): lambda world: [world.others["behind"]],
    ("trunk", "port_id"): lambda world: [world.others["behind"]],
    ("trunk", "sub_ports"): lambda world: [
        [],
        [{"port_id": world.others["behind"], "segmentation_type": "vlan", "segmentation_id": 9}],
        [{"port_id": world.others["behind"], "segmentation_type": "inherit"}],
    ],
    "qos_policy_id": lambda world: [world.id("policy")],
    "max_kbps": [2000],
    "min_kbps": [700],
    "max_burst_kbps": [1800],
    "max_kpps": [40],
    "max_burst_kpps": [30],
    ("ndp_proxy", "router_id"): lambda world: [world.others["second_router"]],
    ("ndp_proxy", "port_id"): lambda world: [world.id("port")],
    ("ndp_proxy", "ip_address"): lambda world: [LEFT_OUT, "2001:db8:1::77"],
}
"""By kind and attribute, or by attribute: lists, or what makes one of the world."""


def values(world: World, kind: str, name: str) -> list[Any]:
    """Other values for an attribute than the sample has; a dict with LEFT_OUT or several attributes
    is sent as it is."""
    spec = world.api.kinds[kind].attributes[name]
    own = VALUES.get((kind, name), VALUES.get(name))
    if callable(own):
        own = own(world)
    if own is not None:
        return list(own)
    rule = spec.get("validate") or {}
    convert = getattr(spec.get("convert_to"), "__name__", "")
    if "type:values" in rule:
        return [v for v in rule["type:values"] if v is not None]
    if "boolean" in convert or isinstance(spec.get("default"), bool):
        return [True, False]
    raise AssertionError(f"which values may {kind} {name} have? Say so in VALUES")
