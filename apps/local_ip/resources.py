# SPDX-License-Identifier: Apache-2.0

"""The API of local IPs, and of the ports that are behind them.

The address is that of a port: one that is there, or a new one that stands for the address alone
(``device_owner`` ``network:local_ip``), as a floating IP has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import local_ip as definition
from neutron_lib.constants import DEVICE_OWNER_LOCAL_IP
from neutron_lib.exceptions import local_ip as local_ip_exceptions

from tenantry.apps.local_ip.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
    may_use,
)
from tenantry.controller.network import ipam
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.store import Body, Claim, Draft, Link

LOCAL_IP = definition.RESOURCE_NAME
"""The kind, and the role in which its port sees it."""

ASSOCIATION = definition.LOCAL_IP_ASSOCIATION
"""The kind, and the role in which a local IP and a port see it."""

_BEHIND = "behind_local_ip"


class LocalIPAssociationNotFound(exceptions.NotFound):
    message = "Local IP association with port %(port_id)s could not be found."


class LocalIpAssociationExists(exceptions.Conflict):
    message = "Port %(port_id)s is behind local IP %(local_ip_id)s already."


class BehindAnotherLocalIp(exceptions.Conflict):
    message = (
        "Address %(address)s of port %(port_id)s is behind another local IP already: give the port "
        "an address for each."
    )


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource=LOCAL_IP, msg=message)
    return error


class LocalIpHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if is_set(body["local_port_id"]):
            # Its network counts, whatever else is named: as in Neutron.
            port = _own_port(draft, context, body["local_port_id"])
            body["local_ip_address"] = _address(port, body["local_ip_address"])
        elif is_set(body["network_id"]):
            port = self._new_port(draft, context, body)
            body["local_ip_address"] = port["fixed_ips"][0]["ip_address"]
        else:
            raise local_ip_exceptions.LocalIPPortOrNetworkRequired()
        body |= {"local_port_id": port["id"], "network_id": port["network_id"]}

    def _new_port(self, draft: Draft, context: Context, body: Body) -> Body:
        network = draft.get("network", body["network_id"])
        if network is None or not may_use(draft, context, network):
            raise exceptions.NetworkNotFound(net_id=body["network_id"])
        found = (draft.get("subnet", id) for id in draft.linked(network["id"], "subnet"))
        subnets = [subnet for subnet in found if subnet and subnet["ip_version"] == 4]
        if not subnets:
            raise _bad(f"Network {network['id']} does not contain any IPv4 subnet")
        asked = body["local_ip_address"]
        choices = (
            [{"ip_address": str(ipam.parse_address(asked))}]
            if is_set(asked)
            else [{"subnet_id": subnet["id"]} for subnet in subnets]
        )
        error: Exception = exceptions.IpAddressGenerationFailure(net_id=network["id"])
        for choice in choices:
            attributes = {
                "network_id": network["id"],
                "project_id": body["project_id"],
                "fixed_ips": [choice],
                "device_id": body["id"],
                "device_owner": DEVICE_OWNER_LOCAL_IP,
                "port_security_enabled": False,
            }
            try:
                port = self.kinds["port"].make(draft, SYSTEM, attributes)
            except exceptions.IpAddressGenerationFailure as failure:
                error = failure
            else:
                _address(port, None)
                return port
        raise error

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], ASSOCIATION):
            raise local_ip_exceptions.LocalIPInUse(id=body["id"])
        port = draft.get("port", body["local_port_id"])
        if port is not None and port["device_id"] == body["id"]:
            draft.delete("port", port["id"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["local_port_id"], LOCAL_IP)


class AssociationHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        local = draft.get(LOCAL_IP, body["local_ip_id"])
        assert local is not None  # it is the parent
        port = _own_port(draft, context, body["fixed_port_id"])
        if port["network_id"] != local["network_id"]:
            raise _bad(
                f"Port {port['id']} is on network {port['network_id']}, and local IP {local['id']} "
                f"on {local['network_id']}"
            )
        body["fixed_ip"] = _address(port, body["fixed_ip"])

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(_BEHIND, body["fixed_port_id"], body["fixed_ip"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind == _BEHIND:
            return BehindAnotherLocalIp(address=claim.value, port_id=claim.scope)
        return LocalIpAssociationExists(
            port_id=body["fixed_port_id"], local_ip_id=body["local_ip_id"]
        )

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["local_ip_id"], ASSOCIATION)
        yield Link(body["fixed_port_id"], ASSOCIATION)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        local, port = (
            reader.get(kind, body[id])
            for kind, id in ((LOCAL_IP, "local_ip_id"), ("port", "fixed_port_id"))
        )
        assert local is not None and port is not None  # they are linked to
        shown["local_ip_address"] = local["local_ip_address"]
        shown["host"] = port["binding:host_id"] or shown.get("host") or ""


class PortHooks(ResourceHooks):
    """Of ports: an address that is a local IP stays; who is behind one may go."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["fixed_ips"] is before["fixed_ips"]:
            return
        has = {ip["ip_address"] for ip in body["fixed_ips"]}
        for id in draft.linked(body["id"], LOCAL_IP):
            local = draft.get(LOCAL_IP, id)
            if local is not None and local["local_ip_address"] not in has:
                raise _in_use(body)
        for id in draft.linked(body["id"], ASSOCIATION):
            association = draft.get(ASSOCIATION, id)
            if association is not None and association["fixed_ip"] not in has:
                draft.delete(ASSOCIATION, id)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], LOCAL_IP):
            raise _in_use(body)
        for id in draft.linked(body["id"], ASSOCIATION):
            draft.delete(ASSOCIATION, id)


