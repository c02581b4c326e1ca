# SPDX-License-Identifier: Apache-2.0

"""Ports: MAC addresses, fixed IPs and binding."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.converters import convert_to_sanitized_mac_address
from neutron_lib.api.definitions import (
    ip_allocation,
    ip_substring_port_filtering,
    port,
    port_mac_address_regenerate,
    portbindings,
    tag_ports_during_bulk_creation,
)
from neutron_lib.constants import ATTR_NOT_SPECIFIED

from tenantry.controller.api import standard
from tenantry.controller.api.core import placement
from tenantry.controller.api.core.agent import agent_of
from tenantry.controller.api.core.network import network_of
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    TAGGED,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
)
from tenantry.controller.network import ipam
from tenantry.controller.network.ipam import IpAddressAlreadyAllocated
from tenantry.controller.openflow.keys import PORTS
from tenantry.controller.store import Body, Claim, Draft, Link

MAX_HOST_LENGTH = 255
MAX_PROFILE_LENGTH = 65535
"""Characters of JSON: cloud-init's user data is in the profile."""

IP_ALLOCATION = ip_allocation.IP_ALLOCATION
IMMEDIATE, DEFERRED, NONE = (
    ip_allocation.IP_ALLOCATION_IMMEDIATE,
    ip_allocation.IP_ALLOCATION_DEFERRED,
    ip_allocation.IP_ALLOCATION_NONE,
)
"""Only DEFERRED is stored: the others are seen."""

_MAC = "mac"
INTERFACE = "interface"


class InterfaceInUse(exceptions.Conflict):
    message = (
        "Interface %(interface)s on %(host)s is another port's: "
        "two ports cannot be plugged into one interface."
    )


class PortHooks(ResourceHooks):
    def __init__(self, base_mac: str, allocator: ipam.Allocator) -> None:
        octets = base_mac.split(":")
        # As in Neutron: the first three octets stay, the fourth too unless it is 00.
        fixed = 3 if int(octets[3], 16) == 0 else 4
        self._mac_prefix = ":".join(octets[:fixed]).lower()
        self._random_octets = 6 - fixed
        self._allocator = allocator

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        network = network_of(draft, context, body)
        if not is_set(body["mac_address"]):
            body["mac_address"] = self._new_mac(draft, network["id"])
        if body["port_security_enabled"] is ATTR_NOT_SPECIFIED:
            body["port_security_enabled"] = network["port_security_enabled"]
        settle_binding(body)
        if body["fixed_ips"] is ATTR_NOT_SPECIFIED:
            self._allocate(draft, body)
        else:
            self._choose(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["mac_address"] is None:
            body["mac_address"] = self._new_mac(draft, body["network_id"])
        new_mac = body["mac_address"] != before["mac_address"]
        if new_mac and before[portbindings.HOST_ID]:
            raise exceptions.PortBound(
                port_id=body["id"],
                vif_type=portbindings.VIF_TYPE_OVS,
                old_mac=before["mac_address"],
                new_mac=body["mac_address"],
            )
        settle_binding(body)
        current, deferred = before["fixed_ips"], before.get(IP_ALLOCATION) == DEFERRED
        if body["fixed_ips"] is not current or (new_mac and not deferred):
            self._choose(draft, body, current)
        elif deferred:
            self._allocate(draft, body)
        elif body[portbindings.HOST_ID] != before[portbindings.HOST_ID]:
            placement.check(draft, body)

    def _allocate(self, draft: Draft, body: Body) -> None:
        """Addresses for a port whose user names none."""
        body["fixed_ips"], body[IP_ALLOCATION] = [], DEFERRED
        if not placement.is_deferred(draft, body):
            there = placement.reached(draft, body)
            body["fixed_ips"] = self._allocator.choose(
                draft, body, None, segments=there and there[:1]
            )
            del body[IP_ALLOCATION]

    def _choose(self, draft: Draft, body: Body, current: Collection[ipam.FixedIp] = ()) -> None:
        """Addresses for a port whose user names them."""
        there = placement.reached(draft, body)
        body["fixed_ips"] = self._allocator.choose(
            draft, body, body["fixed_ips"], current, segments=there
        )
        body.pop(IP_ALLOCATION, None)

    def _new_mac(self, draft: Draft, network_id: str) -> str:
        while True:
            tail = secrets.token_hex(self._random_octets)
            octets = [tail[at : at + 2] for at in range(0, len(tail), 2)]
            mac = ":".join((self._mac_prefix, *octets))
            if draft.owner(Claim(_MAC, network_id, mac)) is None:
                return mac

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(_MAC, body["network_id"], body["mac_address"])
        for ip in body["fixed_ips"]:
            yield Claim(ipam.ADDRESS, ip["subnet_id"], ip["ip_address"])
        interface = body[portbindings.PROFILE].get("interface_name")
        if interface and body[portbindings.HOST_ID]:
            yield Claim(INTERFACE, body[portbindings.HOST_ID], str(interface))

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["network_id"], "port")
        for subnet_id in {ip["subnet_id"]: None for ip in body["fixed_ips"]}:
            yield Link(subnet_id, "fixed_ip")

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception | None = None
        if claim.kind == _MAC:
            error = exceptions.MacAddressInUse(net_id=claim.scope, mac=claim.value)
        elif claim.kind == ipam.ADDRESS:
            error = IpAddressAlreadyAllocated(ip=claim.value, subnet_id=claim.scope)
        elif claim.kind == INTERFACE:
            error = InterfaceInUse(host=claim.scope, interface=claim.value)
        return error

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        """A network's owner sees whatever is on it."""
        network = reader.get("network", body["network_id"])
        return network is not None and context.owns(network)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault("status", "DOWN")
        shown.setdefault(IP_ALLOCATION, IMMEDIATE if body["fixed_ips"] else NONE)
        agent = agent_of(reader, shown[portbindings.HOST_ID])
        vif_type = shown.get(portbindings.VIF_TYPE) or _vif_type(shown, agent)
        special = shown[portbindings.VNIC_TYPE] != portbindings.VNIC_NORMAL
        if special and vif_type == portbindings.VIF_TYPE_OVS:
            # As Neutron says it: there is nothing but Open vSwitch to bind it.
            vif_type = portbindings.VIF_TYPE_BINDING_FAILED
        shown[portbindings.VIF_TYPE] = vif_type
        bound = vif_type == portbindings.VIF_TYPE_OVS
        shown[portbindings.VIF_DETAILS] = _vif_details(agent) if bound else {}


