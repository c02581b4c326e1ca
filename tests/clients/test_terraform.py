# SPDX-License-Identifier: Apache-2.0

"""The requests of the Terraform provider for OpenStack (version 3, by gophercloud 2).

What it sends for each of its resources is written down here, and what it makes of the answers: Go
decodes JSON into structs, and an attribute of another type than the field's is an error there,
which Python and curl would not notice. What it reads after it has written must be what it wrote, or
the next plan is not empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.clients.conftest import Door

Body = dict[str, Any]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
"""RFC 3339, with or without a zone: what gophercloud tries."""

COMMON: Body = {"id": str, "tenant_id": str, "project_id": str, "description": str}
STANDARD = COMMON | {"created_at": TIME, "updated_at": TIME, "revision_number": int, "tags": [str]}
FIXED_IPS = [{"subnet_id": str, "ip_address": str}]
RULE = STANDARD | {
    "direction": str,
    "ethertype": str,
    "security_group_id": str,
    "protocol": str,
    "port_range_min": int,
    "port_range_max": int,
    "remote_group_id": str,
    "remote_ip_prefix": str,
    "remote_address_group_id": str,
}
STRUCTS: dict[str, Body] = {
    "network": STANDARD
    | {
        "name": str,
        "admin_state_up": bool,
        "status": str,
        "subnets": [str],
        "shared": bool,
        "availability_zone_hints": [str],
        "router:external": bool,
        "mtu": int,
        "port_security_enabled": bool,
        "dns_domain": str,
        "qos_policy_id": str,
        "provider:network_type": str,
        "provider:physical_network": str,
    },
    "subnet": STANDARD
    | {
        "network_id": str,
        "name": str,
        "ip_version": int,
        "cidr": str,
        "gateway_ip": str,
        "dns_nameservers": [str],
        "service_types": [str],
        "enable_dhcp": bool,
        "allocation_pools": [{"start": str, "end": str}],
        "subnetpool_id": str,
        "host_routes": [{"destination": str, "nexthop": str}],
        "segment_id": str,
        "ipv6_address_mode": str,
        "ipv6_ra_mode": str,
        "dns_publish_fixed_ip": bool,
    },
    "port": STANDARD
    | {
        "network_id": str,
        "name": str,
        "admin_state_up": bool,
        "status": str,
        "mac_address": str,
        "fixed_ips": FIXED_IPS,
        "device_owner": str,
        "device_id": str,
        "security_groups": [str],
        "propagate_uplink_status": bool,
        "qos_policy_id": str,
        "allowed_address_pairs": [{"ip_address": str, "mac_address": str}],
        "extra_dhcp_opts": [{"opt_name": str, "opt_value": str, "ip_version": int}],
        "binding:host_id": str,
        "binding:vif_type": str,
        "binding:vnic_type": str,
        "binding:profile": dict,
        "binding:vif_details": dict,
        "dns_name": str,
        "dns_assignment": [{"hostname": str, "ip_address": str, "fqdn": str}],
        "port_security_enabled": bool,
        "dns_domain": str,
    },
    "router": STANDARD
    | {
        "name": str,
        "admin_state_up": bool,
        "status": str,
        "distributed": bool,
        "ha": bool,
        "routes": [{"destination": str, "nexthop": str}],
        "availability_zone_hints": [str],
        "external_gateway_info": {
            "network_id": str,
            "enable_snat": bool,
            "external_fixed_ips": FIXED_IPS,
            "qos_policy_id": str,
        },
    },
    "security_group": STANDARD
    | {"name": str, "stateful": bool, "shared": bool, "security_group_rules": [RULE]},
    "security_group_rule": RULE,
    "floatingip": STANDARD
    | {
        "floating_network_id": str,
        "floating_ip_address": str,
        "port_id": str,
        "fixed_ip_address": str,
        "status": str,
        "router_id": str,
        "dns_name": str,
        "dns_domain": str,
    },
    "port_forwarding": {
        "id": str,
        "description": str,
        "internal_port_id": str,
        "internal_ip_address": str,
        "internal_port": int,
        "external_port": int,
        "protocol": str,
    },
    "trunk": STANDARD
    | {
        "name": str,
        "admin_state_up": bool,
        "port_id": str,
        "status": str,
        "sub_ports": [{"segmentation_id": int, "segmentation_type": str, "port_id": str}],
    },
    "rbac_policy": {
        "id": str,
        "tenant_id": str,
        "project_id": str,
        "object_type": str,
        "object_id": str,
        "action": str,
        "target_tenant": str,
    },
    "subnetpool": STANDARD
    | {
        "name": str,
        "default_quota": int,
        "prefixes": [str],
        "ip_version": int,
        "min_prefixlen": (int, str),
        "max_prefixlen": (int, str),
        "shared": bool,
        "default_prefixlen": (int, str),
        "is_default": bool,
        "address_scope_id": str,
    },
    "address_scope": {
        "id": str,
        "tenant_id": str,
        "project_id": str,
        "name": str,
        "ip_version": int,
        "shared": bool,
    },
    "address_group": COMMON | {"name": str, "addresses": [str]},
    "segment": {
        "id": str,
        "network_id": str,
        "name": str,
        "description": str,
        "network_type": str,
        "physical_network": str,
        "segmentation_id": int,
        "revision_number": int,
    },
    "firewall_rule": COMMON
    | {
        "name": str,
        "protocol": str,
        "action": str,
        "ip_version": int,
        "shared": bool,
        "source_ip_address": str,
        "destination_ip_address": str,
        "source_port": str,
        "destination_port": str,
        "enabled": bool,
        "firewall_policy_id": [str],
    },
    "firewall_policy": COMMON
    | {"name": str, "audited": bool, "shared": bool, "firewall_rules": [str]},
    "firewall_group": COMMON
    | {
        "name": str,
        "admin_state_up": bool,
        "status": str,
        "ports": [str],
        "shared": bool,
        "ingress_firewall_policy_id": str,
        "egress_firewall_policy_id": str,
    },
}
"""The fields of gophercloud's structs. None fits each of them, as in Go."""

