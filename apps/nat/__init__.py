# SPDX-License-Identifier: Apache-2.0

"""NAT: floating IPs, port forwarding, and one address that many share.

- A *floating IP* is translated one to one, both ways, by plain actions: no connection is tracked, a
  packet passes the datapath once, and a floating IP that moves takes its traffic along at once. It
  happens on the switch of its port, if that reaches the external network, with a MAC address of its
  own there; else at the router's home. What plain actions cannot do is to look into ICMP errors,
  which quote a packet: those few go by the controller (``packets.py``). Fragments are translated by
  connection tracking, in the zone FORWARDED.
- *Port forwarding* and *shared SNAT* are tracked, at the router's home, in two zones for each
  router, so that a packet can have both ends translated: SHARED for sources, FORWARDED for
  destinations.

Between two networks of one router, a floating IP leads to its port by the same rules, and so does a
machine's own: what was translated on its way in has its source translated on its way out.
IPv6 is not translated; an NDP proxy makes the router answer for a tenant's address outside.
"""

from typing import Any

from tenantry.apps.nat import resources, tables
from tenantry.apps.nat.flows import (
    compile_common,
    compile_floating,
    compile_proxies,
    compile_shared,
    floating_ips_on,
)
from tenantry.apps.nat.packets import announce, handle
from tenantry.apps.nat.records import ConntrackHelper, NdpProxy, PortForwarding
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.feature.routes import Running
from tenantry.controller.network.records import FloatingIp
from tenantry.controller.network.routers import routers_on
from tenantry.controller.store import Body


def _port_status(running: Running, body: Body) -> dict[str, Any]:
    """What is seen of a floating IP's port; the rest of it is added when it is shown."""
    port = body["port_id"]
    return {"port_details": {"status": running.port_status(port)}} if port else {}


NAT = App(
    id=12,
    name="nat",
    records=(
        FloatingIp,
        PortForwarding,
        ConntrackHelper,
        NdpProxy,
    ),
    units=(
        Units("all", per_switch, compile_common),
        Units("floating", floating_ips_on, compile_floating),
        Units("shared", routers_on, compile_shared),
        Units("proxies", routers_on, compile_proxies),
    ),
    build=lambda conf: Parts(
        extension=resources.extension(),
        packet_in=handle,
        announce=announce,
        observed={"floatingip": _port_status},
    ),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
)
