# SPDX-License-Identifier: Apache-2.0

"""DNS: the names of a network's ports, and a resolver on every subnet.

Ports are named by ``dns_name``, or by their address (``host-10-0-0-5``), in the domain of their
network. The resolver answers at the ``service_address`` of each subnet with DHCP, in both families,
by UDP (packet by packet, from the asking port's switch) and by TCP (at the service port): A, AAAA
and PTR of the asking network's ports and of nobody else's. What is not the network's to say goes to
the resolvers in ``[dns] resolvers``. DNS to any other address is not touched.
"""

from oslo_config import cfg

from tenantry.apps.dns import packets, resources, tables
from tenantry.apps.dns.answers import Resolver
from tenantry.apps.dns.flows import compile_network
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.feature.effects import Stream
from tenantry.controller.model import networks_with_ports
from tenantry.controller.packets.own_addresses import DNS_PORT


def _build(conf: cfg.ConfigOpts) -> Parts:
    resolver = Resolver(conf.dns.domain)
    return Parts(
        extension=resources.extension(conf.dns.domain),
        packet_in=packets.handler(resolver),
        endpoint=Stream(DNS_PORT, packets.stream(resolver)),
    )


DNS = App(
    id=7,
    name="dns",
    units=(Units("network", networks_with_ports, compile_network),),
    build=_build,
    adds_to=tables.ADDS_TO,
)
