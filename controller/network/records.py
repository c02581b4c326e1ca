# SPDX-License-Identifier: Apache-2.0

"""The records that several features read, and no other part of the core."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import Body, record, stored
from tenantry.controller.model.values import Route


@record
class Segment:
    """One of several ways in which a network is carried between hosts: a wire, or tunnels."""

    KIND: ClassVar = "segment"
    INDEXES: ClassVar[Indexes] = (("network_id",), ("network_type",))

    id: str
    network_id: str
    network_type: str  # "local", "flat", "vlan", "vxlan" or "geneve"
    physical_network: str | None
    segmentation_id: int | None


def _snat(body: Body) -> bool:
    gateway = body["external_gateway_info"] or {}
    return bool(gateway.get("enable_snat", True)) if gateway else False


def _gateway_policy(body: Body) -> str:
    return str((body["external_gateway_info"] or {}).get("qos_policy_id") or "")


def _or_true(body: Body, name: str) -> bool:
    return body.get(name) is not False


@record
class Router:
    """A tenant's router. Its ports are Ports: see :attr:`Port.router_id`."""

    KIND: ClassVar = "router"
    INDEXES: ClassVar[Indexes] = (("key",),)

    id: str
    key: int  # small, unique, permanent: what ROUTER carries, and its zones are made of
    project_id: str
    name: str
    admin_state_up: bool
    # or "": it leads nowhere but to its own networks
    gateway_port_id: str = stored("gw_port_id", default="")
    enable_snat: bool = stored(of_body=_snat, default=False)
    routes: tuple[Route, ...] = stored(parse=parse.routes, default=())
    # availability_zone_hints: its gateways are only there
    zones: frozenset[str] = stored("availability_zone_hints", frozenset, default=frozenset())
    # whether packets leave where they start, if that reaches outside; or by a gateway, all of them
    distributed: bool = stored(of_body=lambda body: _or_true(body, "distributed"), default=True)
    # whether other gateways stand in for the first
    ha: bool = stored(of_body=lambda body: _or_true(body, "ha"), default=True)
    # where somebody has put it by hand: before all others, the first one first
    gateway_hosts: tuple[str, ...] = stored(parse=tuple, default=())
    gateway_not_on: frozenset[str] = stored(parse=frozenset, default=frozenset())  # taken off there
    # enable_ndp_proxy: of IPv6, outside reaches only what has one
    ndp_proxies_only: bool = stored("enable_ndp_proxy", default=False)
    # that of its gateway itself, if it has one
    qos_policy_id: str = stored(of_body=_gateway_policy, default="")


@record
class FloatingIp:
    """An address of an external network that stands for one of a tenant's."""

    KIND: ClassVar = "floatingip"
    INDEXES: ClassVar[Indexes] = (
        ("router_id",),
        ("router_id", "fixed_address"),
        ("router_id", "address"),
        ("fixed_port_id",),
        ("network_id",),
    )

    id: str
    project_id: str
    network_id: str = stored("floating_network_id")  # the external one
    address: int = stored("floating_ip_address", parse.ip, empty=0)
    # the port there that has the address, and a MAC address of its own
    port_id: str = stored("floating_port_id")
    router_id: str = stored(empty="")  # or "": it leads nowhere
    # or "": it leads nowhere, or is forwarded port by port
    fixed_port_id: str = stored("port_id", empty="")
    fixed_address: int = stored("fixed_ip_address", parse.ip, empty=0)
    qos_policy_id: str = ""  # its own


@record
class Neighbour:
    """An address that the model does not know, and that answered when it was asked."""

    INDEXES: ClassVar[Indexes] = (("network_id",),)

    id: tuple[str, int, int]  # network id, IP version, address
    network_id: str
    version: int
    address: int
    mac: int


@record
class HeldDown:
    """A switch that is not to be a gateway for now: it was gone, and is not yet back for good."""

    INDEXES: ClassVar[Indexes] = ()

    id: int  # datapath id
