# SPDX-License-Identifier: Apache-2.0

"""DHCP: hosts are told who they are and where, in both families, and by router advertisements.

DHCPv4 (RFC 2131), DHCPv6 (RFC 8415) and router advertisements (RFC 4861) for subnets with
``enable_dhcp``. What hosts ask goes from their own switch to the controller, which answers out of
the model; there are no leases to keep, so nothing can be lost. Hosts that renew ask the subnet's
``service_address``. Subnets with an ``ipv6_ra_mode`` are advertised on solicitation and every 200
seconds, to the ports of the network and nowhere else; one with ``ipv6_address_mode`` alone leaves
that to a router of the tenant's. What changes is advertised at once, and what is gone taken back.
"""

from oslo_config import cfg, types

from tenantry.apps.dhcp import resources, tables
from tenantry.apps.dhcp.flows import compile_network
from tenantry.apps.dhcp.packets import Dhcp
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.model import networks_with_ports

OPTIONS: Options = {
    "dhcp": [
        cfg.IntOpt(
            "lease_seconds",
            default=86400,
            min=120,
            help="For how long addresses are leased; hosts ask again at half of it.",
        ),
        cfg.ListOpt(
            "ntp_servers",
            default=[],
            item_type=types.IPAddress(),
            help="NTP servers, IPv4 and IPv6, that hosts are told of.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    dhcp = Dhcp(conf.dhcp.lease_seconds, tuple(conf.dhcp.ntp_servers), conf.dns.domain)
    return Parts(
        extension=resources.extension(),
        packet_in=dhcp.handle,
        periodic=dhcp.unasked(),
        announce=dhcp.advertise_changes,
    )


DHCP = App(
    id=6,
    name="dhcp",
    units=(Units("network", networks_with_ports, compile_network),),
    options=OPTIONS,
    build=_build,
    adds_to=tables.ADDS_TO,
)
