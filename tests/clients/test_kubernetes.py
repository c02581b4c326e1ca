# SPDX-License-Identifier: Apache-2.0

"""A Kubernetes Service of type LoadBalancer, by the requests of cloud-provider-openstack.

What its controller sends for a Service, and what it makes of the answers, is written down here
(``pkg/openstack/loadbalancer.go``, by gophercloud): Go decodes JSON into structs, so that an
attribute of another type than the field's is an error there. After each change it waits until the
load balancer is ACTIVE, on a real switch here, and it changes nothing that is as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.lbaas import LBAAS
from tests.clients.test_terraform import TIME, misfits
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch

Body = dict[str, Any]

SERVICE = "kube_service_kubernetes_default_web"
NODE_PORT, CHECK_NODE_PORT = 31080, 31999

IDS = [{"id": str}]
STATUS: Body = {
    "id": str,
    "name": str,
    "project_id": str,
    "admin_state_up": bool,
    "provisioning_status": str,
    "operating_status": str,
    "tags": [str],
}
STRUCTS: dict[str, Body] = {
    "loadbalancer": STATUS
    | {
        "description": str,
        "created_at": TIME,
        "updated_at": TIME,
        "vip_address": str,
        "vip_port_id": str,
        "vip_subnet_id": str,
        "vip_network_id": str,
        "vip_qos_policy_id": str,
        "flavor_id": str,
        "availability_zone": str,
        "provider": str,
        "listeners": IDS,
        "pools": IDS,
        "additional_vips": [{"subnet_id": str, "ip_address": str}],
    },
    "listener": STATUS
    | {
        "description": str,
        "protocol": str,
        "protocol_port": int,
        "default_pool_id": str,
        "loadbalancers": IDS,
        "connection_limit": int,
        "sni_container_refs": [str],
        "default_tls_container_ref": str,
        "client_authentication": str,
        "client_ca_tls_container_ref": str,
        "client_crl_container_ref": str,
        "l7policies": IDS,
        "timeout_client_data": int,
        "timeout_member_data": int,
        "timeout_member_connect": int,
        "timeout_tcp_inspect": int,
        "insert_headers": {"X-Forwarded-For": str},
        "allowed_cidrs": [str],
        "tls_ciphers": str,
        "tls_versions": [str],
        "alpn_protocols": [str],
        "hsts_include_subdomains": bool,
        "hsts_max_age": int,
        "hsts_preload": bool,
    },
    "pool": STATUS
    | {
        "lb_algorithm": str,
        "protocol": str,
        "description": str,
        "listeners": IDS,
        "members": IDS,
        "healthmonitor_id": str,
        "loadbalancers": IDS,
        "session_persistence": {"type": str, "cookie_name": str},
        "alpn_protocols": [str],
        "tls_enabled": bool,
        "tls_ciphers": str,
        "tls_versions": [str],
    },
    "member": STATUS
    | {
        "weight": int,
        "subnet_id": str,
        "address": str,
        "protocol_port": int,
        "created_at": TIME,
        "updated_at": TIME,
        "backup": bool,
        "monitor_address": str,
        "monitor_port": int,
    },
    "healthmonitor": STATUS
    | {
        "type": str,
        "delay": int,
        "timeout": int,
        "max_retries": int,
        "max_retries_down": int,
        "http_method": str,
        "url_path": str,
        "expected_codes": str,
        "domain_name": str,
        "pools": IDS,
    },
}
"""The fields of gophercloud's structs."""

TIMEOUTS = {
    "timeout_client_data": 50000,
    "timeout_member_connect": 5000,
    "timeout_member_data": 50000,
    "timeout_tcp_inspect": 0,
}


