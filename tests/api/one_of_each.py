# SPDX-License-Identifier: Apache-2.0

"""One resource of each kind that the API has, with as many of its attributes set as go together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tenantry.controller.api.core import agent
from tenantry.controller.model import BANDWIDTH_INTERFACES, BANDWIDTHS
from tests.api.conftest import Api

Body = dict[str, Any]


@dataclass
class World:
    """What there is, by kind: the URL of each, and how another one of its kind may be made."""

    api: Api
    urls: dict[str, str] = field(default_factory=dict)
    new: dict[str, tuple[str, Body]] = field(default_factory=dict)
    """By kind: the URL to POST to, and a body that is taken there now."""
    others: dict[str, str] = field(default_factory=dict)
    """Ids of more resources, by what they are for."""

    def id(self, kind: str) -> str:
        *_, parent, _, name = self.urls[kind].split("/")
        found = self.api.kinds[kind]
        return found.named(self.api.store, parent if found.parent else "", name)

    def name(self, kind: str, shown: Body) -> str:
        """What a resource is called in its URL."""
        name: str = shown[self.api.kinds[kind].named_by or "id"]
        return name

    def shown(self, kind: str) -> Body:
        status, answer = self.api.request("GET", self.urls[kind])
        assert status == 200, answer
        body: Body = answer[self.called(kind)]
        return body

    def called(self, kind: str) -> str:
        """What a kind is called in bodies."""
        return self.api.kinds[kind].singular

    def _make(self, kind: str, another: Body, parent: str = "", **attributes: Any) -> str:
        """Make one; ``another`` is what the next differs in."""
        url = self.api.kinds[kind].path.format(parent=parent)
        id = self._post(url, kind, attributes)
        self.urls[kind] = f"{url}/{id}"
        self.new[kind] = url, {**attributes, **another}
        return id

    def _post(self, url: str, kind: str, attributes: Body) -> str:
        called = self.called(kind)
        status, answer = self.api.request("POST", url, {called: attributes})
        assert status == 201, (kind, answer)
        return self.name(kind, answer[called])

    def other(self, kind: str, parent: str = "", **attributes: Any) -> str:
        """One more, that is no example of its kind."""
        return self._post(self.api.kinds[kind].path.format(parent=parent), kind, attributes)

    def act(self, action: str, **what: Any) -> None:
        status, answer = self.api.request("PUT", f"{self.urls['router']}/{action}", what)
        assert status == 200, answer


def one_of_each(api: Api) -> World:
    world = World(api)
    make, other, id = world._make, world.other, world.id
    notes = {"name": "one", "description": "the first"}
    for number, zone, priority in ((1, "nova", 1), (2, "zone2", 0)):
        told: Body = {"tunnel_address": f"192.0.2.{number}", "gateway_priority": priority}
        told |= {BANDWIDTHS: {"uplink2": {"egress": 1_000_000}}}
        told |= {BANDWIDTH_INTERFACES: {"uplink2": "eth1"}}
        agent.report(
            api.store,
            api.kinds,
            host=f"host{number}",
            availability_zone=zone,
            configurations={**told, "datapaths": []},
        )
    world.urls["agent"] = f"/v2.0/agents/{api.list('agent')[0]['id']}"
    make("address_scope", {}, name="one", ip_version=4, shared=False)
    lengths = {"default_prefixlen": 26, "min_prefixlen": 24, "max_prefixlen": 28}
    make(
        "subnetpool",
        {"prefixes": ["10.90.0.0/16"], "is_default": False},
        **{**notes, **lengths, "is_default": True, "prefixes": ["10.80.0.0/16"]},
        address_scope_id=id("address_scope"),
        default_quota=1024,
    )
    wire = {"provider:network_type": "vlan", "provider:physical_network": "wire"}
    network = make(
        "network",
        {"provider:segmentation_id": 102},
        **{**notes, **wire, "provider:segmentation_id": 101, "mtu": 1400},
        dns_domain="blue.example.",
        port_security_enabled=True,
    )
    four = {"network_id": network, "ip_version": 4, "enable_dhcp": True}
    subnet = make(
        "subnet",
        {
            "cidr": "10.2.0.0/24",
            "gateway_ip": "10.2.0.1",
            "allocation_pools": [{"start": "10.2.0.10", "end": "10.2.0.99"}],
            "service_address": "10.2.0.5",
        },
        **{**notes, **four, "cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.1"},
        allocation_pools=[{"start": "10.1.0.10", "end": "10.1.0.99"}],
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.1.0.9"}],
        service_address="10.1.0.5",
    )
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    six = other("subnet", network_id=network, ip_version=6, cidr="2001:db8:1::/64", **modes)
    addresses = [{"subnet_id": subnet, "ip_address": "10.1.0.77"}]
    make("address_group", {}, **notes, addresses=["192.0.2.0/24"])
    make("security_group", {}, **notes, stateful=True)
    make("security_groups_default_statefulness", {"project_id": "green"}, stateful=True)
    rule = {"security_group_id": id("security_group"), "direction": "ingress", "protocol": "tcp"}
    make(
        "security_group_rule",
        {"port_range_max": 90},
        **{**rule, "ethertype": "IPv4", "port_range_min": 80, "port_range_max": 80},
        remote_ip_prefix="192.0.2.0/24",
        description="web",
    )
    default = {"ethertype": "IPv4", "direction": "egress", "protocol": "udp"}
    make(
        "default_security_group_rule",
        {"port_range_max": 63},
        **{**default, "port_range_min": 53, "port_range_max": 53, "description": "names"},
        used_in_default_sg=True,
    )
    make(
        "port",
        {
            "mac_address": "fa:16:3e:00:00:02",
            "fixed_ips": [{"subnet_id": subnet, "ip_address": "10.1.0.78"}],
            "binding:profile": {"interface_name": "eth2"},
            "dns_name": "two",
        },
        **{**notes, "network_id": network, "fixed_ips": addresses, "tags": ["a", "b"]},
        **{"binding:host_id": "host1", "binding:profile": {"interface_name": "eth1"}},
        mac_address="fa:16:3e:00:00:01",
        device_id="machine",
        device_owner="compute:nova",
        dns_name="web",
        dns_domain="web.example.",
        security_groups=[id("security_group")],
        allowed_address_pairs=[{"ip_address": "10.1.0.128/25"}],
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1380", "ip_version": 4}],
    )
    behind = other("port", network_id=network)
    make(
        "rbac_policy",
        {"target_tenant": "9" * 32},
        object_type="network",
        object_id=network,
        action="access_as_shared",
        target_tenant="8" * 32,
    )
    outside = other(
        "network",
        **{"name": "outside", "router:external": True, "provider:network_type": "flat"},
        **{"provider:physical_network": "uplink"},
    )
    public = other("subnet", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    pool = other(
        "subnetpool",
        name="six",
        prefixes=["2001:db8::/32"],
        max_prefixlen=64,
        address_scope_id=other("address_scope", name="six", ip_version=6),
    )
    scoped = {"ip_version": 6, "subnetpool_id": pool}
    other("subnet", network_id=outside, cidr="2001:db8:ffff::/64", **scoped)
    profile = make("service_profile", {}, driver="tenantry.routing", description="all")
    flavor = make(
        "flavor",
        {},
        **{**notes, "service_type": "L3_ROUTER_NAT", "service_profiles": [profile]},
        enabled=True,
    )
    gateway = {"network_id": outside, "enable_snat": True}
    make(
        "router",
        {},
        **{**notes, "external_gateway_info": gateway},
        availability_zone_hints=["nova", "zone2"],
        enable_ndp_proxy=True,
        flavor_id=flavor,
    )
    for leg in (subnet, six):
        world.act("add_router_interface", subnet_id=leg)
    floating = {"floating_network_id": outside, "subnet_id": public}
    make(
        "floatingip",
        {"floating_ip_address": "203.0.113.51", "port_id": behind, "fixed_ip_address": None},
        **{**floating, "floating_ip_address": "203.0.113.50", "port_id": id("port")},
        fixed_ip_address="10.1.0.77",
        description="the first",
    )
    forwarding = other("floatingip", floating_network_id=outside)
    served = other("port", network_id=network)
    at = api.show("port", served)["fixed_ips"][0]["ip_address"]
    make(
        "local_ip",
        {"local_ip_address": "10.1.0.61"},
        **{**notes, "network_id": network, "local_ip_address": "10.1.0.60"},
        ip_mode="translate",
    )
    make(
        "port_association",
        {"fixed_port_id": behind, "fixed_ip": None},
        id("local_ip"),
        fixed_port_id=served,
        fixed_ip=at,
    )
    make(
        "port_forwarding",
        {"external_port": 2223, "internal_port": 23},
        forwarding,
        external_port=2222,
        internal_port=22,
        protocol="tcp",
        internal_port_id=served,
        internal_ip_address=at,
        description="ssh",
    )
    make(
        "conntrack_helper",
        {"port": 2121},
        id("router"),
        protocol="tcp",
        port=21,
        helper="ftp",
    )
    known = other("network", **{**wire, "provider:segmentation_id": 103})
    world.act(
        "add_router_interface",
        subnet_id=other("subnet", network_id=known, cidr="2001:db8:3::/64", **scoped),
    )
    far = other("port", network_id=known)
    make(
        "ndp_proxy",
        {},
        **{**notes, "router_id": id("router"), "port_id": far},
        ip_address=api.show("port", far)["fixed_ips"][0]["ip_address"],
    )
    del world.new["ndp_proxy"]  # each address has one
    make(
        "firewall_rule",
        {},
        **{**notes, "protocol": "tcp", "ip_version": 4, "action": "reject", "enabled": True},
        source_ip_address="192.0.2.0/24",
        destination_ip_address="10.1.0.0/24",
        source_port="1024:2048",
        destination_port="80",
    )
    make("firewall_policy", {}, **notes, firewall_rules=[id("firewall_rule")], audited=False)
    make(
        "firewall_group",
        {"ports": [behind]},
        **{**notes, "ports": [id("port")], "admin_state_up": True},
        ingress_firewall_policy_id=id("firewall_policy"),
        egress_firewall_policy_id=id("firewall_policy"),
    )
    make("metering_label", {}, **notes, shared=False)
    make(
        "metering_label_rule",
        {"destination_ip_prefix": "198.51.100.0/24"},
        metering_label_id=id("metering_label"),
        direction="egress",
        excluded=False,
        source_ip_prefix="10.1.0.0/24",
        destination_ip_prefix="192.0.2.0/24",
    )
    default_group = api.list("security_group", "name=default")[0]["id"]
    make(
        "log",
        {"event": "ACCEPT", "resource_id": default_group, "target_id": None},
        **{**notes, "resource_type": "security_group", "event": "DROP", "enabled": True},
        resource_id=id("security_group"),
        target_id=id("port"),
    )
    make(
        "network_segment_range",
        {"minimum": 3000, "maximum": 3002},
        name="one",
        network_type="vlan",
        physical_network="wire",
        minimum=2000,
        maximum=2002,
        shared=False,
        project_id="green",
    )
    segmented = other("network", **{**wire, "provider:segmentation_id": 201})
    make(
        "segment",
        {"segmentation_id": 203, "physical_network": "wire3"},
        **{**notes, "network_id": segmented, "network_type": "vlan", "segmentation_id": 202},
        physical_network="wire2",
    )
    parent, child, second, third = (other("port", network_id=network) for _ in range(4))
    make(
        "trunk",
        {
            "port_id": second,
            "sub_ports": [
                {"port_id": third, "segmentation_type": "vlan", "segmentation_id": 8},
            ],
        },
        **{**notes, "port_id": parent, "admin_state_up": True},
        sub_ports=[{"port_id": child, "segmentation_type": "vlan", "segmentation_id": 7}],
    )
    make("policy", {"is_default": False}, **notes, shared=False, is_default=False)
    limited = id("policy")
    one_way = {"direction": "egress", "max_kbps": 1000, "max_burst_kbps": 900}
    make("bandwidth_limit_rule", {"direction": "ingress"}, limited, **one_way)
    packets = {"direction": "egress", "max_kpps": 20, "max_burst_kpps": 10}
    make("packet_rate_limit_rule", {"direction": "ingress"}, limited, **packets)
    make("dscp_marking_rule", {}, limited, dscp_mark=26)
    promised, impossible = (other("policy", name=name) for name in ("promised", "impossible"))
    least = {"direction": "egress", "min_kbps": 500}
    make("minimum_bandwidth_rule", {"direction": "ingress"}, promised, **least)
    fewest = {"direction": "egress", "min_kpps": 5}
    make("minimum_packet_rate_rule", {"direction": "ingress"}, impossible, **fewest)
    for kind in ("dscp_marking_rule", "minimum_bandwidth_rule"):
        del world.new[kind]  # a policy has one, or one that somebody may have
    make("tap_service", {}, **notes, port_id=behind)
    make(
        "tap_flow",
        {"direction": "IN"},
        **{**notes, "tap_service_id": id("tap_service"), "source_port": parent},
        direction="OUT",
        vlan_filter="7,9-10",
    )
    make(
        "tap_mirror",
        {"directions": {"IN": 21}},
        **{**notes, "port_id": served, "mirror_type": "gre", "remote_ip": "192.0.2.77"},
        directions={"IN": 11, "OUT": 12},
    )
    for kind, url in world.urls.items():
        if "tags" in api.kinds[kind].attributes:
            assert api.request("PUT", f"{url}/tags", {"tags": ["a", "b"]})[0] == 200
    return world


def one_of_each_balanced(api: Api) -> World:
    """The same of load balancers and what is part of them."""
    world = World(api)
    make, other, id = world._make, world.other, world.id
    notes = {"name": "one", "description": "the first"}
    network = api.create("network")["id"]
    ranges = ({"cidr": "10.1.0.0/24", "ip_version": 4}, {"cidr": "2001:db8::/64", "ip_version": 6})
    subnet, six = (api.create("subnet", network_id=network, **each)["id"] for each in ranges)
    nothing = {"provider_name": "tenantry"}
    for kind, named, data in (
        ("load_balancer_flavor", "flavor", "flavor_data"),
        ("load_balancer_zone", "availability_zone", "availability_zone_data"),
    ):
        profile = f"{kind}_profile"
        make(profile, {"name": "two"}, name="one", **nothing, **{data: "{}"})
        make(kind, {"name": "two"}, **notes, **{f"{named}_profile_id": id(profile)})
    common = {**notes, "tags": ["a", "b"]}
    make(
        "loadbalancer",
        {"vip_address": "10.1.0.61", "additional_vips": []},
        **{**common, "vip_subnet_id": subnet, "vip_address": "10.1.0.60"},
        additional_vips=[{"subnet_id": six, "ip_address": "2001:db8::60"}],
        flavor_id=id("load_balancer_flavor"),
        availability_zone="one",
    )
    of_it = {"loadbalancer_id": id("loadbalancer")}
    web = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    make(
        "pool", {"name": "two"}, **common, **of_it, **web, session_persistence={"type": "SOURCE_IP"}
    )
    other("pool", **of_it, **web)
    make(
        "listener",
        {"protocol_port": 81},
        **{**common, **of_it, "protocol": "HTTP", "protocol_port": 80, "connection_limit": 99},
        default_pool_id=id("pool"),
        allowed_cidrs=["10.1.0.0/24", "2001:db8::/64"],
        insert_headers={"X-Forwarded-For": "true"},
    )
    make(
        "member",
        {"protocol_port": 8081},
        id("pool"),
        name="one",
        tags=["a", "b"],
        address="10.1.0.9",
        protocol_port=8080,
        weight=7,
        subnet_id=subnet,
        monitor_address="10.1.0.8",
        monitor_port=99,
    )
    unwatched = other("pool", **of_it, **web)
    asked = {"type": "HTTP", "delay": 7, "timeout": 3, "max_retries": 2, "max_retries_down": 4}
    make(
        "healthmonitor",
        {"pool_id": unwatched},
        **{"name": "one", "tags": ["a", "b"], "pool_id": id("pool"), **asked},
        http_method="HEAD",
        url_path="/a",
        expected_codes="200-204",
        http_version=1.1,
        domain_name="www.example.org",
    )
    make(
        "l7policy",
        {},
        **{**common, "listener_id": id("listener"), "action": "REDIRECT_TO_URL"},
        redirect_url="https://example.org/",
        redirect_http_code=301,
    )
    make(
        "l7rule",
        {},
        id("l7policy"),
        type="HEADER",
        compare_type="EQUAL_TO",
        key="X-A",
        value="b",
        tags=["a", "b"],
    )
    return world
