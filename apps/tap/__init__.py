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
"""

from tenantry.apps.tap import resources, tables
from tenantry.apps.tap.flows import compile_service, compile_tapped, services_on, tapped_on
from tenantry.apps.tap.records import TapFlow, TapMirror, TapService
from tenantry.apps.tap.rows import mirror_rows
from tenantry.apps.tap.status import flow_status, service_status
from tenantry.controller.feature.app import App, Parts, Units

TAP = App(
    id=23,
    name="tap",
    units=(
        Units("tapped", tapped_on, compile_tapped),
        Units("service", services_on, compile_service),
    ),
    records=(TapService, TapFlow, TapMirror),
    build=lambda conf: Parts(
        extension=resources.extension(),
        rows=mirror_rows,
        observed={
            resources.TAP_SERVICE: service_status,
            resources.TAP_FLOW: flow_status,
        },
    ),
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