PENDING = {"BUILD", "PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"}
"""Statuses in which the provider waits on."""


def misfits(value: Any, wanted: Any, where: str) -> list[str]:
    """What Go would not decode, by where it is."""
    if value is None:
        return []
    if isinstance(wanted, list):
        if not isinstance(value, list):
            return [f"{where} is {value!r}, no list"]
        return [line for each in value for line in misfits(each, wanted[0], f"{where}[]")]
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return [f"{where} is {value!r}, no object"]
        both = wanted.keys() & value.keys()
        return [line for n in both for line in misfits(value[n], wanted[n], f"{where}.{n}")]
    if isinstance(wanted, re.Pattern):
        fits = isinstance(value, str) and wanted.fullmatch(value)
    else:
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    return [] if fits else [f"{where} is {value!r}"]


@dataclass
class Provider:
    """The provider: state of resources by path, as `terraform apply` keeps it."""

    door: Door
    made: list[tuple[str, str]] = field(default_factory=list)

    def send(self, method: str, path: str, status: int, body: Any = None) -> Any:
        seen, answer = self.door.request(method, f"/v2.0/{path}", body)
        assert seen == status, f"{method} {path}: {seen} {answer}"
        return answer

    def apply(self, kind: str, path: str, **attributes: Any) -> Body:
        """Create a resource, wait for it, tag it, read it; a plan made now is empty."""
        answer = self.send("POST", path, 201, {kind: attributes})[kind]
        assert not misfits(answer, STRUCTS[kind], kind)
        where = f"{path}/{answer['id']}"
        self.made.append((kind, where))
        read = self.read(kind, where)
        if "tags" in STRUCTS[kind] and "tags" in read:
            tagged = self.send("PUT", f"{where}/tags", 200, {"tags": ["one", "two"]})
            assert tagged == {"tags": ["one", "two"]}
            assert sorted(self.read(kind, where)["tags"]) == ["one", "two"]
        self.is_as_planned(kind, where, attributes)
        return read

    def change(self, kind: str, path: str, **attributes: Any) -> Body:
        answer = self.send("PUT", path, 200, {kind: attributes})[kind]
        assert not misfits(answer, STRUCTS[kind], kind)
        return self.is_as_planned(kind, path, attributes)

    def read(self, kind: str, path: str) -> Body:
        found: Body = self.send("GET", path, 200)[kind]
        assert not misfits(found, STRUCTS[kind], kind)
        assert found.get("status") not in PENDING
        return found

    def is_as_planned(self, kind: str, path: str, attributes: Body) -> Body:
        found = self.read(kind, path)
        for name in attributes.keys() & STRUCTS[kind].keys():
            wanted, there = attributes[name], found[name]
            assert _same(there, wanted), f"{kind}.{name} is {there!r}, not {wanted!r}"
        return found

    def destroy(self) -> None:
        """In the other order; each is asked for until it is gone."""
        for kind, path in reversed(self.made):
            if kind == "interface":
                router, subnet, port = path.split()
                self.send("PUT", f"{router}/remove_router_interface", 200, {"subnet_id": subnet})
                self.send("GET", f"ports/{port}", 404)
                continue
            if kind == "firewall_group":
                self.change(kind, path, ports=[])
            self.send("DELETE", path, 204)
            self.send("GET", path, 404)