_MAC_REGENERATE = NewDefinition.instead(
    port_mac_address_regenerate,
    {
        "ports": {
            "mac_address": {
                **port.RESOURCE_ATTRIBUTE_MAP["ports"]["mac_address"],
                "validate": {"type:mac_address_or_none": None},
                "convert_to": lambda mac: mac and convert_to_sanitized_mac_address(mac),
            }
        }
    },
)
"""null asks for a new one. neutron-lib's would take it out of the air, not knowing the network."""


_DATAPATH_ID = re.compile(r"[0-9a-f]{16}")
"""What a switch that no host has named is called."""


def _vif_type(shown: Body, agent: Body | None) -> str:
    """As the place says where a port is to be, unless it was observed: to be plugged in somewhere,
    or to be cut off there."""
    host, vif_type = shown[portbindings.HOST_ID], portbindings.VIF_TYPE_BINDING_FAILED
    if not host:
        vif_type = portbindings.VIF_TYPE_UNBOUND
    elif agent is not None or _DATAPATH_ID.fullmatch(host):
        vif_type = portbindings.VIF_TYPE_OVS
    return str(vif_type)


def _vif_details(agent: Body | None) -> Body:
    """What Nova has to know to plug a machine in."""
    told = agent["configurations"] if agent else {}
    where = {
        portbindings.VIF_DETAILS_BRIDGE_NAME: told.get("integration_bridge"),
        portbindings.OVS_DATAPATH_TYPE: told.get("datapath_type"),
    }
    return {
        portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
        portbindings.CAP_PORT_FILTER: True,
        portbindings.OVS_HYBRID_PLUG: False,
        portbindings.VIF_DETAILS_BOUND_DRIVERS: {"0": "tenantry"},
        **{name: value for name, value in where.items() if value},
    }


def settle_binding(body: Body) -> None:
    host, profile = body[portbindings.HOST_ID], body[portbindings.PROFILE]
    host = host if is_set(host) else ""
    wrong = validators.validate_string(host, MAX_HOST_LENGTH)
    if wrong:
        raise exceptions.InvalidInput(error_message=f"{portbindings.HOST_ID}: {wrong}")
    profile = profile if is_set(profile) else {}
    if len(json.dumps(profile)) > MAX_PROFILE_LENGTH:
        raise exceptions.InvalidInput(error_message="binding:profile value too large")
    for name, (is_right, form) in _METADATA.items():
        if name in profile and not is_right(profile[name]):
            raise exceptions.InvalidInput(error_message=f"binding:profile {name} must be {form}")
    body[portbindings.HOST_ID], body[portbindings.PROFILE] = host, profile


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(values: object) -> bool:
    if isinstance(values, dict):
        values = [*values.values()]
    return isinstance(values, list) and all(map(_is_text, values))


_METADATA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "user_data": (_is_text, "a string, as it is or in base64"),
    "ssh_keys": (_are_texts, "a list of keys, or an object of keys by name"),
    "instance_id": (_is_text, "a string"),
    "meta": (lambda value: isinstance(value, dict) and _are_texts(value), "an object of strings"),
}
"""What a profile may hold for the metadata service; other keys are other people's."""


def extension(base_mac: str = "fa:16:3e:00:00:00") -> Extension:
    """The kind ``port``. Generated MAC addresses begin like ``base_mac``."""
    allocator = ipam.Allocator()
    tags = {
        **standard.attributes(["tag"])["tags"],
        "allow_post": True,
        "enforce_policy": True,
        "validate": {"type:list_of_unique_strings": standard.MAX_TAG_LENGTH},
        "default": [],
    }
    return Extension(
        definitions=(
            *(portbindings, ip_substring_port_filtering, tag_ports_during_bulk_creation),
            *(ip_allocation, _MAC_REGENERATE),
        ),
        kinds=(
            ResourceSpec(
                name="port",
                collection="ports",
                attributes={**port.RESOURCE_ATTRIBUTE_MAP["ports"], "tags": tags},
                not_found=lambda id: exceptions.PortNotFound(port_id=id),
                standard=TAGGED,
                keys=PORTS,
                quota=500,
            ),
        ),
        rules={"port": PortHooks(base_mac, allocator)},
        committed=allocator.committed,
    )
