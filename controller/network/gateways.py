# SPDX-License-Identifier: Apache-2.0

"""Where the hosts of a subnet leave it: the address of its gateway, and whose that is."""

from __future__ import annotations

from tenantry.controller.model.records import Port, Subnet
from tenantry.controller.model.view import View, derived
from tenantry.controller.network.configuration import default_router
from tenantry.controller.network.records import Router


@derived
def gateway_address(view: View, subnet_id: str) -> int | None:
    """The address of a subnet's gateway, if there is a subnet that has one."""
    subnet = view.get(Subnet, subnet_id)
    return default_router(subnet) if subnet else None


def is_router(view: View, port: Port) -> bool:
    """Whether the hosts of its network may take a port for a router: one of a router, or of a
    machine that has the address of the subnet's gateway."""
    return bool(port.router_id) or any(
        ip.address == gateway_address(view, ip.subnet_id) for ip in port.fixed_ips
    )


def gateway_port(view: View, subnet: Subnet) -> Port | None:
    """The port over which the hosts of a subnet leave: that with the address of its gateway, a
    router's or a machine's; or, if nobody has that, a router's. None while none is there."""
    gateway, network_id = default_router(subnet), subnet.network_id
    if gateway is None:
        return None
    routers = []
    for router_id in sorted(view.distinct(Port, "router_id", network_id=network_id) - {""}):
        router = view.get(Router, router_id)
        if router is not None and router.admin_state_up:
            routers += view.find(Port, network_id=network_id, router_id=router_id)
    inside = [port for port in routers if not port.is_gateway and _up(port, subnet)]
    machines = (port for port in view.find(Port, network_id=network_id) if not port.router_id)
    for ports in (inside, machines):
        for port in ports:
            if _up(port, subnet, gateway):
                return port
    return next(iter(inside), None)


def _up(port: Port, subnet: Subnet, address: int | None = None) -> bool:
    """Whether a port is switched on, and has an address, or this one, on a subnet."""
    return port.admin_state_up and any(
        ip.subnet_id == subnet.id and address in (None, ip.address) for ip in port.fixed_ips
    )
