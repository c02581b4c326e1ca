# SPDX-License-Identifier: Apache-2.0

"""ARP and ND: who has an address is answered by the switch, and nobody else hears the question.

Requests (RFC 826) and solicitations (RFC 4861, 7.2) are answered where they are asked, by flows
alone: the switch turns the packet around. Both families share one flow an address. The controller
is not involved, also for neighbour discovery, whose answer OVS 2.11 and later can build; the one
thing that actions cannot do is add an option, so a solicitation without a source link-layer option
is answered without a target one, as RFC 4861, 7.2.4, allows.

A question from the physical network goes to the port that it is about, and to nobody else; one
about a router is answered by the router's home.

A question for an address that the model does not know goes only where something unknown may be:
ports without port security, ports with allowed address pairs, the physical network. Probes for
duplicates of a port's own fixed IP go there too; its announcements, those of an allowed address
pair, and of ports without port security, go to everybody, since what was known may have moved.

An address that gets another MAC address (a port's changes, another port takes it over, a router
gets it) is announced by the controller on every switch of the network, as soon as that leads there.
"""

from tenantry.apps.arp_nd import tables
from tenantry.apps.arp_nd.flows import (
    compile_answers,
    compile_port,
    compile_questions,
    compile_router_port,
    compile_services,
    ports_known,
    routers_known,
)
from tenantry.apps.arp_nd.packets import announce
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.model import networks_with_ports

ARP_ND = App(
    id=4,
    name="arp_nd",
    units=(
        Units("questions", per_switch, compile_questions),
        Units("answers", per_switch, compile_answers),
        Units("port", ports_known, compile_port),
        Units("router_port", routers_known, compile_router_port),
        Units("services", networks_with_ports, compile_services),
    ),
    build=lambda conf: Parts(announce=announce),
    tables=tables.TABLES,
)
