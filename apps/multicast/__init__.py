# SPDX-License-Identifier: Apache-2.0

"""Broadcasts and multicast: how much of them a port may send, and who gets which group.

What a port says to many is held by a meter of its own, in the flow by which it enters the switch.

With snooping (RFC 4541) the multicast of a group goes to the ports that have asked for it, by IGMP
or MLD, to the switches that have such ports, and onto the physical network, where a router may be;
what nobody has asked for goes to routers alone. The controller gets a copy of what guests ask for,
as much as a port may punt, and asks them now and then itself, in a way that no router loses an
election to. Who has asked is in memory only: until all ports of a switch have been asked and had
the time to answer, everything goes to all of them. Groups of the link always do.
"""

from __future__ import annotations

from dataclasses import replace

from oslo_config import cfg

from tenantry.apps.multicast import commands, tables
from tenantry.apps.multicast.flows import (
    SNOOPING,
    compile_common,
    compile_group,
    compile_network,
    groups,
    snooped_networks,
)
from tenantry.apps.multicast.memberships import Memberships
from tenantry.apps.multicast.policies import POLICIES
from tenantry.apps.multicast.routes import ROUTES
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.feature.extension import Extension
from tenantry.controller.network.broadcasts import PER_SECOND

OPTIONS: Options = {
    "multicast": [
        cfg.IntOpt(
            "packets_per_second",
            default=1000,
            min=0,
            help="How many broadcasts and multicast packets a port may send in a second; as many "
            "may come at once. What is beyond that is dropped. 0: no limit.",
        ),
        cfg.BoolOpt(
            "snooping",
            default=False,
            help="Whether the multicast of a group goes only to those who asked for it, by IGMP or "
            "MLD; else to all of a network.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    options = {PER_SECOND: conf.multicast.packets_per_second}
    always = Parts(extension=Extension(policies=POLICIES), routes=ROUTES, flow_options=options)
    if not conf.multicast.snooping:
        return always
    memberships = Memberships()
    return replace(
        always,
        flow_options={**options, SNOOPING: 1},
        packet_in=memberships.handle,
        periodic=memberships.periodic(),
    )


MULTICAST = App(
    id=25,
    name="multicast",
    units=(
        Units("common", per_switch, compile_common),
        Units("network", snooped_networks, compile_network),
        Units("group", groups, compile_group),
    ),
    options=OPTIONS,
    build=_build,
    commands=(commands.multicast,),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
)