def _same(there: Any, wanted: Any) -> bool:
    """Sets are sets; of an object, what was written."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return all(_same(there.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(there, list):
        some = all(any(_same(each, value) for each in there) for value in wanted)
        return some and len(there) == len(wanted)
    return str(there) == str(wanted)


def test_what_the_provider_sends_and_makes_of_the_answers(door: Door) -> None:
    terraform = Provider(door)
    apply, change, send = terraform.apply, terraform.change, terraform.send

    outside = apply(
        *("network", "networks"),
        **{"name": "public", "admin_state_up": True, "router:external": True, "shared": False},
        **{"provider:network_type": "flat", "provider:physical_network": "uplink"},
    )
    apply(
        *("subnet", "subnets"),
        network_id=outside["id"],
        cidr="203.0.113.0/24",
        ip_version=4,
        name="public4",
        enable_dhcp=False,
    )
    network = apply(
        *("network", "networks"),
        name="blue",
        admin_state_up=True,
        description="d",
        mtu=1400,
        port_security_enabled=True,
        dns_domain="blue.example.",
        shared=False,
    )
    change("network", f"networks/{network['id']}", name="azure", admin_state_up=True, shared=False)
    subnet = apply(
        *("subnet", "subnets"),
        network_id=network["id"],
        name="four",
        cidr="10.0.0.0/24",
        ip_version=4,
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.99"}],
        dns_nameservers=["192.0.2.53"],
        service_types=[],
        enable_dhcp=True,
        gateway_ip="10.0.0.1",
    )
    change(
        *("subnet", f"subnets/{subnet['id']}"),
        name="vier",
        description="d",
        gateway_ip="10.0.0.1",
        dns_nameservers=["192.0.2.54", "192.0.2.53"],
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}],
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.200"}],
        enable_dhcp=True,
    )
    apply(
        *("subnet", "subnets"),
        network_id=network["id"],
        cidr="2001:db8:1::/64",
        ip_version=6,
        name="six",
        ipv6_address_mode="dhcpv6-stateful",
        ipv6_ra_mode="dhcpv6-stateful",
        enable_dhcp=True,
    )
    bare = apply("network", "networks", name="bare", admin_state_up=True)
    apply(
        *("subnet", "subnets"),
        network_id=bare["id"],
        cidr="10.9.0.0/24",
        ip_version=4,
        gateway_ip=None,
    )

    scope = apply("address_scope", "address-scopes", name="s", ip_version=4, shared=False)
    pool = apply(
        *("subnetpool", "subnetpools"),
        name="pool",
        prefixes=["10.80.0.0/16"],
        default_prefixlen=26,
        min_prefixlen=24,
        max_prefixlen=28,
        address_scope_id=scope["id"],
        shared=False,
        is_default=False,
        description="",
    )
    change("subnetpool", f"subnetpools/{pool['id']}", name="p", default_prefixlen=27)
    pooled = apply("network", "networks", name="pooled", admin_state_up=True)
    from_pool = apply(
        *("subnet", "subnets"),
        network_id=pooled["id"],
        ip_version=4,
        subnetpool_id=pool["id"],
        prefixlen=25,
    )
    assert from_pool["cidr"].endswith("/25")

    group = apply("security_group", "security-groups", name="web", description="", stateful=True)
    for rule in group["security_group_rules"]:  # delete_default_rules = true
        send("DELETE", f"security-group-rules/{rule['id']}", 204)
    change("security_group", f"security-groups/{group['id']}", name="www", description="d")
    addresses = apply(
        "address_group", "address-groups", name="ag", description="", addresses=["192.0.2.0/24"]
    )
    where = f"address-groups/{addresses['id']}"
    for action, nets in (("add", ["198.51.100.0/24"]), ("remove", ["192.0.2.0/24"])):
        send("PUT", f"{where}/{action}_addresses", 200, {"addresses": nets})
    terraform.is_as_planned("address_group", where, {"addresses": ["198.51.100.0/24"]})
    into = {"direction": "ingress", "security_group_id": group["id"]}
    for rule in (
        {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80, "ethertype": "IPv4"},
        {"ethertype": "IPv6", "protocol": "ipv6-icmp", "remote_ip_prefix": "::/0"},
        {"ethertype": "IPv4", "remote_group_id": group["id"]},
        {"ethertype": "IPv4", "remote_address_group_id": addresses["id"]},
    ):
        apply("security_group_rule", "security-group-rules", **into, **rule)

    port = apply(
        *("port", "ports"),
        network_id=network["id"],
        name="web",
        admin_state_up=True,
        fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.0.0.50"}],
        security_groups=[group["id"]],
        allowed_address_pairs=[{"ip_address": "10.0.0.200"}],
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1380", "ip_version": 4}],
        port_security_enabled=True,
        dns_name="web",
    )
    change(
        *("port", f"ports/{port['id']}"),
        name="www",
        admin_state_up=True,
        security_groups=[group["id"]],
        allowed_address_pairs=[],
        fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.0.0.51"}],
    )
    cleared = {"port": {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}}
    assert send("PUT", f"ports/{port['id']}", 200, cleared)["port"]["extra_dhcp_opts"] == []
    change("port", f"ports/{port['id']}", security_groups=[], port_security_enabled=False)
    change("port", f"ports/{port['id']}", security_groups=[group["id"]], port_security_enabled=True)

    found = send("GET", "networks?name=public&router%3Aexternal=true", 200)["networks"]
    assert [each["id"] for each in found] == [outside["id"]]  # external_network_id by its name
    router = apply(
        *("router", "routers"),
        name="r",
        admin_state_up=True,
        external_gateway_info={"network_id": found[0]["id"]},
    )
    change(
        *("router", f"routers/{router['id']}"),
        name="r1",
        external_gateway_info={"network_id": outside["id"], "enable_snat": False},
    )
    path = f"routers/{router['id']}"
    info = send("PUT", f"{path}/add_router_interface", 200, {"subnet_id": subnet["id"]})
    wanted = {"subnet_id": str, "port_id": str, "id": str, "tenant_id": str}
    assert not misfits(info, wanted, "interface")
    terraform.read("port", f"ports/{info['port_id']}")
    terraform.made.append(("interface", f"{path} {subnet['id']} {info['port_id']}"))
    routes = [{"destination": "192.0.2.128/25", "nexthop": "10.0.0.9"}]
    for action, left in (("add", routes), ("remove", [])):
        body = {"router": {"routes": routes}}
        answer = send("PUT", f"{path}/{action}_extraroutes", 200, body)["router"]
        assert not misfits(answer, STRUCTS["router"], "router")
        assert terraform.read("router", path)["routes"] == left

    floating = apply("floatingip", "floatingips", floating_network_id=outside["id"])
    change("floatingip", f"floatingips/{floating['id']}", port_id=port["id"])
    found = send("GET", f"floatingips?floating_ip_address={floating['floating_ip_address']}", 200)
    assert [each["id"] for each in found["floatingips"]] == [floating["id"]]
    gone = change("floatingip", f"floatingips/{floating['id']}", port_id=None)
    assert gone["port_id"] is None
    forwarding = apply(
        *("port_forwarding", f"floatingips/{floating['id']}/port_forwardings"),
        internal_port_id=port["id"],
        internal_ip_address="10.0.0.51",
        internal_port=22,
        external_port=2222,
        protocol="tcp",
        description="",
    )
    at = f"floatingips/{floating['id']}/port_forwardings/{forwarding['id']}"
    change("port_forwarding", at, external_port=2223, description="ssh")

    parent, child, other = (
        apply("port", "ports", network_id=network["id"], name=name, admin_state_up=True)
        for name in ("parent", "child", "other")
    )
    sub = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    trunk = apply(
        *("trunk", "trunks"),
        name="t",
        admin_state_up=True,
        port_id=parent["id"],
        sub_ports=[sub],
    )
    more = {"port_id": other["id"], "segmentation_type": "vlan", "segmentation_id": 8}
    path = f"trunks/{trunk['id']}"
    for action, what in (("remove", {"port_id": child["id"]}), ("add", more)):
        answer = send("PUT", f"{path}/{action}_subports", 200, {"sub_ports": [what]})
        assert not misfits(answer, STRUCTS["trunk"], "trunk")
    assert send("GET", f"{path}/get_subports", 200)["sub_ports"] == [more]

    given = {"action": "access_as_shared", "object_type": "network", "object_id": bare["id"]}
    policy = apply("rbac_policy", "rbac-policies", **given, target_tenant="8" * 32)
    change("rbac_policy", f"rbac-policies/{policy['id']}", target_tenant="9" * 32)
    wire = {"network_type": "vlan", "physical_network": "wire", "segmentation_id": 203}
    segmented = apply(
        *("network", "networks"),
        **{"name": "segmented", "provider:network_type": "vlan"},
        **{"provider:physical_network": "wire2", "provider:segmentation_id": 202},
    )
    apply("segment", "segments", network_id=segmented["id"], name="s", **wire)

    rule = apply(
        *("firewall_rule", "fwaas/firewall_rules"),
        name="web",
        protocol="tcp",
        action="allow",
        ip_version=4,
        enabled=True,
        destination_port="80",
        source_ip_address="192.0.2.0/24",
        shared=False,
    )
    rules = {"firewall_rules": [rule["id"]], "audited": False, "shared": False}
    firewall = apply("firewall_policy", "fwaas/firewall_policies", name="web", **rules)
    apply(
        *("firewall_group", "fwaas/firewall_groups"),
        name="web",
        admin_state_up=True,
        shared=False,
        ports=[port["id"]],
        ingress_firewall_policy_id=firewall["id"],
    )

    in_use = {"subnet_id": subnet["id"]}  # by the port forwarding: the provider tries again
    send("PUT", f"routers/{router['id']}/remove_router_interface", 409, in_use)
    terraform.destroy()
