# SPDX-License-Identifier: Apache-2.0

"""The unmodified ``openstack`` client drives the API."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.api.openstack import Client


def test_networks_subnets_and_ports_from_birth_to_death(client: Client, api: Api) -> None:
    network, four, six, port, other = client.run(
        "network create --description coloured --tag red blue -f json",
        "subnet create --network blue --subnet-range 10.0.0.0/24 --dns-nameserver 10.0.0.53 "
        "four -f json",
        "subnet create --network blue --ip-version 6 --subnet-range 2001:db8::/64 "
        "--ipv6-ra-mode slaac --ipv6-address-mode slaac six -f json",
        "port create --network blue --fixed-ip subnet=four,ip-address=10.0.0.9 web -f json",
        "port create --network blue --host one --mac-address fa:16:3e:00:00:09 db -f json",
    )
    assert network["description"] == "coloured"
    assert network["tags"] == ["red"]
    assert four["gateway_ip"] == "10.0.0.1"
    assert six["ipv6_ra_mode"] == "slaac"
    assert port["fixed_ips"][0]["ip_address"] == "10.0.0.9"
    assert other["mac_address"] == "fa:16:3e:00:00:09"
    assert other["binding_host_id"] == "one"

    networks, subnets, ports, shown, after, flat = client.run(
        "network list -f json",
        "subnet list --network blue -f json",
        "port list --network blue --sort-column Name -f json",
        "subnet show four -f json",
        "port set --name www --disable --fixed-ip subnet=four,ip-address=10.0.0.10 web",
        "port unset --fixed-ip subnet=four,ip-address=10.0.0.9 www",
        "subnet set --no-dns-nameservers --dns-nameserver 10.0.0.54 four",
        "network set --name green --no-tag --tag blue --mtu 1400 blue",
        "port show www -f json",
        "network create --provider-network-type flat --provider-physical-network physnet1 "
        "wire -f json",
    )
    assert [row["Name"] for row in networks] == ["blue"]
    assert {row["Name"] for row in subnets} == {"four", "six"}
    assert [row["Name"] for row in ports] == ["db", "web"]
    assert shown["cidr"] == "10.0.0.0/24"
    assert (after["name"], after["admin_state_up"]) == ("www", False)
    assert "10.0.0.10" in [ip["ip_address"] for ip in after["fixed_ips"]]
    assert flat["provider:network_type"] == "flat"
    (green,) = api.list("network", "name=green")
    assert (green["tags"], green["mtu"]) == (["blue"], 1400)

    (left,) = client.run(
        "port delete www db",
        "subnet delete four six",
        "network delete green wire",
        "network list -f json",
    )
    assert left == []
    assert not api.list("port")


def test_subnet_pools_and_address_scopes(client: Client, api: Api) -> None:
    scope, pool, six, changed, network, made, named, sixth, bare = client.run(
        "address scope create --share --ip-version 4 campus -f json",
        "subnet pool create --pool-prefix 10.0.0.0/16 --pool-prefix 10.2.0.0/16 --share --default "
        "--min-prefix-length 20 --default-prefix-length 24 --max-prefix-length 28 "
        "--address-scope campus --default-quota 4096 --tag t four -f json",
        "subnet pool create --pool-prefix 2001:db8::/48 --default-prefix-length 64 six -f json",
        "subnet pool set --name vier --pool-prefix 10.1.0.0/16 --default-prefix-length 26 "
        "--default-quota 8192 four",
        "subnet pool unset --tag t vier",
        "subnet pool show vier -f json",
        "network create --dns-domain blue.example. --mtu 1400 blue -f json",
        "subnet create --network blue --use-default-subnet-pool --service-type compute:nova "
        "--service-type network:dhcp one -f json",
        "subnet create --network blue --subnet-pool vier --prefix-length 25 --gateway none "
        "two -f json",
        "subnet create --network blue --subnet-pool six --ip-version 6 "
        "--ipv6-ra-mode dhcpv6-stateful --ipv6-address-mode dhcpv6-stateful three -f json",
        "subnet unset --service-type network:dhcp one",
        "subnet show one -f json",
    )
    assert (scope["shared"], scope["ip_version"]) == (True, 4)
    assert pool["prefixes"] == ["10.0.0.0/16", "10.2.0.0/16"]
    assert (pool["is_default"], pool["default_quota"], pool["tags"]) == (True, 4096, ["t"])
    assert six["default_prefixlen"] == 64
    assert changed["prefixes"] == ["10.0.0.0/15", "10.2.0.0/16"]
    assert (changed["default_prefixlen"], changed["tags"]) == (26, [])
    assert (network["dns_domain"], network["mtu"]) == ("blue.example.", 1400)
    assert (made["cidr"], made["service_types"]) == (
        "10.0.0.0/26",
        ["compute:nova", "network:dhcp"],
    )
    assert (named["cidr"], named["gateway_ip"]) == ("10.0.0.128/25", None)
    assert (sixth["cidr"], sixth["ipv6_ra_mode"]) == ("2001:db8::/64", "dhcpv6-stateful")
    assert bare["service_types"] == ["compute:nova"]

    scopes, pools, everywhere, here, left = client.run(
        "address scope list -f json",
        "subnet pool list --default -f json",
        "ip availability list -f json",
        "ip availability show blue -f json",
        "address scope set --name city campus",
        "subnet pool set --no-address-scope --no-default vier",
        "network delete blue",
        "subnet pool delete vier six",
        "address scope delete city",
        "subnet pool list -f json",
    )
    assert [(row["Name"], row["IP Version"]) for row in scopes] == [("campus", 4)]
    assert [row["Name"] for row in pools] == ["vier"]
    assert [(row["Network Name"], row["Used IPs"]) for row in everywhere] == [("blue", 2)]
    assert here["used_ips"] == 3, "one service address in each subnet"
    assert len(here["subnet_ip_availability"]) == 3
    assert left == []
    assert not api.list("address_scope")


def test_what_a_port_says_of_itself(client: Client, api: Api, network: str) -> None:
    port, after, cleared = client.run(
        "port create --network blue --dns-name web --dns-domain own.example. "
        "--mac-address fa:16:3e:00:00:09 --extra-dhcp-option name=67,value=pxelinux.0 "
        "--extra-dhcp-option name=59,value=http://x/y,ip-version=6 "
        "--allowed-address ip-address=10.0.0.77 "
        "--allowed-address ip-address=2001:db8::/96,mac-address=fa:16:3e:00:00:0a "
        "--binding-profile user_data=aGVsbG8= web -f json",
        "port set --dns-name www --extra-dhcp-option name=mtu,value=1400,ip-version=4 "
        "--allowed-address ip-address=10.0.0.78 web",
        "port unset --allowed-address ip-address=2001:db8::/96,mac-address=fa:16:3e:00:00:0a web",
        "port show web -f json",
        "port set --no-allowed-address --no-security-group --disable-port-security web",
        "port show web -f json",
    )
    assert (port["dns_name"], port["dns_domain"]) == ("web", "own.example.")
    assert {a["fqdn"] for a in port["dns_assignment"]} == {"web.own.example."}
    assert port["extra_dhcp_opts"] == [
        {"opt_name": "67", "opt_value": "pxelinux.0", "ip_version": 4},
        {"opt_name": "59", "opt_value": "http://x/y", "ip_version": 6},
    ]
    mac, other = "fa:16:3e:00:00:09", "fa:16:3e:00:00:0a"
    assert port["allowed_address_pairs"] == [
        {"mac_address": mac, "ip_address": "10.0.0.77"},
        {"mac_address": other, "ip_address": "2001:db8::/96"},
    ]
    assert port["binding_profile"] == {"user_data": "aGVsbG8="}
    assert after["dns_name"] == "www"
    assert [option["opt_name"] for option in after["extra_dhcp_opts"]] == ["67", "59", "mtu"]
    assert {pair["ip_address"] for pair in after["allowed_address_pairs"]} == {
        "10.0.0.77",
        "10.0.0.78",
    }
    assert (cleared["allowed_address_pairs"], cleared["port_security_enabled"]) == ([], False)


def test_routers_and_floating_ips(client: Client, api: Api) -> None:
    made = client.run(
        "network create --external outside -f json",
        "address scope create --ip-version 6 known -f json",
        "subnet pool create --pool-prefix fd01::/48 --address-scope known six -f json",
        "subnet create --network outside --ip-version 6 --subnet-pool six --subnet-range "
        "fd01:0:0:ff::/64 out6 -f json",
        "subnet create --network outside --subnet-range 203.0.113.0/24 --no-dhcp out4 -f json",
        "network create inside -f json",
        "subnet create --network inside --subnet-range 10.1.0.0/24 in4 -f json",
        "subnet create --network inside --ip-version 6 --subnet-pool six --subnet-range fd01::/64 "
        "in6 -f json",
        "port create --network inside web -f json",
        "router create edge -f json",
    )
    assert made[0]["router:external"] is True
    client.run(
        "router add subnet edge in4",
        "router add subnet edge in6",
        "router set edge --external-gateway outside --enable-snat",
        "router add route edge --route destination=172.16.0.0/12,gateway=10.1.0.2",
        "router set edge --route destination=172.32.0.0/12,gateway=10.1.0.2 --enable-ndp-proxy",
    )
    (shown,) = client.run("router show edge -f json")
    assert len(shown["interfaces_info"]) == 2
    assert shown["external_gateway_info"]["enable_snat"] is True
    assert len(shown["routes"]) == 2
    floating, listed = client.run(
        "floating ip create outside --port web --description public -f json",
        "floating ip list -f json",
    )
    assert floating["status"] == "ACTIVE"
    assert len(listed) == 1
    address = floating["floating_ip_address"]
    client.run(f"floating ip unset --port {address}")
    forwarded = client.run(
        f"floating ip port forwarding create {address} --internal-ip-address 10.1.0.2 --port web "
        "--internal-protocol-port 22 --external-protocol-port 2222 --protocol tcp -f json",
        f"floating ip port forwarding list {address} -f json",
        "network l3 conntrack helper create edge --helper ftp --protocol tcp --port 21 -f json",
        "network l3 conntrack helper list edge -f json",
        "router ndp proxy create edge --port web -f json",
        "router ndp proxy list -f json",
    )
    assert forwarded[0]["external_port"] == 2222
    assert [len(listed) for listed in forwarded[1::2]] == [1, 1, 1]
    client.run(
        f"floating ip port forwarding set {address} {forwarded[0]['id']} --protocol udp",
        f"floating ip port forwarding delete {address} {forwarded[0]['id']}",
        f"network l3 conntrack helper delete edge {forwarded[2]['id']}",
        f"router ndp proxy delete {forwarded[4]['id']}",
        f"floating ip set --port web {address}",
        f"floating ip delete {address}",
        "router unset edge --route destination=172.32.0.0/12,gateway=10.1.0.2",
        "router remove route edge --route destination=172.16.0.0/12,gateway=10.1.0.2",
        "router unset edge --external-gateway",
        "router remove subnet edge in4",
        "router remove subnet edge in6",
        "router delete edge",
        "network delete outside",
    )
    assert api.list("router") == []
    assert api.list("floatingip") == []


def test_security_groups_and_address_groups(client: Client, api: Api, network: str) -> None:
    made = client.run(
        "security group list -f json",
        "security group create web --description servers -f json",
        "security group create bare --stateless -f json",
        "security group rule create web --protocol tcp --dst-port 80:83 "
        "--remote-ip 192.0.2.0/24 --description office -f json",
        "security group rule create web --protocol icmp --icmp-type 8 --egress -f json",
        "security group rule create web --ethertype IPv6 --protocol ipv6-icmp -f json",
        "security group rule create web --protocol tcp --dst-port 22 --remote-group default "
        "-f json",
        "address group create office --address 192.0.2.0/24 --address 2001:db8::/32 -f json",
        "security group rule create web --protocol udp --remote-address-group office -f json",
        "security group rule list web -f json",
        "port create --network blue --security-group web p -f json",
        "port create --network blue --no-security-group q -f json",
    )
    groups, web, bare, rule, ping, _, member, office, udp, rules, p, q = made
    assert [group["Name"] for group in groups] == ["default"]
    assert (web["stateful"], bare["stateful"]) == (True, False)
    assert (rule["port_range_min"], rule["port_range_max"]) == (80, 83)
    assert rule["normalized_cidr"] == "192.0.2.0/24"
    assert (ping["port_range_min"], ping["direction"]) == (8, "egress")
    assert member["remote_group_id"] == groups[0]["ID"]
    assert office["addresses"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert udp["remote_address_group_id"] == office["id"]
    assert len(rules) == 2 + 5
    assert (p["security_group_ids"], q["security_group_ids"]) == ([web["id"]], [])
    shown = client.run(
        "port set --security-group bare q",
        "port unset --security-group web p",
        "security group set web --name www --description new",
        "security group rule show " + rule["id"] + " -f json",
        "security group rule delete " + rule["id"],
        "address group set office --address 198.51.100.0/24 --name offices",
        "address group unset offices --address 192.0.2.0/24",
        "address group show offices -f json",
        "default security group rule list -f json",
        "default security group rule create --protocol tcp --dst-port 22 --ingress "
        "--for-default-sg --remote-ip 192.0.2.0/24 -f json",
        "security group show www -f json",
    )
    _, offices, templates, template, www = shown
    assert sorted(offices["addresses"]) == ["198.51.100.0/24", "2001:db8::/32"]
    assert len(templates) == 4
    assert template["used_in_default_sg"] is True
    assert www["name"] == "www"
    client.run(
        f"default security group rule delete {template['id']}",
        "port delete p q",
        "security group delete www bare",
        "address group delete offices",
    )
    assert [group["name"] for group in api.list("security_group")] == ["default"]


def test_firewalls_and_network_logs(client: Client, api: Api, network: str) -> None:
    first, second, policy, group, listed = client.run(
        "firewall group rule create web --protocol tcp --destination-port 80:83 "
        "--action allow -f json",
        "firewall group rule create rest --action reject -f json",
        "firewall group policy create in --firewall-rule web -f json",
        "firewall group create wall --ingress-firewall-policy in -f json",
        "firewall group list -f json",
    )
    assert first["Destination Port"] == "80:83"
    assert policy["Firewall Rules"] == [first["ID"]]
    assert group["Status"] == "INACTIVE"
    assert {one["Name"] for one in listed} == {"default", "wall"}
    api.create("port", network_id=network, name="p")
    shown = client.run(
        "firewall group policy add rule in rest --insert-after web",
        "firewall group policy show in -f json",
        "firewall group policy remove rule in web",
        "firewall group policy set in --firewall-rule web",
        "firewall group rule set web --destination-port 443 --name tls",
        "firewall group rule show tls -f json",
        "firewall group set wall --port p --egress-firewall-policy in",
        "firewall group show wall -f json",
    )
    with_both, tls, wall = shown
    assert with_both["Firewall Rules"] == [first["ID"], second["ID"]]
    assert tls["Destination Port"] == "443"
    assert (wall["Status"], len(wall["Ports"])) == ("ACTIVE", 1)
    types, log, logs = client.run(
        "network loggable resources list -f json",
        "network log create --resource-type security_group --event DROP --target p drops -f json",
        "network log list -f json",
    )
    assert types == [{"Supported types": "security_group"}]
    assert (log["Event"], log["Enabled"]) == ("DROP", True)
    assert len(logs) == 1
    client.run(
        "network log set --disable drops",
        "network log show drops -f json",
        "network log delete drops",
        "firewall group unset wall --port p",
        "firewall group delete wall",
        "firewall group policy delete in",
        "firewall group rule delete tls rest",
    )
