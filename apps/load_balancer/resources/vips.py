# SPDX-License-Identifier: Apache-2.0

"""The ports of load balancers: one, of Neutron's, has all the addresses.

One that we make is called as Octavia calls it, and goes with its load balancer; one that was given
stays, as it was before. Who asks may name a port, a network or a subnet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import netaddr
from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import SCTP, UDP
from tenantry.apps.load_balancer.resources.errors import (
    InvalidSubresource,
    VipMissing,
    invalid,
    unsupported,
)
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import SYSTEM, Maker, ResourceHooks, may_use
from tenantry.controller.store import Body, Draft

LOAD_BALANCER = "loadbalancer"
"""The kind, and the role in which its port sees it."""

OWNER = "Octavia"
"""``device_owner`` of a port while it is a load balancer's."""

_LENT = ("device_id", "device_owner", "port_security_enabled", "security_groups", "qos_policy_id")
"""What a port that was given gets back."""


def take(ports: Maker, draft: Draft, context: Context, body: Body) -> None:
    """Find or make the port that ``body`` asks for, and complete it. Errors: Octavia's 400s and
    409s."""
    if body["vip_port_id"]:
        port = _given(draft, context, body)
        body["given_port"] = {name: port.get(name) for name in _LENT}
        ports.update(draft, SYSTEM, port, _owned(body))
        return
    if body["vip_network_id"]:
        _found(draft, context, "network", body["vip_network_id"], "Network")
        if not body["vip_subnet_id"]:
            body["vip_subnet_id"] = _subnet_of(draft, body)
    elif not body["vip_subnet_id"]:
        raise VipMissing()
    subnets = [_subnet(draft, context, each["subnet_id"]) for each in _asked(body)]
    _check_together(subnets)
    network = subnets[0]["network_id"]
    if body["vip_network_id"] not in (None, network):
        raise InvalidSubresource(resource="Subnet", id=body["vip_subnet_id"])
    body["vip_network_id"] = network
    port = ports.make(draft, SYSTEM, _new(body))
    has = {ip["subnet_id"]: ip["ip_address"] for ip in reversed(port["fixed_ips"])}
    body |= {"vip_port_id": port["id"], "vip_address": has[body["vip_subnet_id"]]}
    body["additional_vips"] = [
        {"subnet_id": vip["subnet_id"], "ip_address": has[vip["subnet_id"]], "port_id": port["id"]}
        for vip in body["additional_vips"]
    ]


def check_reachable(balancer: Body, protocol: str, members: Iterable[str]) -> None:
    """Whether a listener of a protocol may lead to these addresses. Only a proxy speaks another IP
    version to members than its clients do, and of datagrams there is none. Errors: Octavia's
    501."""
    if protocol not in (UDP, SCTP):
        return
    vips = [balancer["vip_address"], *(vip["ip_address"] for vip in balancer["additional_vips"])]
    versions = {":" in vip for vip in vips}
    for address in members:
        if (":" in address) not in versions:
            raise unsupported(
                f"member {address}, of an IP version that the load balancer has no address of, "
                f"behind a {protocol} listener: give it one of additional_vips"
            )


def speak(ports: Maker, draft: Draft, balancer: Body, member: str) -> None:
    """See to it that the proxy can speak to an address: that the port of the VIPs has one of its IP
    version. Errors: Octavia's 501."""
    port = draft.get("port", balancer["vip_port_id"])
    assert port is not None  # it is linked to
    six = ":" in member
    if any((":" in ip["ip_address"]) == six for ip in port["fixed_ips"]):
        return
    subnets = (draft.get("subnet", id) for id in draft.linked(port["network_id"], "subnet"))
    fitting = [one for one in subnets if one and (one["ip_version"] == 6) == six]
    if not fitting:
        raise unsupported(
            f"a proxy would need an address of IPv{6 if six else 4} to reach {member}, and the "
            "network of the VIP has no such subnet"
        )
    more = [*port["fixed_ips"], {"subnet_id": fitting[0]["id"]}]
    ports.update(draft, SYSTEM, port, {"fixed_ips": more})


def change(ports: Maker, draft: Draft, body: Body) -> None:
    """What is asked of a port's groups and QoS has changed."""
    port = draft.get("port", body["vip_port_id"])
    assert port is not None  # it is linked to
    ports.update(draft, SYSTEM, port, _owned(body))


def give_back(ports: Maker, draft: Draft, body: Body) -> None:
    """The load balancer is gone: so is a port that we made."""
    port = draft.get("port", body["vip_port_id"])
    assert port is not None
    if body.get("given_port") is None:
        ports.delete(draft, SYSTEM, port)
    else:
        ports.update(draft, SYSTEM, port, body["given_port"])


def _owned(body: Body) -> Body:
    """What a port has while it is a load balancer's. Listeners say who is let in; groups judge it
    only where somebody asks for some."""
    groups = body["vip_sg_ids"]
    return {
        "device_id": f"lb-{body['id']}",
        "device_owner": OWNER,
        "port_security_enabled": bool(groups),
        "security_groups": groups,
        "qos_policy_id": body["vip_qos_policy_id"],
    }


def _asked(body: Body) -> list[Body]:
    first = {"subnet_id": body["vip_subnet_id"], "ip_address": body["vip_address"]}
    return [first, *body["additional_vips"]]


