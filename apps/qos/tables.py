# SPDX-License-Identifier: Apache-2.0

"""The tables of quality of service."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    IN_PORT,
    OUT_PORT,
    ROUTER,
    SOURCE,
    Table,
)

SENDS = (MeterUse.FROM_PORT_BITS, MeterUse.FROM_PORT_PACKETS)
GETS = (MeterUse.TO_PORT_BITS, MeterUse.TO_PORT_PACKETS)

TOO_MUCH_SENT = Cause(
    *(0x1601, "too_much_sent", Whose.METER),
    "the port sends more than its policy of quality of service lets it",
    tuple(("port", use) for use in SENDS),
)
TOO_MUCH_RECEIVED = Cause(
    *(0x1602, "too_much_received", Whose.METER),
    "the port is sent more than its policy of quality of service lets it get",
    tuple(("port", use) for use in GETS),
)
TOO_MUCH_OUTSIDE = Cause(
    *(0x1603, "too_much_outside", Whose.METER),
    "more passes a floating IP, or a router's gateway, than its policy of quality of service lets",
    tuple((kind, use) for kind in ("floating", "gateway") for use in (*SENDS, *GETS)),
)


class FromPortQosPriority(Priorities):
    """FROM_PORT_QOS: what a port sends."""

    MARKED = 101  # IP, which gets a DSCP
    ORDINARY = 100


class RouterQosPriority(Priorities):
    """ROUTER_QOS, ROUTER_PACKETS: whose policy it is."""

    FLOATING = 102  # a floating IP's that is translated as a whole
    FORWARDED = 101  # one's of which ports are forwarded
    GATEWAY = 100  # of all else that passes the gateway


_OUTSIDE = fields(
    *(ROUTER, ENTERED, EXIT, SOURCE),
    "eth_type ip_proto ipv4_src ipv4_dst tcp_src tcp_dst udp_src udp_dst",
)

TABLES = {
    Table.FROM_PORT_QOS: About(
        job="What a port may send: so many bits a second; or so many packets, if that alone is "
        "limited; and the DSCP that IP gets.",
        priorities=FromPortQosPriority,
        matches=fields(IN_PORT, "eth_type"),
        sets=fields("ip_dscp"),
        leads_to=(Table.FROM_PORT_PACKETS,),
        drops=(TOO_MUCH_SENT,),
    ),
    Table.FROM_PORT_PACKETS: About(
        job="So many packets a second, of ports whose bits are limited, too: a flow has one meter.",
        priorities=OneRung,
        matches=fields(IN_PORT),
        drops=(TOO_MUCH_SENT,),
    ),
    Table.ROUTER_QOS: About(
        job="What passes a router's gateway, either way, where addresses are translated: of a "
        "floating IP, of ports that are forwarded, of all else. What goes from one network "
        "of the router to another is not asked.",
        priorities=RouterQosPriority,
        matches=_OUTSIDE,
        sets=fields("ip_dscp"),
        leads_to=(Table.ROUTER_PACKETS,),
        drops=(TOO_MUCH_OUTSIDE,),
    ),
    Table.ROUTER_PACKETS: About(
        job="So many packets a second, of what has both limits.",
        priorities=RouterQosPriority,
        matches=_OUTSIDE,
        drops=(TOO_MUCH_OUTSIDE,),
    ),
    Table.TO_PORT_QOS: About(
        job="What a port may get: so many bits or packets a second.",
        priorities=OneRung,
        matches=fields(OUT_PORT),
        leads_to=(Table.TO_PORT_PACKETS,),
        drops=(TOO_MUCH_RECEIVED,),
    ),
    Table.TO_PORT_PACKETS: About(
        job="So many packets a second, of ports whose bits are limited, too.",
        priorities=OneRung,
        matches=fields(OUT_PORT),
        drops=(TOO_MUCH_RECEIVED,),
    ),
}
