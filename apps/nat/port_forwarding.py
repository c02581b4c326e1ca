# SPDX-License-Identifier: Apache-2.0

"""Port forwardings in the API: ports of a floating IP that lead to ports of tenants' addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.converters import convert_to_int_if_not_none
from neutron_lib.api.definitions import fip_pf_description, fip_pf_port_range
from neutron_lib.api.definitions import floating_ip_port_forwarding as definition
from neutron_lib.exceptions.l3 import FloatingIPPortAlreadyAssociated

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ResourceHooks, ResourceSpec, changed
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Draft, Link

FORWARDING = "port_forwarding"
"""The role in which floating IPs, ports and routers see port forwardings."""

PROTOCOLS = ("tcp", "udp")


class PortForwardingNotFound(exceptions.NotFound):
    message = "Port Forwarding %(id)s could not be found."


class PortHasBindingFloatingIP(exceptions.InUse):
    message = (
        "Cannot create port forwarding to floating IP %(floating_ip_address)s (%(fip_id)s) with "
        "port %(port_id)s using fixed IP %(fixed_ip)s, as that port already has a binding floating "
        "IP."
    )


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="port_forwarding", msg=message)
    return error


Between = Callable[[Draft, Body, str, Body], str]
"""The router between a port's subnet and a floating IP's network."""


class PortForwardingHooks(ResourceHooks):
    def __init__(self, between: Between) -> None:
        self._between = between

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._settle(draft, context, body, {})

    def created(self, draft: Draft, body: Body) -> None:
        floating = draft.get("floatingip", body["floatingip_id"])
        if floating is not None and floating["router_id"] != body["router_id"]:
            draft.put("floatingip", changed(floating, router_id=body["router_id"]))

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._settle(draft, context, body, before)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        drop(draft, body)

    def links(self, body: Body) -> Iterable[Link]:
        for name in ("floatingip_id", "internal_port_id", "router_id"):
            yield Link(body[name], FORWARDING)

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        yield "port", body["internal_port_id"]

    def _settle(self, draft: Draft, context: Context, body: Body, before: Body) -> None:
        if body["protocol"] not in PROTOCOLS:
            raise _bad(f"protocol {body['protocol']} has no ports; use {' or '.join(PROTOCOLS)}")
        for side in ("external", "internal"):
            _settle_range(body, before, side)
        low, high = _range(body["external_port_range"])
        first, last = _range(body["internal_port_range"])
        if last != first and last - first != high - low:
            raise _bad(
                "external_port_range and internal_port_range must have as many ports, or the "
                "internal one a single port"
            )
        floating = draft.get("floatingip", body["floatingip_id"])
        assert floating is not None  # it is the parent
        if floating["port_id"]:
            raise FloatingIPPortAlreadyAssociated(
                port_id=body["internal_port_id"],
                fip_id=floating["id"],
                floating_ip_address=floating["floating_ip_address"],
                fixed_ip=floating["fixed_ip_address"],
                net_id=floating["floating_network_id"],
            )
        port = draft.get("port", body["internal_port_id"])
        if port is None or not context.owns(port):
            raise exceptions.PortNotFound(port_id=body["internal_port_id"])
        address = str(ipam.parse_address(body["internal_ip_address"]))
        body["internal_ip_address"] = address
        ip = next((ip for ip in port["fixed_ips"] if ip["ip_address"] == address), None)
        if ip is None or ":" in address:
            raise _bad(f"Port {port['id']} does not have the IPv4 address {address}")
        body["router_id"] = self._between(draft, port, ip["subnet_id"], floating)
        if floating["router_id"] not in (None, body["router_id"]):
            raise _bad(
                f"Floating IP {floating['id']} forwards ports by router {floating['router_id']}; "
                f"the port is behind {body['router_id']}"
            )
        _check_others(draft, body)
        _check_unbound(draft, body)


def _check_others(draft: Draft, body: Body) -> None:
    """No external port leads to two places, and no internal one back by two."""
    for whole, *same, side in (
        ("floatingip_id", "protocol", "external_port_range"),
        ("internal_port_id", "protocol", "internal_ip_address", "internal_port_range"),
    ):
        others = (draft.get("port_forwarding", id) for id in draft.linked(body[whole], FORWARDING))
        for other in others:
            if (
                other is not None
                and other["id"] != body["id"]
                and all(other[name] == body[name] for name in same)
                and _overlap(body[side], other[side])
            ):
                raise _bad(
                    f"There is a port collision with the {side}. The following ranges collide: "
                    f"{other[side]} and {body[side]}"
                )


def _check_unbound(draft: Draft, body: Body) -> None:
    """What has a floating IP of its own answers from that, whoever asked."""
    for id in draft.linked(body["internal_port_id"], "floatingip"):
        floating = draft.get("floatingip", id)
        its = floating is not None and floating["port_id"] == body["internal_port_id"]
        if floating and its and floating["fixed_ip_address"] == body["internal_ip_address"]:
            raise PortHasBindingFloatingIP(
                floating_ip_address=floating["floating_ip_address"],
                fip_id=id,
                port_id=body["internal_port_id"],
                fixed_ip=body["internal_ip_address"],
            )


def _overlap(one: str, other: str) -> bool:
    (first, last), (low, high) = _range(one), _range(other)
    return first <= high and low <= last


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def _settle_range(body: Body, before: Body, side: str) -> None:
    """The range and the single port of one side say the same: the single one is None for many."""
    single, ranged = f"{side}_port", f"{side}_port_range"
    if body[ranged] is not None:
        body[ranged] = str(body[ranged])  # a single port may be given as a number
    new_single = body[single] is not None and body[single] != before.get(single)
    new_range = body[ranged] is not None and body[ranged] != before.get(ranged)
    if new_single and new_range and _range(body[ranged]) != (body[single], body[single]):
        raise _bad(f"{single} and {ranged} cannot both be given")
    if new_single:
        body[ranged] = f"{body[single]}:{body[single]}"
    if body[ranged] is None:
        raise _bad(f"one of {single} and {ranged} must be given")
    first, last = _range(body[ranged])
    body[ranged] = f"{first}:{last}"
    body[single] = first if first == last else None


def drop(draft: Draft, body: Body) -> None:
    """Delete a port forwarding; with the last one the floating IP leaves the router."""
    draft.delete("port_forwarding", body["id"])
    floating = draft.get("floatingip", body["floatingip_id"])
    if floating and not draft.linked(floating["id"], FORWARDING):
        draft.put("floatingip", changed(floating, router_id=None))


def brief(body: Body) -> dict[str, Any]:
    """As floating IPs show it: ranges only where there are several ports."""
    names = ["id", "protocol", "internal_ip_address", "internal_port_id"]
    for single in ("internal_port", "external_port"):
        names.append(single if body[single] is not None else f"{single}_range")
    return {name: body[name] for name in names}


def _attributes() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for each in (definition, fip_pf_description, fip_pf_port_range):
        parameters = each.SUB_RESOURCE_ATTRIBUTE_MAP["port_forwardings"]["parameters"]
        for name, spec in parameters.items():
            found[name] = {**found.get(name, {}), **spec}
    for name in ("external_port", "internal_port"):
        # neutron-lib's converter would make a number of nothing.
        found[name]["convert_to"] = convert_to_int_if_not_none
    hidden = {"allow_post": False, "allow_put": False, "is_visible": False, "default": None}
    project = {"allow_post": True, "allow_put": False, "is_visible": False}
    found["tenant_id"] = {**project, "required_by_policy": True, "validate": {"type:string": 255}}
    return {**found, "floatingip_id": hidden, "router_id": hidden}


KIND = ResourceSpec(
    name="port_forwarding",
    collection="port_forwardings",
    attributes=_attributes(),
    not_found=lambda id: PortForwardingNotFound(id=id),
    standard=("description",),
    parent="floatingip",
)
