# SPDX-License-Identifier: Apache-2.0

"""Local IPs: one IPv4 address that leads, on each host, to a port of that very host.

A cache or a proxy runs on every host; its users know one address, and their packets never leave
their host. On a host with an associated port, what the network's ports there send to the local IP
goes to that port: its MAC address is the answer to ARP, and the destination is translated to its
fixed IP (``ip_mode`` ``translate``: by connection tracking, in a zone of the local IP's own) or
left as it is (``passthrough``). Answers are translated back where they leave for a port here, after
all have judged them: security groups of both ends see one connection, between two fixed IPs. On
all other hosts the address is that of the port that it was taken from (``local_port_id``), if that
is anywhere.

What the associated port itself sends to the local IP is not led back to it.
"""

from tenantry.apps.local_ip import resources, tables
from tenantry.apps.local_ip.flows import compile_common, compile_local_ip, local_ips_on
from tenantry.apps.local_ip.packets import announce
from tenantry.apps.local_ip.records import LocalIp, LocalIpAssociation
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.feature.routes import Running
from tenantry.controller.model import Binding
from tenantry.controller.store import Body


def _host(running: Running, body: Body) -> dict[str, str]:
    """Where the port is plugged in."""
    binding = running.view.get(Binding, body["fixed_port_id"])
    return {"host": binding.host if binding else ""}


LOCAL_IP = App(
    id=18,
    name="local_ip",
    units=(
        Units("all", per_switch, compile_common),
        Units("local_ip", local_ips_on, compile_local_ip),
    ),
    records=(LocalIp, LocalIpAssociation),
    build=lambda conf: Parts(
        extension=resources.extension(),
        announce=announce,
        observed={resources.ASSOCIATION: _host},
    ),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
)