class Provider:
    """Its controller, on one cluster."""

    def __init__(self, net: Lab) -> None:
        self.net = net

    def send(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.net.api(method, f"{LBAAS}/{path}", body)
        for kind in STRUCTS.keys() & (answer or {}).keys():
            assert not misfits(answer[kind], STRUCTS[kind], kind)
        return answer

    def listed(self, path: str, kind: str, collection: str) -> list[Body]:
        """All pages: the next is where a link says."""
        found: list[Body] = []
        while path:
            answer = self.send("GET", path)
            assert not misfits(answer[collection], [STRUCTS[kind]], collection)
            found += answer[collection]
            links = answer.get(f"{collection}_links", [])
            following = [link["href"] for link in links if link["rel"] == "next"]
            path = following[0].partition(f"{LBAAS}/")[2] if following else ""
        return found

    def active(self, id: str) -> Body:
        def is_active() -> bool:
            status = self.send("GET", f"loadbalancers/{id}")["loadbalancer"]["provisioning_status"]
            assert status != "ERROR"
            return bool(status == "ACTIVE")

        self.net.until(is_active)
        found: Body = self.send("GET", f"loadbalancers/{id}")["loadbalancer"]
        return found

    def change(self, balancer: str, method: str, path: str, body: Any = None) -> Any:
        """A change to a part of a load balancer, until it is confirmed."""
        answer = self.send(method, path, body)
        self.active(balancer)
        return answer

    def version(self) -> str:
        """The last that the root lists: what it may ask for follows from it."""
        versions = self.net.api("GET", "/load-balancer/")["versions"]
        id: str = versions[-1]["id"]
        return id

    def find(self, name: str) -> Body | None:
        found = self.listed(f"loadbalancers?name={name}", "loadbalancer", "loadbalancers")
        assert len(found) < 2
        return found[0] if found else None

    def listeners(self, balancer: str) -> list[Body]:
        return self.listed(f"listeners?loadbalancer_id={balancer}", "listener", "listeners")

    def pool_of(self, balancer: str, listener: str) -> Body:
        """A listener has one."""
        pools = self.listed(f"pools?loadbalancer_id={balancer}", "pool", "pools")
        (found,) = (pool for pool in pools if {"id": listener} in pool["listeners"])
        return found

    def members(self, pool: str) -> set[tuple[str, int]]:
        found = self.listed(f"pools/{pool}/members", "member", "members")
        return {(member["address"], member["protocol_port"]) for member in found}


def listener(protocol: str, port: int, **more: Any) -> Body:
    return {
        "protocol": protocol,
        "protocol_port": port,
        "connection_limit": -1,
        "tags": [SERVICE],
        **TIMEOUTS,
        **more,
    }


def member(name: str, address: str, subnet: str, **more: Any) -> Body:
    return {
        "address": address,
        "protocol_port": NODE_PORT,
        "name": name,
        "subnet_id": subnet,
        **more,
    }


MONITOR = {"delay": 5, "timeout": 3, "max_retries": 1}


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


class Cluster:
    """Two nodes in one network, whose router leads outside."""

    def __init__(self, net: Lab) -> None:
        self.outside = net.external("203.0.113.0/24")
        network = net.network("10.0.0.0/24")
        net.router(network, outside=self.outside)
        self.subnet = net.subnets(network)[0]["id"]
        self.ports = [net.port(network) for _ in range(3)]
        for port in self.ports:
            net.attach(port)
        self.addresses = [port["fixed_ips"][0]["ip_address"] for port in self.ports]


@pytest.mark.parametrize("provider", ["amphora", "tenantry"])
def test_a_service_from_its_creation_to_its_deletion(net: Lab, provider: str) -> None:
    cluster, cloud = Cluster(net), Provider(net)
    first, second, third = cluster.addresses
    assert tuple(map(int, cloud.version()[1:].split("."))) >= (2, 16)
    assert cloud.find(SERVICE) is None

    # a Service is made: all of it in one request
    two = [member("one", first, cluster.subnet), member("two", second, cluster.subnet)]
    made = cloud.send(
        "POST",
        "loadbalancers",
        {
            "loadbalancer": {
                "name": SERVICE,
                "description": "Kubernetes external service default/web from cluster kubernetes",
                "provider": provider,
                "tags": [SERVICE],
                "vip_subnet_id": cluster.subnet,
                "listeners": [
                    listener(
                        protocol,
                        port,
                        allowed_cidrs=["0.0.0.0/0"],
                        default_pool={
                            "name": f"{protocol}_{port}_pool",
                            "protocol": protocol,
                            "lb_algorithm": "ROUND_ROBIN",
                            "members": two,
                            "healthmonitor": {"type": check, **MONITOR},
                        },
                    )
                    for protocol, port, check in (("TCP", 80, "TCP"), ("UDP", 53, "UDP-CONNECT"))
                ],
            }
        },
    )["loadbalancer"]
    balancer = made["id"]
    assert cloud.active(balancer)["provider"] == provider
    found = cloud.find(SERVICE)
    assert found is not None and found["id"] == balancer and found["tags"] == [SERVICE]

    # a floating IP of its own
    port = found["vip_port_id"]
    assert net.api("GET", f"/v2.0/floatingips?port_id={port}")["floatingips"] == []
    floating = net.floating_ip(
        cluster.outside, {"id": port}, description="Floating IP for Kubernetes external service"
    )
    assert floating["fixed_ip_address"] == found["vip_address"]
    (told,) = net.api("GET", f"/v2.0/floatingips?port_id={port}")["floatingips"]
    assert told["id"] == floating["id"]

    # it looks again, and has nothing to change
    by_port = {each["protocol_port"]: each for each in cloud.listeners(balancer)}
    assert by_port.keys() == {80, 53}
    for each in by_port.values():
        assert each["tags"] == [SERVICE]
        assert each["connection_limit"] == -1
        assert each["allowed_cidrs"] == ["0.0.0.0/0"]
        assert {name: each[name] for name in TIMEOUTS} == TIMEOUTS
        pool = cloud.pool_of(balancer, each["id"])
        assert pool["protocol"] == each["protocol"]
        assert cloud.members(pool["id"]) == {(first, NODE_PORT), (second, NODE_PORT)}
        monitor = cloud.send("GET", f"healthmonitors/{pool['healthmonitor_id']}")["healthmonitor"]
        assert {name: monitor[name] for name in MONITOR} == MONITOR

    # the Service changes: who may come, which nodes, how they are asked
    tcp, udp = by_port[80]["id"], by_port[53]["id"]
    pool = cloud.pool_of(balancer, tcp)["id"]
    cidrs = {"allowed_cidrs": ["192.0.2.0/24"]}
    cloud.change(balancer, "PUT", f"listeners/{tcp}", {"listener": cidrs})
    now = [member("two", second, cluster.subnet), member("three", third, cluster.subnet)]
    cloud.change(balancer, "PUT", f"pools/{pool}/members", {"members": now})
    assert cloud.members(pool) == {(second, NODE_PORT), (third, NODE_PORT)}
    monitor = cloud.pool_of(balancer, tcp)["healthmonitor_id"]
    slower = {"delay": 9, "timeout": 4, "max_retries": 2}
    cloud.change(balancer, "PUT", f"healthmonitors/{monitor}", {"healthmonitor": slower})
    cloud.change(balancer, "DELETE", f"healthmonitors/{monitor}")
    asks = {"type": "HTTP", **MONITOR, "pool_id": pool, "name": "monitor_0"}
    cloud.change(balancer, "POST", "healthmonitors", {"healthmonitor": asks})
    checked = [{**each, "monitor_port": CHECK_NODE_PORT} for each in now]
    cloud.change(balancer, "PUT", f"pools/{pool}/members", {"members": checked})
    ports = cloud.listed(f"pools/{pool}/members", "member", "members")
    assert [each["monitor_port"] for each in ports] == [CHECK_NODE_PORT] * 2

    # one port of it goes, another comes, whose clients come back to who has answered them
    cloud.change(balancer, "DELETE", f"pools/{cloud.pool_of(balancer, udp)['id']}")
    cloud.change(balancer, "DELETE", f"listeners/{udp}")
    web = listener("TCP", 8080, loadbalancer_id=balancer, name="listener_1")
    web_id = cloud.change(balancer, "POST", "listeners", {"listener": web})["listener"]["id"]
    sticky = {
        "listener_id": web_id,
        "name": "pool_1",
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
        "session_persistence": {"type": "SOURCE_IP"},
    }
    cloud.change(balancer, "POST", "pools", {"pool": sticky})
    assert cloud.pool_of(balancer, web_id)["session_persistence"]["type"] == "SOURCE_IP"

    # another Service shares it
    shared = [SERVICE, "kube_service_kubernetes_default_other"]
    cloud.change(balancer, "PUT", f"loadbalancers/{balancer}", {"loadbalancer": {"tags": shared}})
    assert cloud.active(balancer)["tags"] == shared

    # the Service is deleted
    net.delete("floatingip", floating["id"])
    cloud.send("DELETE", f"loadbalancers/{balancer}?cascade=true")
    with pytest.raises(Refused) as refused:
        cloud.send("GET", f"loadbalancers/{balancer}")
    assert refused.value.status == 404
    assert cloud.find(SERVICE) is None
    with pytest.raises(Refused):
        net.api("GET", f"/v2.0/ports/{port}")
