# SPDX-License-Identifier: Apache-2.0

"""Port security: a tenant's port is who it says it is, or is not heard.

Every packet says who sent it: in its frame, its IP header, and ARP and neighbour discovery say it
once more inside. What it says is put into MAC and ADDRESS by flows that are the same for all ports,
and looked up in IDENTITY, where each port has a row for each pair of addresses that it may call its
own: its MAC with its fixed IPs, the link-local address that follows from the MAC (RFC 4291,
appendix A), no address at all where a protocol allows that (DHCP, probes, duplicate address
detection), and its allowed address pairs. So a port costs one flow an address, whatever there is to
check. Nobody behind such a port is a router or a DHCP server (RFC 6105), nor hides it (RFC 7113).

Off means off: a port without port security passes by with one flow, and may say what it likes.
"""

from tenantry.apps.port_security import resources, tables
from tenantry.apps.port_security.flows import (
    compile_answers,
    compile_port,
    compile_questions,
    compile_wire,
)
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.model import ports_on

PORT_SECURITY = App(
    id=3,
    name="port_security",
    units=(
        Units("questions", per_switch, compile_questions),
        Units("answers", per_switch, compile_answers),
        Units("wire", per_switch, compile_wire),
        Units("port", ports_on, compile_port),
    ),
    tables=tables.TABLES,
    fields=tables.FIELDS,
    build=lambda conf: Parts(extension=resources.extension()),
)