def _new(body: Body) -> Body:
    return {
        **_owned(body),
        "name": f"octavia-lb-{body['id']}",
        "network_id": body["vip_network_id"],
        "project_id": body["project_id"],
        "fixed_ips": [
            {name: vip[name] for name in ("subnet_id", "ip_address") if vip.get(name)}
            for vip in _asked(body)
        ],
    }


def _found(draft: Draft, context: Context, kind: str, id: str, called: str) -> Body:
    """What the caller may use."""
    found = draft.get(kind, id)
    if found is None or not may_use(draft, context, found):
        raise InvalidSubresource(resource=called, id=id)
    return found


def _subnet(draft: Draft, context: Context, id: str) -> Body:
    subnet = draft.get("subnet", id)
    network = draft.get("network", subnet["network_id"]) if subnet else None
    if subnet is None or network is None or not may_use(draft, context, network):
        raise InvalidSubresource(resource="Subnet", id=id)
    return subnet


def _check_together(subnets: list[Body]) -> None:
    if len({subnet["id"] for subnet in subnets}) < len(subnets):
        raise invalid("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
    if len({subnet["network_id"] for subnet in subnets}) > 1:
        raise invalid("All VIP subnets must belong to the same network.")


def _subnet_of(draft: Draft, body: Body) -> str:
    """The subnet of a network that an address is in; or the first with a free one, IPv4 first."""
    found = (draft.get("subnet", id) for id in draft.linked(body["vip_network_id"], "subnet"))
    subnets = sorted(filter(None, found), key=lambda subnet: int(subnet["ip_version"]))
    if not subnets:
        raise invalid("Supplied network does not contain a subnet.")
    if body["vip_address"]:
        for subnet in subnets:
            if netaddr.IPAddress(body["vip_address"]) in netaddr.IPNetwork(subnet["cidr"]):
                return str(subnet["id"])
        raise invalid("Supplied network does not contain a subnet for VIP address specified.")
    for subnet in subnets:
        if len(draft.claimed("address", subnet["id"])) < _addresses(subnet):
            return str(subnet["id"])
    raise invalid("Subnet(s) in the supplied network do not contain enough available IPs.")


def _addresses(subnet: Body) -> int:
    """How many a subnet has to give."""
    pools = subnet["allocation_pools"]
    return sum(netaddr.IPRange(pool["start"], pool["end"]).size for pool in pools)


def _given(draft: Draft, context: Context, body: Body) -> Body:
    """The port that was named, and what is taken from it."""
    port = draft.get("port", body["vip_port_id"])
    if port is None or not context.owns(port):
        raise InvalidSubresource(resource="Port", id=body["vip_port_id"])
    if port["device_id"]:
        raise invalid(
            f"Port {port['id']} is already used by device {port['device_id']}: name another, or "
            "none"
        )
    body["vip_network_id"] = port["network_id"]
    if body["vip_qos_policy_id"] is None:
        body["vip_qos_policy_id"] = port.get("qos_policy_id")
    _choose(port, body)
    has = {ip["subnet_id"]: ip["ip_address"] for ip in reversed(port["fixed_ips"])}
    others = []
    for vip in body["additional_vips"]:
        if has.get(vip["subnet_id"]) is None:
            raise invalid(f"Port {port['id']} has no address in subnet {vip['subnet_id']}")
        address = has[vip["subnet_id"]]
        others.append({**vip, "ip_address": address, "port_id": port["id"]})
    body["additional_vips"] = others
    ids = [body["vip_subnet_id"], *(vip["subnet_id"] for vip in others)]
    _check_together([{"id": id, "network_id": port["network_id"]} for id in ids])
    return port


def _choose(port: Body, body: Body) -> None:
    """Which of a port's addresses is meant."""
    subnet, address = body["vip_subnet_id"], body["vip_address"]
    ips = [
        ip
        for ip in port["fixed_ips"]
        if subnet in (None, ip["subnet_id"]) and address in (None, ip["ip_address"])
    ]
    if not ips and subnet:
        raise invalid("No VIP address found on the specified VIP port within the specified subnet.")
    if not ips and address:
        raise invalid("Specified VIP address not found on the specified VIP port.")
    if len(ips) != 1 and not subnet:
        raise invalid(
            "VIP port's subnet could not be determined. Please specify either a VIP subnet or "
            "address."
        )
    body |= {"vip_subnet_id": ips[0]["subnet_id"], "vip_address": ips[0]["ip_address"]}


class PortHooks(ResourceHooks):
    """Of ports: what a load balancer answers at stays."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["fixed_ips"] is before["fixed_ips"]:
            return
        has = {ip["ip_address"] for ip in body["fixed_ips"]}
        for balancer in _using(draft, body["id"]):
            if not has.issuperset(ip["ip_address"] or "" for ip in _vips(balancer)):
                raise _in_use(body, balancer)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for balancer in _using(draft, body["id"]):
            raise _in_use(body, balancer)


def _using(draft: Draft, port_id: str) -> Iterator[Body]:
    for id in draft.linked(port_id, LOAD_BALANCER):
        balancer = draft.get(LOAD_BALANCER, id)
        if balancer is not None:
            yield balancer


def _vips(balancer: Body) -> list[dict[str, Any]]:
    return [{"ip_address": balancer["vip_address"]}, *balancer["additional_vips"]]


def _in_use(port: Body, balancer: Body) -> Exception:
    error: Exception = exceptions.ServicePortInUse(
        port_id=port["id"],
        reason=f"load balancer {balancer['id']} answers at its addresses: delete that first",
    )
    return error
