# SPDX-License-Identifier: Apache-2.0

"""Taps: copies of a port's packets, for another port of the same tenant (``tap_service``,
``tap_flow``) or an address outside (``tap_mirror``).

What a port sends is copied as it enters the switch, before anybody judges it; what it gets, as it
leaves, when all have. A copy goes straight to an interface: no flow that judges, floods, learns or
copies meets it, so it arrives whole, and is not copied again. To another host it goes through the
tunnel by which guests reach the service port, with a VNI of the service's own, which is claimed as
those of networks are. So a switch without taps has nothing of them, and a port beside one that is
tapped is as it was.

A port's packets are those that bear its tag, if it is on a trunk. With ``vlan_filter``, a tap of a
trunk's parent takes frames of the project's ports on the trunk instead, with their tags.

A capture (``tenantry capture``) is one more way for copies: to the controller, at a rate of its
own, and from there to whoever reads, as pcapng. It is a record in memory for as long as they do.
"""

from oslo_config import cfg

from tenantry.apps.tap import commands, resources, tables
from tenantry.apps.tap.captures import Captured, Captures
from tenantry.apps.tap.flows import (
    captures_on,
    compile_capture,
    compile_service,
    compile_tapped,
    services_on,
    tapped_on,
)
from tenantry.apps.tap.packets import handle
from tenantry.apps.tap.records import TapFlow, TapMirror, TapService
from tenantry.apps.tap.routes import Most, routes
from tenantry.apps.tap.rows import mirror_rows
from tenantry.apps.tap.status import flow_status, service_status
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units

OPTIONS: Options = {
    "tap": [
        cfg.IntOpt(
            "captures",
            default=8,
            min=0,
            help="How many captures (tenantry capture) there may be at once.",
        ),
        cfg.IntOpt("capture_seconds", default=600, min=1, help="The longest that one may take."),
        cfg.IntOpt(
            "capture_octets", default=64 << 20, min=1, help="The largest that one may become."
        ),
        cfg.IntOpt(
            "capture_packets_per_second",
            default=500,
            min=1,
            max=100_000,
            help="The rate of one: of what is more, its switch copies nothing.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    tap = conf.tap
    captures = Captures(tap.captures)
    most = Most(tap.capture_seconds, tap.capture_octets, tap.capture_packets_per_second)
    return Parts(
        extension=resources.extension(),
        packet_in=handle,
        rows=mirror_rows,
        effects={Captured: captures.take},
        observed={
            resources.TAP_SERVICE: service_status,
            resources.TAP_FLOW: flow_status,
        },
        routes=routes(captures, most),
    )


TAP = App(
    id=23,
    name="tap",
    units=(
        Units("tapped", tapped_on, compile_tapped),
        Units("service", services_on, compile_service),
        Units("capture", captures_on, compile_capture),
    ),
    options=OPTIONS,
    build=_build,
    commands=(commands.capture,),
    records=(TapService, TapFlow, TapMirror),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