def _in_use(port: Body) -> Exception:
    error: Exception = exceptions.ServicePortInUse(
        port_id=port["id"], reason="its address is that of a local IP: delete that first"
    )
    return error


def _own_port(draft: Draft, context: Context, id: str) -> Body:
    port = draft.get("port", id)
    if port is None or not context.owns(port):
        raise exceptions.PortNotFound(port_id=id)
    return port


def _address(port: Body, asked: Any) -> str:
    """The IPv4 address of a port that is asked for; or its only one."""
    addresses = [ip["ip_address"] for ip in port["fixed_ips"] if ":" not in ip["ip_address"]]
    if is_set(asked):
        if asked not in addresses:
            raise local_ip_exceptions.LocalIPRequestedIPNotFound(port_id=port["id"], ip=asked)
        return str(asked)
    if not addresses:
        raise local_ip_exceptions.LocalIPNoIP(port_id=port["id"])
    if len(addresses) > 1:
        raise local_ip_exceptions.LocalIPNoRequestedIP(port_id=port["id"])
    return str(addresses[0])


def extension() -> Extension:
    """The kinds ``local_ip`` and ``port_association``."""
    own = definition.RESOURCE_ATTRIBUTE_MAP[definition.COLLECTION_NAME]
    part = definition.SUB_RESOURCE_ATTRIBUTE_MAP[definition.LOCAL_IP_ASSOCIATIONS]["parameters"]
    return Extension(
        definitions=(definition,),
        policies=POLICIES,
        kinds=(
            ResourceSpec(
                name=LOCAL_IP,
                collection=definition.COLLECTION_NAME,
                attributes={**own, "tenant_id": own["project_id"]},
                not_found=lambda id: local_ip_exceptions.LocalIPNotFound(id=id),
                keys=Zone.ROUTERS,
                key_space="router",
                path="local_ips",
            ),
            ResourceSpec(
                name=ASSOCIATION,
                collection=definition.LOCAL_IP_ASSOCIATIONS,
                attributes={**part, "tenant_id": part["project_id"]},
                not_found=lambda id: LocalIPAssociationNotFound(port_id=id),
                parent=LOCAL_IP,
                standard=(),
                named_by="fixed_port_id",
            ),
        ),
        rules={
            LOCAL_IP: LocalIpHooks(),
            ASSOCIATION: AssociationHooks(),
            "port": PortHooks(),
        },
    )
